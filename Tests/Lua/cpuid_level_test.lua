-- Tests of the shipped filter cpuid-level.
local xs = require "xensave"
local t = require "xensave.testing"
local cpuid = require "xensave.cpuid"
local filter = require "xensave.filters.cpuid-level".filter

local function image() return t.open(xs.synth { guest = "x86_hvm" }:save(t.path "in.img")) end

t.test("takes single features away and leaves the others", function()
  local before = image()
  local names = before.cpuid:features()
  t.equal(#names > 1, true)
  local after = t.rewrite(before.path, filter(before, nil, { names[1] }))
  t.equal(after.cpuid:has(names[1]), false)
  t.equal(after.cpuid:has(names[#names]), true)
end)

t.test("a level and features together take both away", function()
  local before = image()
  local names = before.cpuid:features()
  local level = cpuid.without(before, names[2])
  local after = t.rewrite(before.path, filter(before, level, { names[1] }))
  t.equal(after.cpuid:has(names[1]), false)
  t.equal(after.cpuid:has(names[2]), false)
end)

-- An image whose vCPU 0 has these bits of a field of its CPU entry on.
local function using(field, bits)
  local path = image().path
  return t.rewrite(path, {
    HVM_CONTEXT = function(rec)
      for cpu in rec:each "CPU" do cpu[field] = cpu[field] | bits end
    end,
  })
end

t.test("what a vCPU has turned on is not taken away", function()
  for _, case in ipairs {
    { "cr4", 1 << 20, "smep", "CR4.SMEP" }, { "cr4", 1 << 21, "smap", "CR4.SMAP" },
    { "cr4", 1 << 16, "fsgsbase", "CR4.FSGSBASE" }, { "cr4", 1 << 18, "xsave", "CR4.OSXSAVE" },
    { "cr4", 1 << 5, "pae", "CR4.PAE" },
  } do
    local field, bits, feature, name = table.unpack(case)
    local before = using(field, bits)
    t.raises("vCPU 0 has turned on " .. name, t.rewrite, before.path,
      filter(before, nil, { feature }))
    local ok, reasons = cpuid.check(before, cpuid.without(before, feature))
    t.equal(ok, false)
    t.equal(table.concat(reasons, "\n"):find("in use by vCPU 0: " .. name, 1, true) ~= nil, true)
    -- Without the bit the same level is fine.
    local plain = image()
    t.equal(t.rewrite(plain.path, filter(plain, nil, { feature })).cpuid:has(feature), false)
  end
end)

t.test("states and MSRs in use are named, and what needs the feature counts", function()
  local path = t.rewrite(image().path, {
    X86_CPUID_POLICY = function(rec)
      local leaves = {}
      for leaf in rec:each() do
        leaves[#leaves + 1] = { leaf = leaf.leaf, subleaf = leaf.subleaf, a = leaf.a, b = leaf.b,
          c = leaf.c, d = leaf.d }
      end
      rec = xs.record("X86_CPUID_POLICY", { leaf = leaves })
      for leaf in rec:each() do
        -- SMAP, IBRSB and SSBD; NX.
        if leaf.leaf == 7 and leaf.subleaf == 0 then
          leaf.b, leaf.d = leaf.b | 1 << 20, leaf.d | 1 << 26 | 1 << 31
        elseif leaf.leaf == 0x80000001 then
          leaf.d = leaf.d | 1 << 20
        end
      end
      return rec
    end,
    HVM_CONTEXT = function(rec)
      for cpu in rec:each "CPU" do cpu.cr4 = cpu.cr4 | 1 << 21 end
    end,
  }).path
  local before = t.open(path)
  t.raises("vCPU 0 has turned on CR4.SMAP, which", t.rewrite, path, filter(before, nil, { "nx" }))
  local states = xs.cpuid.states()
  t.equal(states[1].feature .. states[1].mask, "avx4")
end)

t.test("leaves that are empty are not named any more", function()
  local before = t.rewrite(image().path, {
    X86_CPUID_POLICY = function(rec)
      local leaves = {}
      for leaf in rec:each() do
        leaves[#leaves + 1] = { leaf = leaf.leaf, subleaf = leaf.subleaf,
          a = leaf.leaf == 7 and 2 or leaf.a, b = leaf.b, c = leaf.c, d = leaf.d }
      end
      leaves[#leaves + 1] = { leaf = 7, subleaf = 1, a = 1 << 4, b = 0, c = 0, d = 0 }
      leaves[#leaves + 1] = { leaf = 7, subleaf = 2, a = 0, b = 0, c = 0, d = 1 << 4 }
      return xs.record("X86_CPUID_POLICY", { leaf = leaves })
    end,
  })
  local function top(img) return img.cpuid:leaf(7, 0).a end
  t.equal(top(t.rewrite(before.path, filter(before, nil, { "bhi_ctrl" }))), 1)
  t.equal(top(t.rewrite(before.path, filter(before, nil, { "bhi_ctrl", "avx_vnni" }))), 0)
  t.equal(top(t.rewrite(before.path, filter(before, nil, { "avx_vnni" }))), 2)
end)

t.test("every level: nothing is left that it lacks", function()
  local folder = debug.getinfo(1, "S").source:match "^@(.*)/Lua/" or "Tests"
  local img = t.open(folder .. "/Fixtures/pvh-4m-1v-tiny.xlsave")
  for _, name in ipairs(cpuid.names()) do
    local level = cpuid.named(name)
    local policy = img:first("X86_CPUID_POLICY"):copy()
    cpuid.mask(policy, level)
    t.equal(#cpuid.mask(policy, level), 0, name)
    for _, lost in ipairs(level.lacks) do
      local bit = xs.cpuid.bit(lost)
      local leaf = bit.leaf and policy:find { leaf = bit.leaf, subleaf = bit.subleaf or 0xffffffff }
      t.equal(leaf and leaf[bit.register] & bit.mask or 0, 0, name .. ": " .. lost)
    end
  end
end)

t.test("an image without a CPUID policy is nothing to level", function()
  local old = t.open(xs.synth { guest = "x86_hvm", version = 2 }:save(t.path "old.img"))
  t.equal(old:first "X86_CPUID_POLICY", nil)
  local level = cpuid.named "haswell"
  t.raises("no CPUID policy %(streams of version 2 have none%): there is nothing to take away",
    cpuid.expect_policy, old)
  local fits, reasons = cpuid.check(old, level)
  t.equal(fits, false)
  t.match(table.concat(reasons, "\n"), "no CPUID policy .* what its guest uses is not known")
  for _, line in ipairs(cpuid.kept(old, level)) do t.equal(type(line), "string") end
  cpuid.expect_policy(image())
end)

t.test("what stays is said in words", function()
  local level = cpuid.without(image(), "sse3")
  for _, line in ipairs(cpuid.kept(image(), level)) do t.equal(type(line), "string") end
end)
