-- Tests of the levelling module, over a synthetic image and the two that are real.
local xs = require "xensave"
local t = require "xensave.testing"
local cpuid = require "xensave.cpuid"

local folder = debug.getinfo(1, "S").source:match "^@(.*)/Lua/" or "Tests"
local pv = folder .. "/Fixtures/pv-4m-1v-tiny.xlsave"

t.test("every level's features have a place in CPUID", function()
  local count = 0
  for _, name in ipairs(cpuid.names()) do
    for _, feature in ipairs(cpuid.named(name).lacks) do
      t.equal(math.type(xs.cpuid.bit(feature).mask), "integer", feature)
      count = count + 1
    end
  end
  t.equal(count > 100, true)
  t.raises("no level 'pentium': expected one of conroe, ", cpuid.named, "pentium")
end)

t.test("a level by name lacks what came later, and what depends on it", function()
  local lacks = {}
  for _, name in ipairs(cpuid.named("x86-64-v2").lacks) do lacks[name] = true end
  for _, name in ipairs { "avx", "avx2", "fma", "avx512f", "avx512_vnni", "vaes", "bmi2" } do
    t.equal(lacks[name], true, name)
  end
  for _, name in ipairs { "sse4_2", "popcnt", "aesni", "xsave" } do
    t.equal(lacks[name], nil, name)
  end
end)

t.test("a generation lacks all that others have and it has not", function()
  local level = cpuid.named "icelake-server"
  local lacks = {}
  for _, name in ipairs(level.lacks) do lacks[name] = true end
  for _, name in ipairs { "serialize", "tsxldtrk", "cldemote", "movdiri", "movdir64b", "fzrm", "fsrs",
    "fsrcs", "amx_tile", "amx_fp16", "sse4a", "clzero", "auto_ibrs", "mpx" } do
    t.equal(lacks[name], true, name)
  end
  -- What Xen gives by itself is lacking nowhere.
  for _, name in ipairs { "hypervisor", "x2apic", "md_clear", "no_lmsl", "arch_caps" } do
    t.equal(lacks[name], nil, name)
  end
  t.equal(cpuid.named("EPYC-Milan").name, "zen3")
  t.equal(cpuid.named("zen3").vendor, "AuthenticAMD")
  t.equal(level.optional.rtm, true)
end)

-- An image whose CPUID policy has these leaves: { leaf, subleaf or nil, a, b, c, d }.
local function with_leaves(rows, msrs)
  local leaves = {}
  for i, row in ipairs(rows) do
    leaves[i] = { leaf = row[1], subleaf = row[2] or 0xffffffff, a = row[3], b = row[4], c = row[5],
      d = row[6] }
  end
  return t.rewrite(xs.synth { guest = "x86_hvm" }:save(t.path "leaves.img"), {
    X86_CPUID_POLICY = function() return xs.record("X86_CPUID_POLICY", { leaf = leaves }) end,
    X86_MSR_POLICY = function(rec)
      return msrs and xs.record("X86_MSR_POLICY", { msr = msrs }) or rec
    end,
  })
end

