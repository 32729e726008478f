-- Tests of the shipped reports.
local xs = require "xensave"
local t = require "xensave.testing"

t.test("summary counts records and pages", function()
  local facts = require("xensave.reports.summary").facts(
    t.open(xs.synth { guest = "x86_pv", name = "one", vcpus = 2 }:save(t.path "pv.img")))
  t.equal({ facts.name, facts.guest, facts.vcpus, facts.xen }, { "one", "x86_pv", 2, "4.17" })
  t.equal(facts.records.X86_PV_VCPU_BASIC, 2)
  t.equal(facts.records.PAGE_DATA, 1)
  t.equal(facts.pages, { L1TAB = 1, L2TAB = 1, L3TAB = 1, L4TAB = 1, NOTAB = 28 })
end)

t.test("registers of HVM vCPUs", function()
  local image = t.open(xs.synth { vcpus = 2 }:save(t.path "hvm.img"))
  local vcpus = require("xensave.reports.registers").vcpus(image)
  t.equal({ vcpus[0].rip, vcpus[1].cr0, vcpus[2] }, { 0x100000, 0x11, nil })
end)

t.test("registers of PV vCPUs", function()
  local image = t.open(xs.synth { guest = "x86_pv" }:save(t.path "pv.img"))
  local vcpus = require("xensave.reports.registers").vcpus(image)
  t.equal({ vcpus[0].rdx, vcpus[0].cr3 }, { 5, 0x1000 })
end)

t.test("compare finds nothing in the same image", function()
  local compare = require "xensave.reports.compare"
  for _, guest in ipairs { "x86_hvm", "x86_pv" } do
    local path = xs.synth { guest = guest }:save(t.path(guest))
    t.equal(compare.differences(t.open(path), t.open(path)), {})
  end
end)

t.test("compare names fields", function()
  local compare = require "xensave.reports.compare"
  local a = t.open(xs.synth { vcpus = 2 }:save(t.path "a.img"))
  local b = t.open(
    xs.synth { vcpus = 2, name = "other", xen = "4.18" }:add(xs.record "VERIFY"):save(t.path "b"))
  local out = t.path "c.img"
  assert(xs.rewrite(b, out, {
    X86_TSC_INFO = function(rec) rec.khz = 9 end,
    HVM_CONTEXT = function(rec)
      for cpu in rec:each "CPU" do
        if cpu.instance == 1 then cpu.rip = 4 end
      end
    end,
  }, { unchecked = true }))
  local found = {}
  for _, d in ipairs(compare.differences(a, t.open(out))) do
    found[d.place .. "." .. d.field] = d.b
  end
  t.equal(found, {
    ["config.c_info.name"] = "other", ["domain_header.xen_minor"] = 18,
    ["X86_TSC_INFO.khz"] = 9, ["HVM_CONTEXT.CPU[1].rip"] = 4, ["VERIFY."] = "there",
  })
end)

t.test("pages counts types, zeros and duplicates", function()
  local facts = require("xensave.reports.pages").facts(t.open(
    xs.synth { guest = "x86_pv", pages = { [0x10] = 5, [0x11] = 5 } }:save(t.path "pages.img")))
  t.equal({ facts.pages, facts.data, facts.distinct, facts.zero }, { 32, 32, 7, 25 })
  t.equal(facts.types, { L1TAB = 1, L2TAB = 1, L3TAB = 1, L4TAB = 1, NOTAB = 28 })
  t.equal(facts.top[2], { count = 2, first_pfn = 0x10, image = 1, zero = false })
end)

