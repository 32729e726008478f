-- Tests of the levelling module, over a synthetic image and the two that are real.
local xs = require "xensave"
local t = require "xensave.testing"
local cpuid = require "xensave.cpuid"
local levels = require "xensave.cpu_levels"

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
  for _, row in ipairs(levels.needs) do
    for _, feature in ipairs(row) do xs.cpuid.bit(feature) end
  end
  t.raises("expected one of x86%-64%-v1, ", cpuid.named, "pentium")
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
  t.match(reasons[2], "^CPUID 0x0: goes to 0x%x+, the host's to 0x%x+$")
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
