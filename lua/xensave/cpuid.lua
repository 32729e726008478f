--- Feature levelling: what CPUID and the MSRs tell a guest, taken down to what a host can do.
---
---   local level = require "xensave.cpuid"
---   local host = level.of_image(xs.open "saved-on-the-old-host.img")
---   local host = level.of_file "old-host.json"     -- a JSON of leaves and MSRs
---   local host = level.named "haswell"             -- or "x86-64-v3", "zen2"; level.names() lists them
---   print(level.check(img, host))          -- would it restore there? and if not, why
---   print(level.report(img, host))         -- what the guest loses
---   return level.filter(host)              -- mask the image down to the host
---
--- A *level* is a table of leaves and MSRs, and of features by name that it lacks:
---   { leaves = { { leaf=7, subleaf=0, a=, b=, c=, d= }, ... },
---     msrs = { { index=0x10a, value= }, ... }, lacks = { "avx2", ... } }
--- A leaf without subleaves has no `subleaf`. What a level does not mention is not limited by it.
local xs = require "xensave"
local levels = require "xensave.cpu_levels"

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
  local level = { leaves = {}, msrs = {}, lacks = {} }
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

-- A number of a table that came from JSON, where 64 bits are text ("0x1c0f").
local function number(value, what, optional)
  if value == nil and optional then return nil end
  local n = math.tointeger(type(value) == "string" and tonumber(value) or value)
  if not n then error(("%s: expected an integer, got %s"):format(what, xs.repr(value)), 0) end
  return n
end

local function word(value, what)
  local n = number(value, what, true)
  if n and (n < 0 or n > 0xffffffff) then
    error(("%s: expected 32 bits, got %s"):format(what, xs.hex(n)), 0)
  end
  return n
end

--- The level of a plain table. Leaves may name their registers a to d or eax to edx; numbers may be
--- text. What is no level raises, and says which part.
function M.of_table(t)
  local level = { leaves = {}, msrs = {}, lacks = {} }
  if type(t) ~= "table" then error("expected a table of leaves", 0) end
  -- What `xensave-lua dump --json` prints of the policies: records with their fields.
  if t[1] and t[1].fields then
    local merged = { leaves = {}, msrs = {} }
    for _, part in ipairs(t) do
      for _, leaf in ipairs(part.fields.leaf or {}) do table.insert(merged.leaves, leaf) end
      for _, msr in ipairs(part.fields.msr or {}) do table.insert(merged.msrs, msr) end
    end
    t = merged
  elseif t[1] and t[1].leaf then
    t = { leaves = t }
  end
  for name in pairs(t) do
    if name ~= "leaves" and name ~= "msrs" and name ~= "lacks" then
      error(("a level has leaves, msrs and lacks, and no '%s'"):format(tostring(name)), 0)
    end
  end
  for i, leaf in ipairs(t.leaves or {}) do
    local what = ("leaves[%d]"):format(i)
    local subleaf = word(leaf.subleaf, what .. ".subleaf")
    level.leaves[i] = {
      leaf = word(leaf.leaf, what .. ".leaf") or error(what .. ": expected a field 'leaf'", 0),
      subleaf = subleaf ~= 0xffffffff and subleaf or nil,
      a = word(leaf.a or leaf.eax or 0, what .. ".a"), b = word(leaf.b or leaf.ebx or 0, what .. ".b"),
      c = word(leaf.c or leaf.ecx or 0, what .. ".c"), d = word(leaf.d or leaf.edx or 0, what .. ".d"),
    }
  end
  for i, msr in ipairs(t.msrs or {}) do
    local what = ("msrs[%d]"):format(i)
    level.msrs[i] = {
      index = word(msr.index, what .. ".index") or error(what .. ": expected a field 'index'", 0),
      value = number(msr.value, what .. ".value"),
    }
  end
  for i, name in ipairs(t.lacks or {}) do
    xs.cpuid.bit(name) -- raises for names that do not exist
    level.lacks[i] = name
  end
  return level
end

--- The level of a JSON text: an object as of_table takes it, a list of leaves, or what
--- `xensave-lua dump IMAGE X86_CPUID_POLICY X86_MSR_POLICY --json` prints. Nil and an error for what
--- is no JSON; what is JSON and no level raises.
function M.of_json(text)
  local t, err = xs.from_json(text)
  if t == nil then return nil, err or "expected a table of leaves, got null" end
  return M.of_table(t)
end

--- The level of a file with JSON in it. Nil and an error where it cannot be read.
function M.of_file(path)
  local file, err = io.open(path, "rb")
  if not file then return nil, err end
  local text = file:read "a"
  file:close()
  local level, problem = M.of_json(text)
  if not level then return nil, ("%s: %s"):format(path, tostring(problem)) end
  return level
end

--- The names of the levels that `named` knows.
M.names = levels.names

