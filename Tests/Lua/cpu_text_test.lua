-- Tests of levels that are read from what other tools print.
local xs = require "xensave"
local t = require "xensave.testing"
local cpuid = require "xensave.cpuid"

local function set(list)
  local out = {}
  for _, name in ipairs(list) do out[name] = true end
  return out
end

-- What a level lacks, as a set, and what it speaks of.
local function lacking(text, guest)
  local level = cpuid.of_text(text, guest)
  return set(level.lacks), level.known, level
end

-- Words 0 to 9 of a processor with AVX2 and without AVX-512.
local WORDS = "1789cbf5-f7fa3223-2c100800-00000121-0000000f-001cffbb-00000000-00000000-00001000-8c000000"

t.test("xen-cpuid: of several sets the one that restores are held against", function()
  local function sets(words) return words:gsub("-", ":") end
  local none = sets(WORDS:gsub("001cffbb", "00000000"))
  local text = table.concat({
    "nr_features: 22", "       KEY   1d       1c  ", "", "Static sets:",
    "Known                                   " .. none,
    "HVM Max Mask                            " .. none, "", "Dynamic sets:",
    "Raw                                     " .. none,
    "Host                                    " .. none,
    "PV Max                                  " .. none,
    "HVM Max                                 " .. sets(WORDS),
    "PV Default                              " .. none,
    "HVM Default                             " .. none, "",
  }, "\n")
  local lacks, known, level = lacking(text, "x86_hvm")
  t.equal(level.source, "HVM Max")
  t.equal(lacks.avx2, nil)
  t.equal(lacks.avx512f, true)
  t.equal(lacks.avx512_vbmi, true)
  -- Words that are not there say nothing.
  t.equal(known.avx_vnni, nil)
  t.equal(lacking(text, "x86_pv").avx2, true)
end)

t.test("xl info and bare featuresets", function()
  local text = "host : lab\nnr_cpus : 8\n"
    .. "hw_caps                : 1789cbf5:f7fa3223:2c100800:00000121:0000000f:001cffbb:00000000:00000100\n"
    .. "virt_caps              : pv hvm hap\n"
  local lacks, known = lacking(text)
  t.equal(lacks.avx2, nil)
  t.equal(lacks.umip, true)
  t.equal(known.clzero, nil)
  t.equal(lacking(WORDS .. "\n").ssbd, nil)
  t.equal(lacking(WORDS .. "\n").avx512_4vnniw, true)
end)

t.test("xe host-cpu-info, with the vendor, the new words and the old four", function()
  local text = "    cpu_count: 8\n       vendor: GenuineIntel\n        flags: fpu de\n"
    .. "  features_pv: " .. WORDS:gsub("001cffbb", "00000000") .. "\n features_hvm: " .. WORDS .. "\n"
  local lacks, _, level = lacking(text, "x86_hvm")
  t.equal(level.source, "features_hvm")
  t.equal(level.vendor, "GenuineIntel")
  t.equal(lacks.avx2, nil)
  t.equal(lacking(text, "x86_pv").avx2, true)
  -- Leaf 1's registers c and d, then those of leaf 0x80000001.
  local old = lacking("     features: 0098e3fd-bfebfbff-00000001-28100800\n")
  t.equal(old.avx, true)
  t.equal(old.ssse3, nil)
  t.equal(old.lm, nil)
  t.equal(old.lahf_lm, nil)
end)

t.test("policies of xen-cpuid -p give leaves and MSRs", function()
  local text = [[
Xen reports there are maximum 120 leaves and 2 MSRs
PV Max policy: 2 leaves, 0 MSRs
 CPUID:
  leaf     subleaf  -> eax      ebx      ecx      edx
  00000000:ffffffff -> 00000001:756e6547:6c65746e:49656e69
 MSRs:
  index    -> value
HVM Max policy: 2 leaves, 1 MSRs
 CPUID:
  leaf     subleaf  -> eax      ebx      ecx      edx
  00000000:ffffffff -> 0000000d:756e6547:6c65746e:49656e69
  00000007:00000000 -> 00000002:00000080:00000000:00000000
 MSRs:
  index    -> value
  000000ce -> 0000000080000000
]]
  local level = cpuid.of_text(text, "x86_hvm")
  t.equal(#level.leaves, 2)
  t.equal(level.leaves[1].subleaf, nil)
  t.equal(level.leaves[2].a, 2)
  t.equal(level.msrs[1].value, 0x80000000)
  t.equal(cpuid.of_text(text, "x86_pv").leaves[1].a, 1)
end)

t.test("names of features, as Xen and as Linux call them", function()
  local lacks = lacking "# a host\nfpu, fxsr sse sse2\npni aes xsave # SSE3\n"
  t.equal(lacks.sse3, nil)
  t.equal(lacks.aesni, nil)
  t.equal(lacks.avx, true)
  t.equal(lacks.hypervisor, nil, "Xen gives it")
  local cpuinfo = "processor\t: 0\nvendor_id\t: AuthenticAMD\nflags\t\t: fpu fxsr sse sse2 pni constant_tsc ibrs bogus\n"
  local linux, known, level = lacking(cpuinfo)
  t.equal(linux.sse3, nil)
  t.equal(linux.ibrs, nil)
  t.equal(linux.avx, true)
  t.equal(known.rdcl_no, nil, "Linux does not show MSRs")
  t.equal(level.vendor, "AuthenticAMD")
end)

t.test("what is no level is refused in one line", function()
  local function refusal(text)
    local ok, err = pcall(cpuid.of_text, text)
    t.equal(ok, false)
    t.equal(tostring(err):find "\n", nil)
    return tostring(err)
  end
  t.match(refusal "avx2 avx3", "^avx3: no CPUID feature 'avx3'")
  t.match(refusal "", "^expected JSON, a featureset")
  t.match(refusal "{", "the text ends inside a value")
  t.match(refusal '{"leafs":[]}', "no 'leafs'")
  t.match(refusal "1789cbf5-f7fa3223", "^1789cbf5%-f7fa3223: no CPUID feature")
  local path = t.path "bad.txt"
  local file = assert(io.open(path, "w"))
  file:write "avx3"
  file:close()
  local none, err = cpuid.of_file(path)
  t.equal(none, nil)
  t.match(tostring(err), "bad.txt: avx3: no CPUID feature")
end)

t.test("an image passes against its own featureset", function()
  local img = t.open((debug.getinfo(1, "S").source:match "^@(.*)/Lua/" or "Tests")
    .. "/Fixtures/pv-4m-1v-tiny.xlsave")
  local words = {}
  for i, place in ipairs(xs.cpuid.words()) do
    local leaf = place.leaf and img.cpuid:leaf(place.leaf, place.subleaf)
    words[i] = ("%08x"):format(leaf and leaf[place.register] or 0)
  end
  local level = cpuid.of_text(table.concat(words, ":"))
  t.equal(table.concat(cpuid.missing(img, level), " "), "")
  words[6] = "00000000"
  t.match(table.concat(cpuid.missing(img, cpuid.of_text(table.concat(words, ":"))), " "), "avx2")
end)
