-- Tests of the shipped policies: decisions by hand, and replays of simulated saves.
local xs = require "xensave"
local t = require "xensave.testing"

-- Statistics as a policy sees them; what is not given is that of a save in its second round.
local function stats(fields)
  local s = {
    iteration = 1, total_written = 1000, dirty_count = 100, max_pages = 1000, phase = "before",
    elapsed = 1, round_time = 1, bandwidth = 1000, bandwidth_raw = 1000, dirty_rate = 100,
    dirty_rate_raw = 100, time = 0, hour = 12,
  }
  for key, value in pairs(fields or {}) do s[key] = value end
  if s.dirty_count == false then s.dirty_count = nil end
  if s.dirty_count and s.bandwidth > 0 then s.est_downtime = s.dirty_count / s.bandwidth end
  return s
end

-- A policy of its own, begun.
local function policy(name, options)
  local path = xs.load_policy(name).path
  local p = assert(loadfile(path))()
  for key, value in pairs(options or {}) do
    assert(p.opts[key] ~= nil, key)
    p.opts[key] = value
  end
  if p.on_start then p:on_start { id = 1, max_pages = 1000 } end
  return p
end

t.test("every policy has a name, a summary, options and a method", function()
  for _, name in ipairs {
    "builtin", "downtime-budget", "total-time", "bandwidth-aware", "give-up", "night-batch",
    "converge", "frugal", "invisible", "ramp", "remus-fast",
  } do
    local loaded = xs.load_policy(name)
    t.equal(loaded.name, name)
    t.equal(policy(name).name, name)
    assert(#loaded.summary > 20, name)
    assert(next(loaded.opts), name)
  end
end)

t.test("builtin decides as Xen does", function()
  local p = policy "builtin"
  for _, case in ipairs {
    { 0, 49, "stop" }, { 0, 50, "continue" }, { 4, 50, "continue" }, { 5, 5000, "stop" },
    { 4, false, "continue" }, { 5, false, "stop" }, { 0, 0, "stop" },
  } do
    t.equal(p:precopy(stats { iteration = case[1], dirty_count = case[2] }), case[3])
  end
end)

t.test("downtime-budget stops within the budget, and when more does not help", function()
  local p = policy("downtime-budget", { downtime_ms = 100, patience = 2 })
  t.equal(p:precopy(stats { iteration = 0, bandwidth = 0, dirty_count = 1000 }), "continue")
  t.equal(p:precopy(stats { dirty_count = 101 }), "continue")
  t.equal(p:precopy(stats { dirty_count = 100 }), "stop")
  p = policy("downtime-budget", { downtime_ms = 10, patience = 2 })
  t.equal(p:precopy(stats { dirty_count = 500 }), "continue")
  t.equal(p:precopy(stats { dirty_count = 600 }), "continue")
  t.equal(p:precopy(stats { dirty_count = 499 }), "continue")
  t.equal(p:precopy(stats { dirty_count = 499 }), "continue")
  t.equal(p:precopy(stats { dirty_count = 499 }), "stop")
  t.equal(p:precopy(stats { dirty_count = 11, iteration = 30 }), "stop")
end)

t.test("total-time leaves time for the last round", function()
  local p = policy("total-time", { total_s = 10, downtime_ms = 1 })
  -- 2000 pages take 2 s, in which 200 are dirtied: 0.2 s. 7 + 2.2 < 10 <= 8 + 2.2.
  local s = { dirty_count = 2000, max_pages = 5000 }
  s.elapsed = 7
  t.equal(p:precopy(stats(s)), "continue")
  s.elapsed = 7.9
  t.equal(p:precopy(stats(s)), "stop")
  t.equal(p:precopy(stats { dirty_count = 1 }), "stop")
end)

t.test("bandwidth-aware weighs what a round gains", function()
  local p = policy("bandwidth-aware", { min_gain = 0.2, downtime_ms = 1 })
  t.equal(p:precopy(stats { dirty_rate_raw = 790 }), "continue")
  t.equal(p:precopy(stats { dirty_rate_raw = 810 }), "stop")
  t.equal(p:precopy(stats { dirty_rate_raw = 5000 }), "stop")
  t.equal(p:precopy(stats { dirty_count = 1 }), "stop")
end)

t.test("give-up aborts with a reason", function()
  local p = policy("give-up", { downtime_ms = 10, patience = 1 })
  t.equal(p:precopy(stats { dirty_count = 500 }), "continue")
  local what, why = p:precopy(stats { dirty_count = 500 })
  t.equal(what, "abort")
  t.match(why, "faster than they are sent %(500 of them are left, 500 ms%)")
  p = policy("give-up", { downtime_ms = 10, max_ratio = 2 })
  t.equal(p:precopy(stats { total_written = 2000 }), "continue")
  t.equal((p:precopy(stats { total_written = 2001, dirty_count = 90 })), "abort")
  t.equal(p:precopy(stats { dirty_count = 10 }), "stop")
end)

t.test("converge says after the first round what it cannot keep", function()
  local options = { downtime_ms = 100, total_s = 20, max_throttle = 50 }
  local p = policy("converge", options)
  local function doubt(fields)
    fields.deferred, fields.skipped, fields.throttle = 0, 0, 0
    return p:doubt(stats(fields))
  end
  t.equal(doubt { dirty_count = 1000, dirty_rate = 500, elapsed = 5 }, nil)
  t.equal(doubt { dirty_count = 50, dirty_rate = 5000, elapsed = 5 }, nil)
  t.match(doubt { dirty_count = 1000, dirty_rate = 2000 }, "rounds do not get smaller")
  t.equal(doubt { dirty_count = 1000, dirty_rate = 1900 }, nil)
  t.match(doubt { dirty_count = 1000, dirty_rate = 1980 }, "would take %d+%.%d s, and 19%.0 s are left")
  t.match(doubt { dirty_count = 1000, elapsed = 19.5 }, "one round over all pages took 19%.5 s of 20 s")
  t.equal(doubt { dirty_count = false }, nil)
end)

t.test("night-batch knows the hour", function()
  local p = policy("night-batch", { day_ms = 100, night_ms = 3000 })
  for _, case in ipairs {
    { 21.9, "continue" }, { 22, "stop" }, { 0, "stop" }, { 5.99, "stop" }, { 6, "continue" },
  } do
    t.equal(p:precopy(stats { hour = case[1], dirty_count = 1000 }), case[2], "hour " .. case[1])
  end
  p = policy("night-batch", { from = 1, to = 5 })
  t.equal(p:is_night(0.5), false)
  t.equal(p:is_night(1), true)
  t.equal(p:is_night(5), false)
end)

t.test("every policy ends though nobody knows how much is dirty", function()
  for _, name in ipairs {
    "builtin", "downtime-budget", "total-time", "bandwidth-aware", "give-up", "night-batch",
  } do
    local p, what = policy(name), nil
    for round = 0, 40 do
      what = p:precopy(stats {
        iteration = round, dirty_count = round == 0 and 1000 or false,
        bandwidth = round == 0 and 0 or 1000, elapsed = round,
      })
      if what ~= "continue" then break end
    end
    t.equal(what, name == "give-up" and "abort" or "stop", name)
  end
end)

local function recorded(workload, rounds)
  local dom <close> = assert(xs.sim { pages = 3000, link = "1G", workload = workload })
  local result = assert(dom:save(t.path "nowhere.img", {
    unchecked = true, resume = true,
    policy = function(s) return s.iteration >= rounds and "stop" or "continue" end,
  }))
  return result.trace
end

t.test("replays of the same save differ by policy only", function()
  local trace = recorded({ { writes_per_s = 3000 } }, 8)
  local native = assert(xs.sim.replay(trace, function(s)
    if s.dirty_count < 50 or s.iteration >= 5 then return "stop" end
    return "continue"
  end, { link = "1G" }))
  local builtin = assert(xs.sim.replay(trace, "builtin", { link = "1G" }))
  t.equal(builtin.outcome, "complete")
  t.equal(builtin.failures, 0)
  t.equal(builtin.dirty_counts, native.dirty_counts)
  local strict = assert(xs.sim.replay(trace, xs.load_policy "downtime-budget" { downtime_ms = 4 },
    { link = "1G" }))
  assert(strict.downtime_ms <= builtin.downtime_ms)
  local hopeless = recorded({ { writes_per_s = 1000000 } }, 6)
  local given = assert(xs.sim.replay(hopeless, xs.load_policy "give-up" { downtime_ms = 10 },
    { link = "1G" }))
  t.equal(given.outcome, "aborted")
  t.match(given.reason, "faster than they are sent")
  local soon = assert(xs.sim.replay(hopeless, "bandwidth-aware", { link = "1G" }))
  local all = assert(xs.sim.replay(hopeless, "builtin", { link = "1G" }))
  assert(soon.octets < all.octets, "it wastes less")
end)

t.test("night falls in a replay", function()
  local trace = recorded({ { writes_per_s = 20000 } }, 8)
  local by_hour = xs.load_policy "night-batch" { day_ms = 1, night_ms = 200 }
  local day = assert(xs.sim.replay(trace, by_hour, { link = "1G", hour = 12 }))
  local night = assert(xs.sim.replay(trace, by_hour, { link = "1G", hour = 23 }))
  assert(night.rounds < day.rounds, night.rounds .. " " .. day.rounds)
end)

t.test("traces are read, and bad ones are told", function()
  local trace = recorded({}, 2)
  local path = assert(trace:save(t.path "a.trace"))
  t.equal(tostring(assert(xs.sim.trace(path))), tostring(trace))
  t.equal(select(2, xs.sim.trace(t.path "nowhere")).code, "enoent")
  local file <close> = assert(io.open(t.path "bad.trace", "w"))
  file:write "nonsense\n"
  file:flush()
  t.equal(select(2, xs.sim.replay(t.path "bad.trace", "builtin")).code, "bad_trace")
end)

-- What comes of a policy given as text.
local function load_text(text, options)
  local path = t.path "policy.lua"
  local file <close> = assert(io.open(path, "w"))
  file:write(text)
  file:flush()
  local loaded = xs.load_policy(path)
  if options then return loaded(options) end
  return loaded
end

local function save(loaded, options)
  local dom <close> = assert(xs.sim { pages = 2000, link = "1G", workload = { { writes_per_s = 1e5 } } })
  options = options or {}
  options.policy, options.resume, options.unchecked = loaded, true, true
  return dom:save(t.path "nowhere.img", options)
end

t.test("a policy is a table, a function, or a function that makes one", function()
  local table_form = load_text "return { precopy = function(self, s) return 'stop' end }"
  t.equal(assert(save(table_form)).rounds, 1)
  local plain = load_text [[
    local calls = 0
    return function(s) calls = calls + 1; return calls == 2 and "stop" or "continue" end]]
  t.equal(assert(save(plain)).rounds, 2)
  local maker = load_text [[
    return function(o)
      local n = o.n or 1
      return { opts = { n = 3 }, precopy = function(self, s)
        return s.iteration >= self.opts.n and 1 or 0
      end }
    end]]
  t.equal(assert(save(maker)).rounds, 4)
  t.equal(assert(save(maker { n = 1 })).rounds, 2)
  t.equal(assert(save(maker { n = 1 })).policy_failures, 0)
end)

t.test("an answer can say how rounds are sent", function()
  local seen = load_text [[
    local xs = require "xensave"
    return { precopy = function(self, s)
      xs.log.warn("%d %d %s", s.iteration, s.throttle, s.hot and #s.hot or "no counts")
      if s.iteration == 0 then
        return { "continue", defer = { 2, 3 }, skip = true, throttle = 60, order = "cold_first", limit = 1e8 }
      end
      -- A word leaves it as it is.
      return s.iteration == 2 and "stop" or "continue"
    end }]]
  local dom <close> = assert(xs.sim { pages = 2000, link = "1G", workload = { { writes_per_s = 1e5 } } })
  local result = assert(dom:save(t.path "nowhere.img", { policy = seen, resume = true, unchecked = true }))
  t.equal(result.policy_failures, 0)
  t.equal(result.rounds, 3)
  -- At 100 MB/s, not at 125, all of its rounds.
  local first = result.trace.rounds[1]
  local speed = first.octets / (first.end_s - first.begin_s)
  assert(speed > 90e6 and speed < 101e6, speed)
end)

t.test("answers that make no sense are refused, and Xen's policy decides", function()
  for _, answer in ipairs {
    "{}", "{ 'continue', defer = 3 }", "{ 'continue', defer = { 3, 2 } }", "{ 'continue', defer = { 1, 9 } }",
    "{ 'continue', skip = 1 }", "{ 'continue', throttle = 100 }", "{ 'continue', throttle = -1 }",
    "{ 'continue', order = 'random' }", "{ 'continue', limit = 0 }", "{ 'continue', limit = 'fast' }",
    "{ 'continue', defers = { 1, 2 } }", "{ action = 'continue' }", "{ 5 }",
  } do
    local result = assert(save(load_text("return { precopy = function() return " .. answer .. " end }")))
    assert(result.policy_failures > 0, answer)
  end
end)

t.test("converge keeps within its downtime where slowing down helps, and frugal sends less", function()
  local busy = { { writes_per_s = 60000, hot_pages = 1500, hot_percent = 90 } }
  local function run(name, options)
    local dom <close> = assert(xs.sim { pages = 8000, link = "1G", workload = busy })
    return assert(dom:migrate("cat >/dev/null", {
      policy = options and xs.load_policy(name)(options) or name, unchecked = true, deadline_ms = 600000,
    }))
  end
  local builtin = run "builtin"
  local converge = run("converge", { downtime_ms = 15 })
  assert(builtin.downtime > 0.02, builtin.downtime)
  assert(converge.downtime <= 0.015, converge.downtime)
  local frugal = run("frugal", { downtime_ms = 200 })
  assert(frugal.pages < builtin.pages and frugal.downtime <= 0.2, frugal.downtime)
  local invisible = run "invisible"
  assert(invisible.downtime <= builtin.downtime * 1.05, invisible.downtime)
end)

t.test("options are checked", function()
  t.raises("no option 'downtime_m' %(did you mean 'downtime_ms'", xs.load_policy "downtime-budget",
    { downtime_m = 5 })
  t.raises("option downtime_ms: expected a number, got 'x'", xs.load_policy "downtime-budget",
    { downtime_ms = "x" })
  t.raises("no policy 'downtime'", xs.load_policy, "downtime")
  t.raises("no method 'on_complet' %(did you mean 'on_complete'", load_text,
    "return { on_complet = function() end }")
  t.raises("expected a policy", load_text, "return 5")
  t.raises("policy.lua:1: unexpected symbol", load_text, "return = 5")
end)

t.test("every method is called, with what it is promised", function()
  local loaded = load_text [[
    local xs = require "xensave"
    local M = { calls = {} }
    for _, name in ipairs { "on_start", "on_suspend", "on_postcopy", "on_checkpoint",
        "on_complete", "on_error" } do
      M[name] = function(self, a, b)
        local text = type(a) == "table" and (a.outcome or a.message or a.guest)
          or type(a) == "userdata" and a.iteration
        xs.log.warn("%s %s %s", name, text, b)
      end
    end
    function M:precopy(s)
      local copy = s:copy()
      assert(copy.iteration == s.iteration and copy.phase == s.phase)
      assert(not pcall(function() s.iteration = 5 end))
      if s.iteration == 1 then return "stop" end
      return "continue"
    end
    return M]]
  local result = assert(save(loaded))
  t.equal(result.policy_failures, 0)
  t.equal(result.policy_calls, 5)
  local dom <close> = assert(xs.sim { pages = 100 })
  result = assert(dom:checkpoint(t.path "nowhere.img", { count = 2, policy = loaded, unchecked = true }))
  t.equal(result.checkpoints, 2)
  t.equal(result.policy_failures, 0)
  local _, err = save(load_text [[
    return { precopy = function() return "abort", "enough" end,
      on_error = function(self, e) assert(e.code == "aborted" and e.message:find "enough") end }]])
  t.equal(err.code, "aborted")
end)

t.test("on_checkpoint ends a checkpointed save", function()
  local dom <close> = assert(xs.sim { pages = 100 })
  local counting = { precopy = function() return "stop" end,
    on_checkpoint = function(_, _, count) return count < 3 end }
  local result = assert(dom:checkpoint(t.path "nowhere.img", { count = 10, policy = counting, unchecked = true }))
  t.equal(result.checkpoints, 3)
  t.equal(dom:state().running, true)
end)

t.test("restores tell their policy", function()
  local dom <close> = assert(xs.sim { pages = 300 })
  assert(dom:save(t.path "a.img", { resume = true }))
  local seen = {}
  local blank <close> = assert(xs.sim { pages = 300, blank = true })
  assert(blank:restore(t.path "a.img", { policy = {
    on_restore = function(_, info) seen.guest, seen.xen = info.guest, info.xen end,
    on_static_data = function(_, missing) seen.missing = #missing end,
    on_complete = function(_, result) seen.outcome = result.outcome end,
  } }))
  t.equal(seen, { guest = "x86_hvm", xen = "4.17", missing = 0, outcome = "complete" })
end)

t.test("failures are answered by the builtin policy, three in a row put a policy out", function()
  -- What Xen would do, for comparison: the same domain, the same link.
  local native = assert(save "builtin")
  for text, calls in pairs {
    ["return { precopy = function() error 'no' end }"] = 3,
    ["return { precopy = function() return 'maybe' end }"] = 3,
    ["return { precopy = function() return 7 end }"] = 3,
    ["return { precopy = function() while true do end end }"] = 3,
    ["return { precopy = function() while true do pcall(function() while true do end end) end end }"] = 3,
  } do
    local result = assert(save(load_text(text), { deadline_ms = 20 }))
    t.equal(result.rounds, native.rounds, text)
    t.equal(result.policy_calls, calls, text)
    t.equal(result.policy_failures, 3, text)
  end
  -- Every second call is good: it begins to count anew, and the policy stays.
  local result = assert(save(load_text [[
    local n = 0
    return { precopy = function()
      n = n + 1
      if n % 2 == 1 then error "no" end
      return "continue"
    end }]]))
  t.equal({ result.rounds, result.policy_calls, result.policy_failures }, { 7, 7, 4 })
end)

t.test("the same for a policy that runs in this script", function()
  local native = assert(save "builtin")
  local co = coroutine.wrap(function() while true do pcall(coroutine.yield) end end)
  for what, bad in pairs {
    errors = function() error "no" end,
    raises = function() error { no = "text" } end,
    words = function() return "maybe" end,
    numbers = function() return 7 end,
    nothing = function() end,
    tables = { precopy = function() return {} end },
    loops = function() while true do end end,
    pcalls = function() while true do pcall(function() while true do end end) end end,
    coroutines = { precopy = function() while true do co() end end },
    recursion = function() local function f() return 1 + f() end return f() end,
  } do
    local result, err = save(bad, { deadline_ms = 20 })
    assert(result, what .. ": " .. tostring(err))
    t.equal(result.rounds, native.rounds, what)
    t.equal(result.policy_calls, 3, what)
    t.equal(result.policy_failures, 3, what)
  end
  -- Every second call is good: it begins to count anew, and the policy stays.
  local n = 0
  local result = assert(save(function()
    n = n + 1
    if n % 2 == 1 then while true do end end
    return "continue"
  end, { deadline_ms = 20 }))
  t.equal({ result.rounds, result.policy_calls, result.policy_failures }, { 7, 7, 4 })
  -- The script continues as before, and what runs after the save is not stopped.
  local sum = 0
  for i = 1, 3000000 do sum = sum + i % 7 end
  assert(sum > 0)
end)

t.test("a policy that cannot be stopped is left behind", function()
  local stuck = load_text [[
    return { precopy = function()
      return (("a"):rep(40)):find(("a*"):rep(20) .. "b")
    end }]]
  local result = assert(save(stuck, { deadline_ms = 20 }))
  t.equal(result.policy_failures, 1)
  t.equal(result.policy_calls, 1)
end)

t.test("asked twice where it wants to be", function()
  local phases = {}
  assert(save { both_phases = true, precopy = function(_, s)
    phases[#phases + 1] = s.phase .. tostring(s.dirty_count ~= nil)
    return s.iteration >= 2 and "stop" or "continue"
  end })
  t.equal(phases, { "beforetrue", "afterfalse", "beforetrue", "afterfalse" })
end)