--- A level by name: "x86-64-v2", "haswell", "zen3". It lacks what later generations of its family
--- added, and limits nothing else. Raises for names that it does not know.
function M.named(name)
  local lacks = levels.lacks(name)
  if not lacks then
    error(("no level '%s': expected one of %s"):format(
      tostring(name), table.concat(levels.names(), ", ")), 2)
  end
  return { leaves = {}, msrs = {}, lacks = lacks }
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

-- The bits of a feature word that the names in `level.lacks` take away.
local function lacking(level, leaf, subleaf, register)
  local mask = 0
  for _, name in ipairs(level.lacks or {}) do
    local bit = xs.cpuid.bit(name)
    if bit.leaf == leaf and bit.register == register and (bit.subleaf or subleaf) == subleaf then
      mask = mask | bit.mask
    end
  end
  return mask
end

-- The bits of a feature word that `level` allows; nil where it says nothing of it.
local function allowed(level, leaf, subleaf, register)
  local l = find(level, leaf, subleaf)
  local bits
  if l then
    bits = l[register]
  elseif highest(level, leaf & 0xffff0000) then
    bits = 0 -- a policy that has leaves of this range, but not this one, has none of its features
  end
  local lost = lacking(level, leaf, subleaf, register)
  if lost == 0 then return bits end
  return (bits or 0xffffffff) & ~lost
end

-- The registers that say how far leaves go. Xen refuses a guest's policy that goes further than the
-- host's. Xen: xen/lib/x86/policy.c, x86_cpu_policies_are_compatible.
local TOPS = { { 0, nil }, { 7, 0 }, { 0x80000000, nil } }

-- The MSRs that say what the host can do, and must not say more than it can.
local LIMITING_MSRS = { [0xce] = true, [0x10a] = true }

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

--- The state that vCPUs have in use and that a policy record lacks the features for: a list of
--- texts such as "vCPU 0: CR4.SMEP".
M.in_use = require("xensave.cpu_state").in_use

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