t.test("restores-on names what speaks against it", function()
  local answer = require("xensave.reports.restores-on").answer
  local image = t.open(xs.synth {}:save(t.path "new.img"))
  t.equal(answer(image, "4.17"), { xen = "4.17", restores = true })
  local old = answer(image, "4.6")
  t.equal(old.restores, false)
  t.equal(#old.reasons > 0, true)
end)

t.test("restores-on knows the processors, too", function()
  local image = t.open "Tests/Fixtures/pv-4m-1v-tiny.xlsave"
  local answer = require("xensave.reports.restores-on").answer
  local level = require("xensave.cpuid").named
  t.equal(answer(image, "4.17", level "zen2"), { xen = "4.17", restores = true })
  local reasons = answer(image, "4.17", level "sandybridge").reasons
  t.equal({ reasons[1], reasons[4] }, { "abm", "bmi1" })
end)

t.test("holds finds bytes and pages", function()
  local holds = require "xensave.reports.holds"
  local pages = { [0x10] = 5, [0x11] = 6 }
  local a = t.open(xs.synth { guest = "x86_pv", pages = pages }:save(t.path "a.img"))
  local b = t.open(xs.synth { guest = "x86_pv", pages = { [0x14] = 6 } }:save(t.path "b.img"))
  local found = holds.pages(a, b, 10)
  t.equal({ found.holds, found.places[#found.places] }, { true, 0x11 })
  t.equal(holds.pages(a, b, 0).places, nil)
  t.equal(holds.bytes(a, ("\5"):rep(4096), "bytes", 3),
    { holds = true, count = 1, places = { "0x10000" } })
  t.equal(holds.bytes(a, "not there", "bytes", 3), { holds = false, count = 0 })
end)

t.test("kernel says why there is none", function()
  local facts = require("xensave.reports.kernel").facts(
    t.open(xs.synth { name = "one" }:save(t.path "one.img")))
  t.equal({ facts.name, facts.kernel }, { "one", nil })
  t.equal(facts.problem:find "no kernel was found" ~= nil, true)
  t.equal(facts.problem:find "kernel.lua", nil)
end)

t.test("shared pages of several images are counted once", function()
  local facts = require("xensave.reports.shared-pages").facts
  local pages = { [0x10] = 5, [0x11] = 6 }
  local a = t.open(xs.synth { guest = "x86_pv", pages = pages }:save(t.path "a.img"))
  local one = facts(a, {})
  local two = facts(a, { t.open(xs.synth { guest = "x86_pv", pages = pages }:save(t.path "b.img")) })
  t.equal({ two.images, two.pages, two.distinct }, { 2, 2 * one.pages, one.distinct })
  t.equal(two.saved, 1 - one.distinct / (2 * one.pages))
end)

t.test("the best policy stays within the downtime", function()
  local trace = t.path "run.trace"
  local domain = assert(xs.sim.domain {
    memory_mib = 16, workload = { { seconds = 60, writes_per_s = 40000, hot_pages = 3000 } },
  })
  assert(domain:save(t.path "run.img", { policy = "builtin", trace = trace }))
  local row = require("xensave.reports.best-policy").row
  local policies = { "builtin", "invisible", "frugal" }
  local quick = row(trace, policies, { link = "1G" })
  local cheap = row(trace, policies, { link = "1G", max_ms = 1e9 })
  for _, name in ipairs(policies) do
    t.equal(quick.results[quick.best].downtime_ms <= quick.results[name].downtime_ms, true)
    t.equal(cheap.results[cheap.best].bytes <= cheap.results[name].bytes, true)
  end
end)

t.test("secrets are found where they are, and mentions of them are none", function()
  local texts = {
    [0x10] = "xx-----BEGIN RSA PRIVATE KEY-----", [0x11] = "-----BEGIN PUBLIC KEY-----",
    [0x12] = "AKIAIOSFODNN7EXAMPLE", [0x13] = "AKIA is how they begin",
    [0x14] = "root:$6$saltsalt$0123456789abcdef", [0x15] = "glpat-shrt",
  }
  local pages = {}
  for pfn in pairs(texts) do pages[pfn] = 1 end
  local out = t.path "with.img"
  assert(xs.rewrite(xs.synth { guest = "x86_pv", pages = pages }:save(t.path "plain.img"), out, {
    PAGE_DATA = function(batch)
      for pfn, text in pairs(texts) do
        for _, view in batch:each(xs.pages.pfn(pfn)) do view:put(8, text) end
      end
    end,
  }))
  local find = require("xensave.reports.secrets").find
  local found, total, problem = find(t.open(out))
  local shown = {}
  for index, row in ipairs(found) do shown[index] = { row.kind, row.address } end
  t.equal(shown, {
    { "private key (PEM)", 0x1000a }, { "AWS access key", 0x12008 }, { "hashed password", 0x14008 },
  })
  t.equal(total, 3)
  -- The guest is no Linux: that is said, and the secrets are there all the same.
  t.match(problem, "no kernel was found")
  local more, count = find(t.open(out), { regexes = { "glpat-[a-z]+" }, limit = 1 })
  t.equal({ #more, count }, { 4, 4 })
end)
