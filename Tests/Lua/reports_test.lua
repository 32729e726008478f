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