--- Whether an image would restore on a host of this level, and a list of what speaks against it:
--- missing features, what vCPUs have in use of them, leaves and MSRs that go further than the
--- host's.
function M.check(img, level)
  local reasons = M.missing(img, level)
  local cpuid = img.cpuid
  local masked = img:first "X86_CPUID_POLICY"
  if masked then
    local before = masked:find { leaf = 7, subleaf = 0 }
    masked = masked:copy()
    M.mask(masked, level)
    local after = masked:find { leaf = 7, subleaf = 0 }
    if before and after and after.a < before.a and not find(level, 7, 0) then
      reasons[#reasons + 1] = (
        "CPUID 0x7: goes to %s, the host's to %s (refused before Xen 4.17.5, 4.18.3 and 4.19)"
      ):format(xs.hex(before.a), xs.hex(after.a))
    end
    for _, type in ipairs { "HVM_CONTEXT", "X86_PV_VCPU_MSRS" } do
      for rec in img:records(type) do
        for _, use in ipairs(M.in_use(rec, masked)) do
          reasons[#reasons + 1] = "in use by " .. use
        end
      end
    end
  end
  for _, top in ipairs(TOPS) do
    local mine, theirs = cpuid and cpuid:leaf(top[1], top[2]), find(level, top[1], top[2])
    if mine and theirs and mine.a > theirs.a then
      reasons[#reasons + 1] = ("CPUID %s: goes to %s, the host's to %s"):format(
        xs.hex(top[1]), xs.hex(mine.a), xs.hex(theirs.a))
    end
  end
  local policy = img:first "X86_MSR_POLICY"
  for msr in policy and policy:each() or function() end do
    for _, limit in ipairs(level.msrs) do
      local more = limit.index == msr.index and LIMITING_MSRS[msr.index] and msr.value & ~limit.value
      if more and more ~= 0 then
        reasons[#reasons + 1] = ("%s: bits %s"):format(msr.name or xs.hex(msr.index), xs.hex(more))
      end
    end
  end
  return #reasons == 0, reasons
end

--- What the guest of an image loses on the way to a level, as text: one line each, "" for nothing.
--- The image is not changed.
function M.report(img, level)
  local lines = {}
  local policy, msrs = img:first "X86_CPUID_POLICY", img:first "X86_MSR_POLICY"
  if policy then table.move(M.mask(policy:copy(), level), 1, 1000, 1, lines) end
  if msrs then table.move(M.mask_msrs(msrs:copy(), level), 1, 1000, #lines + 1, lines) end
  return table.concat(lines, "\n")
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

-- Takes `mask` from one register of a leaf and reports the names; bits that say something of the
-- running system stay.
local function take(element, leaf, subleaf, register, mask, report)
  local lost = element[register] & mask & ~(DYNAMIC[key(leaf, subleaf, register)] or 0)
  if lost == 0 then return end
  element[register] = element[register] & ~lost
  for _, name in ipairs(names_of(leaf, subleaf, register, lost)) do report[#report + 1] = name end
end

-- What cannot be without something that the policy has lost. Only features that were taken away
-- here count: what never was there may hide what the hardware has.
local function repair_dependents(rec, report)
  local lost = {}
  for _, name in ipairs(report) do lost[#lost + 1] = name end
  for _, name in ipairs(levels.with_dependents(lost)) do
    local ok, bit = pcall(xs.cpuid.bit, name)
    for leaf in rec:each() do
      local subleaf = leaf.subleaf ~= 0xffffffff and leaf.subleaf or nil
      if ok and bit.leaf == leaf.leaf and (bit.subleaf or subleaf) == subleaf then
        take(leaf, bit.leaf, subleaf, bit.register, bit.mask, report)
      end
    end
  end
end

-- Leaves that have lost all that was in them: the greatest leaf does not name them any more. An
-- older host has none of them, and older Xens refuse a policy that goes further than theirs.
local function repair_tops(rec, report)
  local lost = #report > 0
  local function trim(top, lowest, number_of)
    if not top then return end
    local last = lowest
    for leaf in rec:each() do
      local number = number_of(leaf)
      local holds = leaf.a | leaf.b | leaf.c | leaf.d
      if number and number > last and number <= top.a and holds ~= 0 then last = number end
    end
    if last >= top.a then return end
    report[#report + 1] = ("CPUID %s: goes to %s -> %s"):format(
      xs.hex(top.leaf), xs.hex(top.a), xs.hex(last))
    top.a = last
  end
  trim(rec:find { leaf = 7, subleaf = 0 }, 0, function(leaf)
    return leaf.leaf == 7 and leaf.subleaf or nil
  end)
  -- Guests may look at how far these leaves go: only where some of them were emptied.
  if not lost then return end
  trim(rec:find { leaf = 0x80000000 }, 0x80000008, function(leaf)
    return leaf.leaf > 0x80000000 and leaf.leaf or nil
  end)
end

--- Masks a policy record down to a level. Returns a list of what the guest loses.
function M.mask(rec, level)
  local report = {}
  for leaf in rec:each() do
    local subleaf = leaf.subleaf ~= 0xffffffff and leaf.subleaf or nil
    for _, w in ipairs(FEATURE_WORDS) do
      if w[1] == leaf.leaf and (w[2] == subleaf or w[2] == nil or subleaf == nil) then
        local limit = allowed(level, w[1], w[2], w[3])
        if limit then take(leaf, w[1], w[2], w[3], ~limit, report) end
      end
    end
    for _, top in ipairs(TOPS) do
      local limit = top[1] == leaf.leaf and top[2] == subleaf and find(level, top[1], top[2])
      if limit and leaf.a > limit.a then
        report[#report + 1] = ("CPUID %s: goes to %s -> %s"):format(
          xs.hex(top[1]), xs.hex(leaf.a), xs.hex(limit.a))
        leaf.a = limit.a
      end
    end
  end
  repair_dependents(rec, report)
  repair_xstate(rec, report)
  repair_tops(rec, report)
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

--- A filter that masks an image's policies down to a level and logs what the guest loses. What a
--- vCPU has turned on cannot be taken away (bits of CR4 and EFER, states of XCR0, MSRs): the filter
--- refuses such an image, because Xen would. With `force` it goes on and logs what Xen will refuse.
function M.filter(level, force)
  -- The policy as it is now, and the states that are left: it comes before the vCPUs.
  local left, policy
  local function refuse(text)
    if not force then error(text, 0) end
    xs.log.warn("Xen will refuse the image: %s", text)
  end
  local function check(accum, what)
    local lost = left and accum & ~left or 0
    if lost ~= 0 then
      refuse(("%s has turned on xcr0 states %#x, which the level lacks"):format(what, lost))
    end
  end
  local function check_use(rec)
    for _, use in ipairs(policy and M.in_use(rec, policy) or {}) do
      local vcpu, what = use:match "^(vCPU %d+): (.*)$"
      refuse(("%s has turned on %s, which the level lacks"):format(vcpu, what))
    end
  end
  return {
    name = "cpuid-level",
    X86_CPUID_POLICY = function(rec)
      for _, name in ipairs(M.mask(rec, level)) do xs.log.info("the guest loses %s", name) end
      local top = rec:find { leaf = 0xd, subleaf = 0 }
      left = top and top.a | top.d << 32
      policy = rec:copy()
    end,
    X86_MSR_POLICY = function(rec)
      for _, name in ipairs(M.mask_msrs(rec, level)) do xs.log.info("the guest loses %s", name) end
    end,
    X86_PV_VCPU_XSAVE = function(rec)
      if rec.length >= 24 then check(rec.xcr0_accum, ("vCPU %d"):format(rec.vcpu_id)) end
    end,
    X86_PV_VCPU_MSRS = check_use,
    HVM_CONTEXT = function(rec)
      check_use(rec)
      for entry in rec:each "CPU_XSAVE" do
        check(entry.xcr0_accum, ("vCPU %d"):format(entry.instance))
      end
    end,
  }
end

--- A level without the named features: everything else is as the image has it.
function M.without(img, ...)
  local level = M.of_image(img)
  for _, name in ipairs(levels.with_dependents { ... }) do
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
