--- Feature levelling: what CPUID and the MSRs tell a guest, taken down to what a host can do.
---
---   local level = require "xensave.cpuid"
---   local host = level.of_image(xs.open "saved-on-the-old-host.img")
---   print(level.missing(img, host))        -- features that the guest has and the host lacks
---   return level.filter(host)              -- mask the image down to the host
---
--- A *level* is a table of leaves and MSRs:
---   { leaves = { { leaf=7, subleaf=0, a=, b=, c=, d= }, ... },
---     msrs = { { index=0x10a, value= }, ... } }
--- A leaf without subleaves has no `subleaf`. What a level does not mention is not limited by it.
local xs = require "xensave"

local M = {}

-- The words of CPUID that are feature bits: those (and only those) are masked bit by bit. Others
-- are counts, names and limits.
local FEATURE_WORDS = {
  { 1, nil, "c" }, { 1, nil, "d" }, { 7, 0, "b" }, { 7, 0, "c" }, { 7, 0, "d" },
  { 7, 1, "a" }, { 7, 1, "b" }, { 7, 1, "c" }, { 7, 1, "d" }, { 7, 2, "d" },
  { 0xd, 1, "a" }, { 0x80000001, nil, "c" }, { 0x80000001, nil, "d" },
  { 0x80000007, nil, "d" }, { 0x80000008, nil, "b" }, { 0x80000021, nil, "a" },
}

-- Bits that say something of the running system and not of the processor: OSXSAVE, OSPKE.
local DYNAMIC = { ["1:c"] = 1 << 27, ["7:0:c"] = 1 << 4 }

-- Which features need which states of XCR0. Intel SDM volume 1, 13.2 and 13.5; AMD APM volume 2.
local STATES = {
  { bits = 1 << 2, needs = { "avx" } },
  { bits = 3 << 3, needs = { "mpx" } },
  { bits = 7 << 5, needs = { "avx512f" } },
  { bits = 1 << 9, needs = { "pku" } },
  { bits = 3 << 17, needs = { "amx_tile", "amx-tile" } },
}

local function key(leaf, subleaf, register)
  return subleaf and ("%x:%x:%s"):format(leaf, subleaf, register)
    or ("%x:%s"):format(leaf, register)
end

