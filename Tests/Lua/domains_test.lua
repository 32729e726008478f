-- Tests of domain handles: the contract of every back end, and what failures leave behind.
local xs = require "xensave"
local t = require "xensave.testing"

-- The back ends under test. A real Xen is one of them where XENSAVE_TEST_DOMAIN names a domain.
local backends = {
  { name = "simulated HVM", make = function()
    return xs.sim { pages = 600, vcpus = 2, holes = { { 200, 299 } } }
  end },
  { name = "simulated PV", make = function()
    return xs.sim { pages = 1024, from = "Tests/Fixtures/pv-4m-1v-tiny.xlsave" }
  end },
}
local real = os.getenv "XENSAVE_TEST_DOMAIN"
if real then backends[#backends + 1] = { name = "real", make = function() return xs.domain(real) end } end

-- Whether pages and vCPUs of a domain are only its save's to read: so it is with PV guests of Xen.
local function is_sealed(dom) return dom.name == real and dom.guest == "x86_pv" end

-- Whether nobody notes dirty pages. A simulated domain refuses then to say which were written; Xen
-- keeps its last count until it is told to forget it, and then says none, whatever the guest writes.
local function notes_nothing(dom)
  local _, err = dom:peek_log_dirty()
  if err then return err.code == "peekLogDirty" end
  assert(dom:clean_log_dirty())
  local deadline = os.clock() + 2
  while os.clock() < deadline do end
  return dom:peek_log_dirty().count == 0
end

local function contract(name, body)
  for _, backend in ipairs(backends) do
    t.test(backend.name .. ": " .. name, function()
      local dom <close> = assert(backend.make())
      body(dom)
    end)
  end
end

contract("is listed, and found by number, name and UUID", function(dom)
  local found
  for _, line in ipairs(assert(xs.domains())) do
    if line.id == dom.id then found = line end
  end
  t.equal(found.name, dom.name)
  for _, which in ipairs { dom.id, tostring(dom.id), dom.name, dom.uuid, dom.uuid:upper() } do
    local other <close> = assert(xs.domain(which))
    t.equal(other.id, dom.id)
  end
  local _, err = xs.domain "no-such-domain"
  t.equal(err.code, "enoent")
  t.raises("expected a number, name or UUID", xs.domain, {})
end)

contract("says what it is", function(dom)
  local info = assert(dom:info())
  t.equal(info.guest, dom.guest)
  t.equal(info.paused, false)
  t.equal(info.suspended, false)
  assert(info.max_pages >= info.pages and info.pages > 0 and #info.vcpus > 0)
  t.match(info.xen, "^4%.%d+$")
end)

contract("pauses and continues", function(dom)
  assert(dom:pause())
  t.equal(dom:info().paused, true)
  assert(dom:pause())
  assert(dom:unpause())
  assert(dom:unpause())
  t.equal(dom:info().paused, false)
end)

contract("suspends and resumes", function(dom)
  assert(dom:suspend())
  t.equal(dom:info().suspended, true)
  t.equal(dom:info().shutdown, "suspend")
  assert(dom:suspend())
  assert(dom:resume())
  t.equal(dom:info().suspended, false)
end)

contract("shows its memory", function(dom)
  if is_sealed(dom) then
    for _, what in ipairs { "memory_map", "page", "page_types" } do
      local _, err = dom[what](dom, 0)
      t.equal(err.code, "frames", what)
    end
    return
  end
  local runs, pages, data = assert(dom:memory_map()), 0
  for i, run in ipairs(runs) do
    t.equal(run.first, i == 1 and 0 or runs[i - 1].last + 1)
    t.equal(run.count, run.last - run.first + 1)
    pages = pages + run.count
    if run.type == "NOTAB" then data = data or run.first end
  end
  t.equal(pages, dom:info().max_pages)
  t.equal(dom:page_types(data), { "NOTAB" })
  t.equal(#dom:page_types(0, 10), 10)
  local view = assert(dom:page(data))
  t.equal(#view, 4096)
  local word = view:u64(8)
  t.equal(view:bytes(8, 8), string.pack("<i8", word))
  t.raises("read%-only", function() view:u8(0, 1) end)
  assert(dom:info())
  t.raises("stale view", function() return view:u64(0) end)
  local _, err = dom:page(1 << 30)
  t.equal(err.code, "map")
end)

contract("shows the state of vCPUs and devices", function(dom)
  assert(dom:pause())
  if is_sealed(dom) then
    local _, err = dom:vcpu(0)
    t.equal(err.code, "state")
    assert(dom:record "X86_PV_INFO")
    return
  end
  assert(dom:vcpu(0).rip)
  t.equal(dom:vcpu(100), nil)
  if dom.guest == "x86_hvm" then
    assert(#assert(dom:hvm_params()) > 0)
    local context = assert(dom:record "HVM_CONTEXT")
    t.equal(context.type, "HVM_CONTEXT")
    t.raises("read%-only", function() dom:hvm_params().STORE_PFN = 5 end)
  else
    t.equal(dom:record("X86_PV_VCPU_BASIC", 0).vcpu_id, 0)
    assert(dom:record "X86_PV_INFO")
  end
end)

contract("notes dirty pages", function(dom)
  local cleaned, err = dom:clean_log_dirty()
  t.equal(cleaned and cleaned.count or err.code, cleaned and 0 or "cleanLogDirty")
  assert(dom:enable_log_dirty())
  assert(dom:clean_log_dirty())
  local peeked = assert(dom:peek_log_dirty())
  t.equal(type(peeked.count), "number")
  if dom.name == real then
    -- A guest that runs writes: else the check below could not fail.
    local deadline = os.clock() + 20
    while dom:peek_log_dirty().count == 0 and os.clock() < deadline do end
    assert(dom:peek_log_dirty().count > 0)
  end
  assert(dom:disable_log_dirty())
  assert(notes_nothing(dom))
end)

contract("has a xenstore", function(dom)
  t.equal(dom:store_read "name", dom.name)
  t.equal(dom:store_read "no/such/node", nil)
  assert(dom:store_write("data/xensave-test", "a\0b"))
  t.equal(dom:store_read "data/xensave-test", "a\0b")
  t.equal(dom:store_read(("/local/domain/%d/data/xensave-test"):format(dom.id)), "a\0b")
  t.match(table.concat(dom:store_list "data", " "), "xensave%-test")
  t.equal(dom:store_list "no/such", nil)
  t.equal(dom:store_watch("data", 0.01), nil)
end)

contract("is saved, runs on, and the image is good", function(dom)
  local result, err = dom:save(t.path "dom.img", { resume = true, trace = t.path "dom.trace" })
  t.equal(dom:info().suspended, false)
  if dom.name == real and err and err.code == "switchEmulatorLogDirty" then
    -- It has a QEMU, which only libxl can tell to note what it writes: refused, and nothing is left.
    t.equal(io.open(t.path "dom.img"), nil)
    assert(notes_nothing(dom))
    return
  end
  assert(result, tostring(err))
  assert(result.rounds >= 1 and result.octets > 4096 and result.pages > 0)
  t.equal(#result.warnings, 0)
  t.equal(dom:info().suspended, false)
  t.equal(#xs.verify(t.path "dom.img"), 0)
  t.equal(tostring(xs.sim.trace(t.path "dom.trace")), tostring(result.trace))
  assert(notes_nothing(dom))
end)

t.test("a save that fails leaves its trace", function()
  local dom <close> = assert(xs.sim { pages = 600 })
  local function trace(what, outcome, ...)
    t.equal((...), nil, what)
    local recorded = assert(xs.sim.trace(t.path "failed.trace"))
    t.equal(recorded.outcome, outcome, what)
    t.equal(recorded.rounds[1].dirty_count, 600, what)
    os.remove(t.path "failed.trace")
  end
  local options = { trace = t.path "failed.trace", policy = function(s)
    return s.iteration == 0 and "continue" or "abort"
  end }
  trace("given up", "aborted", dom:save(t.path "failed.img", options))
  trace("given up, checkpointed", "aborted", dom:checkpoint(t.path "failed.img", options))
  options.policy = nil
  trace("refused at the end", "receiver", dom:migrate("cat >/dev/null; exit 3", options))
  options.filter = { HVM_CONTEXT = function() return false end }
  trace("not verified", "rejected", dom:save(t.path "failed.img", options))
  t.equal(io.open(t.path "failed.img"), nil)
  -- A trace that cannot be written is found out before anything is done.
  local _, err = dom:save(t.path "failed.img", { trace = "/nonexistent/a.trace" })
  t.equal(err.code, "enoent")
  t.equal(io.open(t.path "failed.img"), nil)
  t.equal(dom:info().suspended, false)
  local result = assert(dom:migrate("cat >/dev/null", { trace = t.path "failed.trace" }))
  t.equal(tostring(xs.sim.trace(t.path "failed.trace")), tostring(result.trace))
end)

contract("is as it was found after its scope", function(dom)
  for _, how in ipairs { "close", "error", "gc" } do
    local function work()
      local mine <close> = assert(xs.domain(dom.id))
      assert(mine:enable_log_dirty())
      assert(mine:suspend())
      if how == "error" then error "on purpose" end
    end
    if how == "gc" then
      local mine = assert(xs.domain(dom.id))
      assert(mine:enable_log_dirty())
      assert(mine:suspend())
      mine = nil -- luacheck: ignore
      collectgarbage()
      collectgarbage()
    else
      pcall(work)
    end
    local info = dom:info()
    t.equal(info.paused, false, how)
    t.equal(info.suspended, false, how)
    assert(notes_nothing(dom), how)
  end
  -- What somebody else has done stays.
  assert(dom:pause())
  do
    local mine <close> = assert(xs.domain(dom.id))
    assert(mine:pause())
  end
  t.equal(dom:info().paused, true)
end)

t.test("a real image is started, saved, restored and compared page by page", function()
  for _, name in ipairs { "pv-4m-1v-tiny", "pvh-4m-1v-tiny" } do
    local path = "Tests/Fixtures/" .. name .. ".xlsave"
    local options = { from = path, pages = name:find "pvh" and 1 << 20 or 1024 }
    local dom <close> = assert(xs.sim(options))
    local result = assert(dom:save(t.path "again.img"))
    assert(result.pages > 0)
    local copy <close> = assert(xs.sim { from = t.path "again.img", pages = options.pages })
    local difference = dom:differences(copy)
    t.equal(difference.count, 0, name)
    t.equal(difference.same_state, true, name)
    -- On other machine frames page tables are others; the image is the same, byte by byte.
    local moved <close> = assert(xs.sim { from = t.path "again.img", pages = options.pages, seed = 9 })
    assert(moved:save(t.path "moved.img"))
    local function bytes(file_name)
      local file <close> = assert(io.open(t.path(file_name), "rb"))
      return file:read "a"
    end
    assert(bytes "again.img" == bytes "moved.img", name)
    -- Whoever changes a page sees it.
    local pfn
    for _, run in ipairs(copy:memory_map()) do
      if run.type == "NOTAB" then pfn = run.first break end
    end
    copy:write(pfn, 100, "\1\2\3changed")
    t.equal(dom:differences(copy).pfns, { pfn }, name)
  end
end)

t.test("a live save of a guest that works is what it was when it stood still", function()
  local dom <close> = assert(xs.sim { pages = 3000, link = "1G", workload = {
    { seconds = 0.05, writes_per_s = 50000, hot_pages = 100, hot_percent = 80 },
    { seconds = 0.02, writes_per_s = 1000, burst_writes = 50, burst_ms = 5, zero_percent = 20 },
  } })
  assert(dom:save(t.path "live.img", { policy = "downtime-budget" }))
  local copy <close> = assert(xs.sim { blank = true, pages = 3000, vcpus = 1 })
  local restored = assert(copy:restore(t.path "live.img"))
  assert(restored.pages >= 3000)
  t.equal(dom:differences(copy).count, 0)
  t.raises("runs already", function() copy:restore(t.path "live.img") end)
end)

t.test("a filter sees what is saved, and its failure is the save's", function()
  local dom <close> = assert(xs.sim { pages = 300 })
  local result = assert(dom:save(t.path "f.img", { resume = true, filter = {
    X86_TSC_INFO = function(rec) rec.khz = 123456 end,
  } }))
  t.equal(result.report.changed, 1)
  t.equal(t.open(t.path "f.img"):first("X86_TSC_INFO").khz, 123456)
  t.raises("on purpose", function()
    dom:save(t.path "g.img", { filter = { HVM_CONTEXT = function() error "on purpose" end } })
  end)
  t.equal(xs.glob(t.path "g.img"), {})
  t.equal(dom:info().suspended, false)
  t.equal(dom:state().log_dirty, false)
  -- A filter that makes an image which does not restore.
  local _, err = dom:save(t.path "g.img", { filter = { HVM_PARAMS = function() return false end } })
  t.equal(err.code, "rejected")
  t.equal(dom:info().suspended, false)
  t.equal(xs.glob(t.path "g.img"), {})
end)

t.test("a policy and a filter of one script do not meet", function()
  local dom <close> = assert(xs.sim { pages = 3000, link = "1G", workload = { { writes_per_s = 1e5 } } })
  local calls, records = 0, 0
  assert(dom:save(t.path "both.img", {
    policy = function(s) calls = calls + 1 return s.iteration >= 5 and "stop" or "continue" end,
    filter = function() records = records + 1 end,
    progress = function(what, done, total) assert(#what > 0 and done <= total) end,
  }))
  t.equal(calls, 6)
  assert(records > 10)
end)

t.test("migration is over when the receiver says so", function()
  local dom <close> = assert(xs.sim { pages = 300 })
  assert(dom:migrate("cat >" .. t.path "m.img"))
  t.equal(dom:info().suspended, true)
  t.equal(#xs.verify(t.path "m.img"), 0)
  assert(dom:resume())
  for _, command in ipairs { "cat >/dev/null; exit 3", "exit 3", "head -c 5000 >/dev/null; exit 3" } do
    local _, err = dom:migrate(command)
    t.equal(err.code, "receiver", command)
    t.equal(err.exit_code, 3)
    t.equal(dom:info().suspended, false, command)
    t.equal(dom:state().log_dirty, false)
  end
end)

t.test("checkpoints: the last complete one is restored", function()
  local dom <close> = assert(xs.sim { pages = 500, link = "1G", workload = { { writes_per_s = 1e4 } } })
  local result = assert(dom:checkpoint(t.path "cp.img", { count = 3, interval_ms = 5 }))
  t.equal(result.checkpoints, 3)
  t.equal(dom:state().running, true)
  local copy <close> = assert(xs.sim { blank = true, pages = 500 })
  local restored = assert(copy:restore(t.path "cp.img", { checkpointed = true }))
  t.equal(restored.checkpoints, 3)
  t.equal(restored.failed_over, true)
end)

-- The fault matrix: everything that can fail, at each of its calls.
local function check_runs_on(dom, what)
  dom:fault "none"
  local state = dom:state()
  t.equal(state.log_dirty, false, what)
  t.equal(state.emulator_log_dirty, false, what)
  t.equal(state.leases, 0, what)
  t.equal(state.running, true, what)
  dom:run(0.01)
  assert(dom:state().writes > state.writes, what)
end

t.test("each hook fails at each of its calls: the domain runs on, and there is no image", function()
  local options = { pages = 2500, link = "1G", workload = { { writes_per_s = 20000 } } }
  local good <close> = assert(xs.sim(options))
  assert(good:save(t.path "good.img", { resume = true }))
  local all, count = good:calls(), 0
  good:destroy()
  -- Looking at it after the save is not the save's; putting it back may fail and is told.
  local passed_over = { disableLogDirty = true, resume = true, peekLogDirty = true }
  for hook, calls in xs.sorted(all) do
    if not passed_over[hook] then
      for at = 1, calls do
        local is_last = at == calls and (hook == "switchEmulatorLogDirty" or hook == "info")
        if not is_last then
          local what = hook .. " " .. at
          local dom <close> = assert(xs.sim(options))
          dom:fault(hook, at, hook == "enableLogDirty" and 2 or 1, 12)
          local result, err = dom:save(t.path "bad.img", { resume = true })
          t.equal(result, nil, what)
          t.equal(err.code, hook, what)
          t.equal(err.errno, 12, what)
          assert(err.stage, what)
          t.equal(xs.glob(t.path "bad.img"), {}, what)
          check_runs_on(dom, what)
          dom:destroy()
          count = count + 1
        end
      end
    end
  end
  assert(count > 25, count)
end)

t.test("everything else that can happen to a domain", function()
  for _, case in ipairs {
    { "page-vanishes", "map" }, { "unknown-type", "page_type" },
    { "silent-suspend", "not_suspended" }, { "short-bitmap", "log_dirty" },
    { "domain-changes", "checkUnchanged" },
  } do
    for at = 1, 2 do
      local dom <close> = assert(xs.sim { pages = 2500, link = "1G", workload = { { writes_per_s = 5e4 } } })
      dom:fault(case[1], at)
      local result, err = dom:save(t.path "bad.img", { resume = true })
      if case[1] == "silent-suspend" and at == 2 then
        assert(result)
        assert(os.remove(t.path "bad.img"))
      else
        t.equal(err.code, case[2], case[1])
        t.equal(xs.glob(t.path "bad.img"), {})
      end
      check_runs_on(dom, case[1])
      dom:destroy()
    end
  end
  local dom <close> = assert(xs.sim { pages = 300 })
  dom:fault("domain-dies", 8)
  local _, err = dom:save(t.path "bad.img")
  t.match(err.message, "no such domain")
  t.equal(xs.glob(t.path "bad.img"), {})
end)

t.test("a full disk and a gone reader leave the domain running", function()
  local dom <close> = assert(xs.sim { pages = 1000, link = "1G", workload = { { writes_per_s = 1e4 } } })
  local full = assert(io.open("/dev/full", "r+"))
  local _, err = dom:save(full, { resume = true })
  t.equal(err.code, "enospc")
  check_runs_on(dom, "full disk")
  full:close()
  local pipe = assert(io.popen("head -c 100000 >/dev/null", "w"))
  _, err = dom:save(pipe, { resume = true })
  pipe:close()
  t.equal(err.code, "epipe")
  check_runs_on(dom, "gone reader")
end)

t.test("mistakes are told", function()
  local dom = assert(xs.sim { pages = 100 })
  t.raises("save has no option 'polisy' %(did you mean 'policy'", function()
    dom:save("x", { polisy = 1 })
  end)
  t.raises("expected where to save", function() dom:save { live = true } end)
  t.raises("is where the domain goes", dom.save, dom, t.path "same", { trace = t.path "./same" })
  t.raises("no member 'unpasue' in Domain %(did you mean 'unpause'", function() return dom.unpasue end)
  t.raises("no fault 'mapp' %(did you mean 'map'", function() dom:fault "mapp" end)
  t.raises("a PV domain comes from an image", xs.sim, { guest = "x86_pv" })
  t.raises("sim has no option 'page'", xs.sim, { page = 5 })
  t.raises("a phase has no 'writes'", xs.sim, { workload = { { writes = 5 } } })
  dom:close()
  dom:close()
  t.raises("handle is closed", function() return dom:info() end)
  local _, err = xs.sim { from = "no/such/image" }
  t.equal(err.code, "enoent")
end)

-- Where a save can fail outside of the hypervisor's own hooks: each of these has to.
local function raise() error "no" end
local failures = {
  ["a policy that gives up"] = function(dom)
    return dom:save(t.path "x.img", { policy = function() return "abort", "enough" end })
  end,
  ["a filter that raises"] = function(dom)
    return dom:save(t.path "x.img", { filter = { HVM_PARAMS = raise, X86_TSC_INFO = raise } })
  end,
  ["a filter that makes no good image"] = function(dom)
    local function drop() return false end
    return dom:save(t.path "x.img", {
      live = false, filter = { HVM_PARAMS = drop, X86_PV_VCPU_BASIC = drop },
    })
  end,
  ["a directory that is not there"] = function(dom)
    return dom:save(t.path "none/x.img")
  end,
  ["a receiver that refuses at the end"] = function(dom)
    return dom:migrate "cat > /dev/null; exit 3"
  end,
  ["a receiver that refuses at once"] = function(dom)
    return dom:migrate "exit 3"
  end,
  ["a receiver that refuses behind a filter"] = function(dom)
    return dom:migrate("cat > /dev/null; exit 3", { filter = { PAGE_DATA = function() end } })
  end,
  ["a checkpointed save whose filter raises"] = function(dom)
    return dom:checkpoint(t.path "x.img", {
      interval_ms = 1, filter = { HVM_PARAMS = raise, X86_TSC_INFO = raise },
    })
  end,
}

for what, fail in pairs(failures) do
  contract("is as it was before " .. what, function(dom)
    for _, before in ipairs { "running", "suspended", "paused" } do
      if before == "suspended" then assert(dom:suspend()) end
      -- To ask a guest that is paused takes a real one's time.
      if before == "paused" then
        if dom.name == real then break end
        assert(dom:pause())
      end
      local ok, result = pcall(fail, dom)
      assert(not ok or not result, "it did not fail")
      local info = assert(dom:info())
      t.equal(info.suspended, before == "suspended", before)
      t.equal(info.paused, before == "paused", before)
      if before == "suspended" then assert(dom:resume()) end
      if before == "paused" then assert(dom:unpause()) end
      t.equal(xs.domain(dom.id):info().suspended, false)
    end
  end)
end

contract("stays suspended through checkpoints", function(dom)
  assert(dom:suspend())
  local result = assert(dom:checkpoint(t.path "twice.img", { count = 2, interval_ms = 1 }))
  t.equal(result.checkpoints, 2)
  t.equal(dom:info().suspended, true)
  assert(dom:resume())
end)

contract("runs after its handle though a save of the suspended domain has failed", function(dom)
  local id = dom.id
  do
    local other <close> = assert(xs.domain(id))
    assert(other:suspend())
    assert(not other:migrate "cat > /dev/null; exit 3")
    t.equal(other:info().suspended, true)
  end
  t.equal(dom:info().suspended, false)
end)