-- Intel, with XSAVE, AVX and all that they need, and leaf 7.
local function intel(leaf7, more)
  local rows = {
    { 0, nil, 0xd, 0x756e6547, 0x6c65746e, 0x49656e69 },
    { 1, nil, 0, 0, 0x14000001, 0x07818bff }, { 7, 0, 0, leaf7[1], leaf7[2], leaf7[3] },
    { 0xd, 0, 7, 832, 832, 0 }, { 0xd, 2, 256, 576, 0, 0 },
    { 0x80000001, nil, 0, 0, 1, 0x28100800 },
  }
  for _, row in ipairs(more or {}) do rows[#rows + 1] = row end
  return rows
end

t.test("what depends on a feature is lost and said with it", function()
  -- AVX2, SMAP; VAES.
  local img = with_leaves(intel { 1 << 5 | 1 << 20, 1 << 9, 0 })
  t.equal(cpuid.report(img, cpuid.without(img, "nx")), "smap\nnx")
  t.equal(cpuid.report(img, cpuid.without(img, "avx")), "avx\navx2\nvaes\nxcr0 0x7 -> 0x3")
  local after = t.rewrite(img.path, cpuid.filter(cpuid.without(img, "xsave")))
  t.equal(after.cpuid:has "avx", false)
  t.equal(after.cpuid:leaf(0xd, 0).c, 0)
  t.equal(after.cpuid:leaf(0).a, 0xb)
end)

t.test("MSRs lose what depends on a feature", function()
  -- IBRSB and ARCH_CAPS in leaf 7; EIBRS, RRSBA and RDCL_NO in the MSR.
  local img = with_leaves(intel { 0, 0, 1 << 26 | 1 << 29 },
    { { index = 0x10a, value = 1 | 1 << 1 | 1 << 19 } })
  local after = t.rewrite(img.path, cpuid.filter(cpuid.without(img, "ibrsb")))
  t.equal(after:first("X86_MSR_POLICY"):find({ index = 0x10a }).value, 1)
  -- Of what a level lacks in the MSR itself, too.
  after = t.rewrite(img.path, cpuid.filter(cpuid.of_json '{"lacks":["eibrs"]}'))
  t.equal(after:first("X86_MSR_POLICY"):find({ index = 0x10a }).value, 1)
end)

t.test("what the level says nothing of is listed", function()
  -- INTEL_PPIN is in no model; HLE is a matter of microcode.
  local img = with_leaves(intel({ 1 << 4 | 1 << 7, 0, 0 }, { { 7, 1, 0, 1, 0, 0 } }))
  local unsaid, optional = cpuid.unsaid(img, cpuid.named "haswell")
  t.equal(table.concat(unsaid, " "), "intel_ppin")
  t.equal(table.concat(optional, " "), "hle")
  t.match(cpuid.report(img, cpuid.named "haswell"), "says nothing of it: intel_ppin\n")
  t.equal(cpuid.report(img, cpuid.of_image(img)), "")
  -- A level of the psABI speaks of few features.
  t.equal(table.concat(cpuid.unsaid(img, cpuid.named "x86-64-v2"), " "):find "smep" ~= nil, true)
end)

t.test("vendors are compared, and releases say what they refuse", function()
  local img = with_leaves(intel({ 1 << 7, 0, 0 }, { { 7, 1, 0, 0, 0, 0 } }))
  local function reasons(level, xen)
    local _, list = cpuid.check(img, level, xen)
    return table.concat(list, "\n")
  end
  t.match(reasons(cpuid.named "zen5"), "is of GenuineIntel, the host's of AuthenticAMD %(Xen refuses it from 4.22 on%)")
  t.match(reasons(cpuid.named "zen5", "4.22"), "AuthenticAMD %(Xen refuses it%)")
  local host = cpuid.of_image(img)
  for _, leaf in ipairs(host.leaves) do
    if leaf.leaf == 0 then leaf.a = 0xb end
  end
  t.match(reasons(host), "^CPUID 0x0: goes to 0xd, the host's to 0xb %(refused before Xen 4.18.4")
  t.match(reasons(host, "4.18.3"), "goes to 0xd")
  t.equal(reasons(host, "4.18.4"), "")
  t.raises("expected a release of Xen such as", cpuid.check, img, host, "5.0")
end)

t.test("levels from JSON", function()
  local level = assert(cpuid.of_json [[
    { "leaves": [ { "leaf": 7, "subleaf": 0, "ebx": "0x8" }, { "leaf": "0x1", "subleaf": "0xffffffff",
      "a": 1, "b": 2, "c": 3, "d": 4 } ], "msrs": [ { "index": 266, "value": "0x1c0f" } ],
      "lacks": [ "rdrand" ] }]])
  t.equal(level.leaves[1].b, 8)
  t.equal(level.leaves[1].subleaf, 0)
  t.equal(level.leaves[2].subleaf, nil)
  t.equal(level.leaves[2].d, 4)
  t.equal(level.msrs[1].value, 0x1c0f)
  t.equal(level.lacks[1], "rdrand")
  t.equal(assert(cpuid.of_json '[{"leaf":7,"subleaf":0,"b":1}]').leaves[1].b, 1)
  local none, err = cpuid.of_json "{"
  t.equal(none, nil)
  t.match(tostring(err), "the text ends inside a value")
  t.raises("leaves%[1%]: expected a field 'leaf'", cpuid.of_json, '{"leaves":[{"a":1}]}')
  t.raises("leaves%[1%].a: expected 32 bits, got 0x100000000", cpuid.of_json,
    '[{"leaf":1,"a":4294967296}]')
  t.raises("expected an integer, got 1.5", cpuid.of_json, '[{"leaf":1.5}]')
  t.raises("no 'leafs'", cpuid.of_json, '{"leafs":[]}')
  t.raises("no CPUID feature", cpuid.of_json, '{"lacks":["avx3"]}')
  t.equal(select(1, cpuid.of_file(t.path "absent.json")), nil)
end)

t.test("what JSON holds comes back", function()
  for _, value in ipairs {
    1, -1, 0x7fffffffffffffff, 1.5, "a\"b", true, { 1, 2, { a = "b" } }, { a = { b = { 1 } } },
  } do
    t.equal(xs.repr(xs.from_json(xs.json(value))), xs.repr(value))
  end
  t.equal(xs.from_json "18446744073709551615", -1)
  local none, err = xs.from_json "[1,"
  t.equal(none, nil)
  t.equal(err.code, "bad_json")
end)

t.test("check says why an image would not restore", function()
  local img = t.open(pv)
  local own = cpuid.of_image(img)
  t.equal(cpuid.check(img, own), true)
  t.equal(cpuid.report(img, own), "")
  local host = cpuid.without(img, "avx2")
  for _, leaf in ipairs(host.leaves) do
    if leaf.leaf == 0 then leaf.a = leaf.a - 1 end
  end
  for _, msr in ipairs(host.msrs) do msr.value = 0 end
  local ok, reasons = cpuid.check(img, host)
  t.equal(ok, false)
  t.equal(reasons[1], "avx2")
  t.match(reasons[2], "^CPUID 0x0: goes to 0x%x+, the host's to 0x%x+ %(refused before Xen ")
  t.match(cpuid.report(img, host), "^CPUID 0x0: goes to 0x%x+ %-> 0x%x+\navx2")
  t.equal(img.cpuid:has "avx2", true, "a report changes nothing")
end)

t.test("a levelled image passes the check and keeps XCR0 in step", function()
  local out = t.path "levelled.img"
  assert(xs.rewrite(pv, out, cpuid.filter(cpuid.named "x86-64-v2")))
  local img = t.open(out)
  t.equal(cpuid.check(img, cpuid.named "x86-64-v2"), true)
  for _, name in ipairs { "avx", "avx2", "fma", "f16c", "bmi1" } do
    t.equal(img.cpuid:has(name), false, name)
  end
  t.equal(img.cpuid:has "sse4_2", true)
  local top = img.cpuid:leaf(0xd, 0)
  t.equal(top.a, 3)
  t.equal(top.c, 576)
  t.equal(img.cpuid:leaf(0xd, 2).a, 0)
end)