--- The level that an image's policies describe: what its guest was given.
function M.of_image(img)
  local level = { leaves = {}, msrs = {} }
  local policy = img:first "X86_CPUID_POLICY"
  if policy then
    for leaf in policy:each() do
      level.leaves[#level.leaves + 1] = {
        leaf = leaf.leaf, subleaf = leaf.subleaf ~= 0xffffffff and leaf.subleaf or nil,
        a = leaf.a, b = leaf.b, c = leaf.c, d = leaf.d,
      }
    end
  end
  local msrs = img:first "X86_MSR_POLICY"
  if msrs then
    for msr in msrs:each() do
      level.msrs[#level.msrs + 1] = { index = msr.index, value = msr.value }
    end
  end
  return level
end

--- The level of a table as xs.json writes it: numbers may be text ("0x1c0f").
function M.of_table(t)
  local function number(v) return type(v) == "string" and math.tointeger(tonumber(v)) or v end
  local level = { leaves = {}, msrs = {} }
  for i, leaf in ipairs(t.leaves or {}) do
    if not leaf.leaf then error(("leaves[%d]: expected a field 'leaf'"):format(i), 2) end
    level.leaves[i] = {
      leaf = number(leaf.leaf), subleaf = number(leaf.subleaf),
      a = number(leaf.a or leaf.eax), b = number(leaf.b or leaf.ebx),
      c = number(leaf.c or leaf.ecx), d = number(leaf.d or leaf.edx),
    }
  end
  for i, msr in ipairs(t.msrs or {}) do
    level.msrs[i] = { index = number(msr.index), value = number(msr.value) }
  end
  return level
end

local function find(level, leaf, subleaf)
  for _, l in ipairs(level.leaves) do
    if l.leaf == leaf and (l.subleaf == subleaf or l.subleaf == nil) then return l end
  end
end

-- The highest leaf that a level mentions in a range: beyond it there are no features.
local function highest(level, base)
  local top
  for _, l in ipairs(level.leaves) do
    if l.leaf & 0xffff0000 == base and (not top or l.leaf > top) then top = l.leaf end
  end
  return top
end

-- The bits of a feature word that `level` allows; nil where it says nothing of it.
local function allowed(level, leaf, subleaf, register)
  local l = find(level, leaf, subleaf)
  if l then return l[register] end
  -- A policy that has leaves of this range, but not this one, has none of its features.
  return highest(level, leaf & 0xffff0000) and 0 or nil
end

local function names_of(leaf, subleaf, register, bits)
  local names, out = xs.cpuid.names(leaf, subleaf, register), {}
  -- AMD repeats bits of leaf 1 in leaf 0x80000001.
  local again = leaf == 0x80000001 and register == "d" and xs.cpuid.names(1, nil, "d") or {}
  for bit = 0, 31 do
    if bits & (1 << bit) ~= 0 then
      out[#out + 1] = names[bit] or again[bit] and again[bit] .. " (0x80000001)"
        or ("%s.%d"):format(key(leaf, subleaf, register), bit)
    end
  end
  return out
end

--- What an image's guest has and a host of this level lacks: a list of names, empty where the
--- image would restore. Dynamic bits are left out.
function M.missing(img, level)
  local out = {}
  local cpuid = img.cpuid
  if not cpuid then return out end
  for _, w in ipairs(FEATURE_WORDS) do
    local leaf, subleaf, register = w[1], w[2], w[3]
    local mine = cpuid:leaf(leaf, subleaf)
    local theirs = allowed(level, leaf, subleaf, register)
    if mine and theirs then
      local lost = mine[register] & ~theirs & ~(DYNAMIC[key(leaf, subleaf, register)] or 0)
      for _, name in ipairs(names_of(leaf, subleaf, register, lost)) do out[#out + 1] = name end
    end
  end
  -- Only components that the guest has turned on must be there.
  local state, host = M.xcr0(img), find(level, 0xd, 0)
  if state and host then
    local lost = state & ~(host.a | host.d << 32)
    if lost ~= 0 then out[#out + 1] = ("xcr0 states %#x in use"):format(lost) end
  end
  table.sort(out)
  return out
end

--- The states of XCR0 that any vCPU of the image has turned on so far (xcr0_accum), or nil.
function M.xcr0(img)
  local all
  local context = img:first "HVM_CONTEXT"
  if context then
    for entry in context:each "CPU_XSAVE" do all = (all or 0) | entry.xcr0_accum end
    return all
  end
  for rec in img:records "X86_PV_VCPU_XSAVE" do
    if rec.length >= 24 then all = (all or 0) | rec.xcr0_accum end
  end
  return all
end

-- Repairs what must agree: leaf 0xD lists only states whose features are left.
local function repair_xstate(rec, report)
  local function has(name)
    local ok, bit = pcall(xs.cpuid.bit, name)
    if not ok or not bit.leaf then return nil end
    for leaf in rec:each() do
      if leaf.leaf == bit.leaf and (leaf.subleaf == bit.subleaf or leaf.subleaf == 0xffffffff) then
        return leaf[bit.register] & bit.mask ~= 0
      end
    end
    return false
  end
  local drop = 0
  for _, state in ipairs(STATES) do
    local known, present = false, false
    for _, name in ipairs(state.needs) do
      local found = has(name)
      if found ~= nil then known, present = true, present or found end
    end
    if known and not present then drop = drop | state.bits end
  end
  if drop == 0 then return end
  local top = rec:find { leaf = 0xd, subleaf = 0 }
  if not top then return end
  local before = top.a | top.d << 32
  local after = before & ~drop
  if after == before then return end
  top.a, top.d = after & 0xffffffff, after >> 32
  -- The size of the area for all states that are left: the end of the last component.
  local size = 576
  for leaf in rec:each() do
    if leaf.leaf == 0xd and leaf.subleaf >= 2 and leaf.subleaf < 63 then
      if after & (1 << leaf.subleaf) ~= 0 then
        size = math.max(size, leaf.a + leaf.b)
      elseif drop & (1 << leaf.subleaf) ~= 0 then
        leaf.a, leaf.b, leaf.c, leaf.d = 0, 0, 0, 0
      end
    end
  end
  top.b, top.c = math.min(top.b, size), size
  report[#report + 1] = ("xcr0 %#x -> %#x"):format(before, after)
end

--- Masks a policy record down to a level. Returns a list of what the guest loses.
function M.mask(rec, level)
  local report = {}
  for leaf in rec:each() do
    local subleaf = leaf.subleaf ~= 0xffffffff and leaf.subleaf or nil
    for _, w in ipairs(FEATURE_WORDS) do
      if w[1] == leaf.leaf and (w[2] == subleaf or w[2] == nil or subleaf == nil) then
        local limit = allowed(level, w[1], w[2], w[3])
        if limit then
          local lost = leaf[w[3]] & ~limit & ~(DYNAMIC[key(w[1], w[2], w[3])] or 0)
          if lost ~= 0 then
            leaf[w[3]] = leaf[w[3]] & ~lost
            for _, name in ipairs(names_of(w[1], w[2], w[3], lost)) do
              report[#report + 1] = name
            end
          end
        end
      end
    end
  end
  repair_xstate(rec, report)
  return report
end

--- Masks an MSR policy record down to a level. Returns a list of what the guest loses.
function M.mask_msrs(rec, level)
  local report = {}
  for msr in rec:each() do
    for _, limit in ipairs(level.msrs) do
      if limit.index == msr.index then
        local lost = msr.value & ~limit.value
        if lost ~= 0 then
          msr.value = msr.value & limit.value
          report[#report + 1] = ("%s bits %#x"):format(msr.name or xs.hex(msr.index), lost)
        end
      end
    end
  end
  return report
end

--- A filter that masks an image's policies down to a level and logs what the guest loses. States
--- of XCR0 that a vCPU has turned on cannot be taken away: the filter refuses such an image,
--- because Xen would.
function M.filter(level)
  -- The states that are left: the policy comes before the vCPUs in the stream.
  local left
  local function check(accum, what)
    local lost = left and accum & ~left or 0
    if lost ~= 0 then
      error(("%s has turned on xcr0 states %#x, which the level lacks"):format(what, lost), 0)
    end
  end
  return {
    name = "cpuid-level",
    X86_CPUID_POLICY = function(rec)
      for _, name in ipairs(M.mask(rec, level)) do xs.log.info("the guest loses %s", name) end
      local top = rec:find { leaf = 0xd, subleaf = 0 }
      left = top and top.a | top.d << 32
    end,
    X86_MSR_POLICY = function(rec)
      for _, name in ipairs(M.mask_msrs(rec, level)) do xs.log.info("the guest loses %s", name) end
    end,
    X86_PV_VCPU_XSAVE = function(rec)
      if rec.length >= 24 then check(rec.xcr0_accum, ("vCPU %d"):format(rec.vcpu_id)) end
    end,
    HVM_CONTEXT = function(rec)
      for entry in rec:each "CPU_XSAVE" do
        check(entry.xcr0_accum, ("vCPU %d"):format(entry.instance))
      end
    end,
  }
end

--- A level without the named features: everything else is as the image has it.
function M.without(img, ...)
  local level = M.of_image(img)
  for _, name in ipairs { ... } do
    local bit = xs.cpuid.bit(name)
    if bit.leaf then
      local l = find(level, bit.leaf, bit.subleaf)
      if l then l[bit.register] = l[bit.register] & ~bit.mask end
    else
      for _, msr in ipairs(level.msrs) do
        if msr.index == bit.msr then msr.value = msr.value & ~bit.mask end
      end
    end
  end
  return level
end

return M
