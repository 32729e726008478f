--- Feature levelling: what CPUID and the MSRs tell a guest, taken down to what a host can do.
---
---   local level = require "xensave.cpuid"
---   local host = level.of_image(xs.open "saved-on-the-old-host.img")
---   local host = level.of_file "old-host.txt"      -- of xen-cpuid, xe host-cpu-info, xl info, JSON, names
---   local host = level.named "haswell"             -- or "x86-64-v3", "zen2"; level.names() lists them
---   print(level.check(img, host))          -- would it restore there? and if not, why
---   print(level.report(img, host))         -- what the guest loses, and of what the level says nothing
---   return level.filter(host)              -- mask the image down to the host
---
--- A *level* is a table of leaves and MSRs, and of features by name that it lacks:
---   { leaves = { { leaf=7, subleaf=0, a=, b=, c=, d= }, ... },
---     msrs = { { index=0x10a, value= }, ... }, lacks = { "avx2", ... } }
--- A leaf without subleaves has no `subleaf`. What a level does not mention is not limited by it, and
--- said in the report. It may have, too: `known`, the set of the names that it speaks of; `optional`,
--- those that some of its hosts have and some do not; `vendor`, what CPUID calls the processor.
local xs = require "xensave"
local text = require "xensave.cpu_text"

local M = {}

local function key(leaf, subleaf, register)
  return subleaf and ("%x:%x:%s"):format(leaf, subleaf, register) or ("%x:%s"):format(leaf, register)
end

-- The registers that are feature bits: those (and only those) are masked bit by bit. Others are
-- counts, names and limits.
local FEATURE_WORDS = {}
for _, place in ipairs(xs.cpuid.words()) do
  if place.leaf then FEATURE_WORDS[#FEATURE_WORDS + 1] = place end
end

-- What Xen gives by itself: its names, and by register its bits.
local GIVEN, GIVEN_BITS = {}, {}
for _, name in ipairs(xs.cpuid.given()) do
  GIVEN[name] = true
  local bit = xs.cpuid.bit(name)
  local place = bit.leaf and key(bit.leaf, bit.subleaf, bit.register) or bit.msr
  GIVEN_BITS[place] = (GIVEN_BITS[place] or 0) | bit.mask
end

-- AMD repeats bits of register d of leaf 1 in leaf 0x80000001: those without a name of their own.
local REPEATED = 0
do
  local own = xs.cpuid.names(0x80000001, nil, "d")
  for bit in pairs(xs.cpuid.names(1, nil, "d")) do
    if not own[bit] then REPEATED = REPEATED | 1 << bit end
  end
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

--- The level of a plain table. Leaves may name their registers a to d or eax to edx; numbers may be
--- text. What is no level raises, and says which part.
M.of_table = text.of_table

--- The level of a JSON text: an object as of_table takes it, a list of leaves, or what
--- `xensave-lua dump IMAGE X86_CPUID_POLICY X86_MSR_POLICY --json` prints. Nil and an error for what
--- is no JSON; what is JSON and no level raises.
function M.of_json(source)
  local t, err = xs.from_json(source)
  if t == nil then return nil, err or "expected a table of leaves, got null" end
  return M.of_table(t)
end

--- The level of a text: JSON, a featureset or policy as `xen-cpuid`, `xe host-cpu-info` and `xl info`
--- print it (of several the one for such a guest, "x86_hvm" or "x86_pv"), the flags of /proc/cpuinfo,
--- or names of features, which are all that the host has. Raises one line for what is none.
M.of_text = text.of_text

--- The level of a file, as of_text reads it. Nil and an error where it cannot be read.
function M.of_file(path, guest)
  local file, err = io.open(path, "rb")
  if not file then return nil, err end
  local source = file:read "a"
  file:close()
  if not source then return nil, path .. ": it cannot be read" end
  local ok, level = pcall(M.of_text, source, guest)
  if not ok then return nil, ("%s: %s"):format(path, tostring(level)) end
  return level
end

--- The names of the levels that `named` knows.
M.names = xs.cpuid.levels

-- All that the levels of one kind (partial or not) speak of.
local function universe(partial)
  local known = {}
  for _, name in ipairs(xs.cpuid.levels()) do
    local level = xs.cpuid.level(name)
    if level.partial == partial then
      for _, feature in ipairs(level.features) do known[feature] = true end
    end
  end
  return known
end

--- A level by name: "x86-64-v2", "haswell", "zen3", or libvirt's name of the model. It lacks what
--- processors of other generations have and those do not. Raises for names that it does not know.
function M.named(name)
  local found = xs.cpuid.level(tostring(name))
  if not found then
    error(("no level '%s': expected one of %s"):format(
      tostring(name), table.concat(M.names(), ", ")), 0)
  end
  local has = {}
  for _, feature in ipairs(found.features) do has[feature] = true end
  local level = text.of_names(has, universe(found.partial))
  level.name, level.vendor, level.source = found.name, found.vendor, found.source
  level.optional = {}
  for _, feature in ipairs(found.optional) do level.optional[feature] = true end
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

-- The bits by register (or MSR) that the names in `level.lacks` take away.
local function lacking(level)
  local masks = {}
  for _, name in ipairs(level.lacks or {}) do
    local bit = text.bit(name)
    local place = bit.leaf and key(bit.leaf, bit.subleaf, bit.register) or bit.msr
    masks[place] = (masks[place] or 0) | bit.mask
  end
  return masks
end

-- The bits of a feature word that the leaves of `level` allow; nil where they say nothing of it.
local function allowed(level, w)
  local l, bits = find(level, w.leaf, w.subleaf), nil
  if l then
    bits = l[w.register]
  elseif highest(level, w.leaf & 0xffff0000) then
    bits = 0 -- a policy that has leaves of this range, but not this one, has none of its features
  end
  if not bits then return nil end
  if w.leaf == 0x80000001 and w.register == "d" then bits = bits | REPEATED end
  return bits | (GIVEN_BITS[key(w.leaf, w.subleaf, w.register)] or 0)
end

-- The registers that say how far leaves go. What Xen makes of a policy that goes further than the
-- host's depends on the release: `check` is the member of xs.cpuid.checks that says it.
local TOPS = {
  { 0, nil, check = "leaf", since = "before Xen 4.18.4, 4.19.1 and 4.20" },
  { 7, 0, check = "subleaf", since = "from Xen 4.15 on, before 4.17.5, 4.18.3 and 4.19" },
  { 0x80000000, nil, check = "leaf", since = "before Xen 4.18.4, 4.19.1 and 4.20" },
}

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

-- "GenuineIntel" of an image's or a level's leaf 0; nil where it has none.
local function vendor(leaf)
  return leaf and ("<I4I4I4"):pack(leaf.b, leaf.d, leaf.c):match "^%g+"
end

-- What is to be said where an image's guest and a level have processors of two vendors; else nil.
local function other_vendor(img, level, checks)
  local own = img.cpuid and vendor(img.cpuid:leaf(0))
  local host = level.vendor or vendor(find(level, 0))
  if own and host and own ~= host then
    return ("the guest's processor is of %s, the host's of %s%s"):format(
      own, host, checks and (checks.vendor and " (Xen refuses it)" or "")
        or " (Xen refuses it from 4.22 on)")
  end
end

--- The state that vCPUs have in use and that a policy record lacks the features for: a list of
--- texts such as "vCPU 0: CR4.SMEP". `msrs` is the policy of MSRs, if there is one.
function M.in_use(state, policy, msrs)
  local out = {}
  for _, use in ipairs(xs.cpuid.in_use(state, policy, msrs)) do
    out[#out + 1] = ("vCPU %d: %s"):format(use.vcpu, use.what)
  end
  return out
end

local NO_POLICY = "the image has no CPUID policy (streams of version 2 have none)"
-- What has to be turned on by a vCPU for Xen to look at its features.
local STATES = { "HVM_CONTEXT", "X86_PV_VCPU_XSAVE", "X86_PV_VCPU_MSRS" }

--- What an image's guest has and a host of this level lacks: a list of names, empty where the guest
--- loses nothing. What Xen gives by itself is left out.
function M.missing(img, level)
  local out = {}
  local cpuid = img.cpuid
  if not cpuid then return out end
  local lacks = lacking(level)
  for _, w in ipairs(FEATURE_WORDS) do
    local mine = cpuid:leaf(w.leaf, w.subleaf)
    if mine then
      local place = key(w.leaf, w.subleaf, w.register)
      local theirs = (allowed(level, w) or 0xffffffff) & ~(lacks[place] or 0)
      for _, name in ipairs(names_of(w.leaf, w.subleaf, w.register, mine[w.register] & ~theirs)) do
        out[#out + 1] = name
      end
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

--- What an image's guest has and the level says nothing of: a list of names. It stays in the image,
--- and whether the host has it is for somebody else to know. A second list has those that some hosts
--- of the level have and some do not.
function M.unsaid(img, level)
  local unsaid, optional = {}, {}
  local cpuid = img.cpuid
  if not cpuid then return unsaid, optional end
  for _, w in ipairs(FEATURE_WORDS) do
    local mine = cpuid:leaf(w.leaf, w.subleaf)
    if mine and not allowed(level, w) then
      local place = key(w.leaf, w.subleaf, w.register)
      local bits = mine[w.register] & ~(GIVEN_BITS[place] or 0)
      if w.leaf == 0x80000001 and w.register == "d" then bits = bits & ~REPEATED end
      for _, name in ipairs(names_of(w.leaf, w.subleaf, w.register, bits)) do
        if (level.optional or {})[name] then
          optional[#optional + 1] = name
        elseif not (level.known or {})[name] then
          unsaid[#unsaid + 1] = name
        end
      end
    end
  end
  -- A level that only takes single features away says nothing of the others on purpose.
  if not level.known and #level.leaves == 0 then unsaid = {} end
  table.sort(unsaid)
  table.sort(optional)
  return unsaid, optional
end

-- The two lists as lines for people.
local function unsaid_lines(img, level)
  local unsaid, optional = M.unsaid(img, level)
  local lines = {}
  if #unsaid > 0 then
    lines[1] = "kept, though the level says nothing of it: " .. table.concat(unsaid, ", ")
  end
  if #optional > 0 then
    lines[#lines + 1] = "kept, though only some hosts of the level have it: "
      .. table.concat(optional, ", ")
  end
  return lines
end

--- Whether an image would restore on a host of this level with all that its guest has, and a list of
--- what speaks against it: missing features (Xen takes them away without a word), what vCPUs have in
--- use of them (Xen refuses that), leaves and MSRs that go further than the host's, another vendor.
--- `xen` is the host's release, such as "4.17.3": where it is missing, all releases count. A third
--- result is a list of what stays though the level does not say that its hosts have it.
function M.check(img, level, xen)
  local reasons = M.missing(img, level)
  local checks
  if xen then
    local ok, result = pcall(xs.cpuid.checks, xen)
    if not ok then error(tostring(result.message or result), 0) end
    checks = result
  end
  local cpuid = img.cpuid
  local masked, msrs = img:first "X86_CPUID_POLICY", img:first "X86_MSR_POLICY"
  reasons[#reasons + 1] = other_vendor(img, level, checks)
  reasons[#reasons + 1] = not masked and NO_POLICY .. ": what its guest uses is not known" or nil
  if masked then
    local before = masked:find { leaf = 7, subleaf = 0 }
    masked, msrs = masked:copy(), msrs and msrs:copy()
    local lost = M.mask(masked, level)
    if msrs then M.mask_msrs(msrs, level, lost) end
    local after = masked:find { leaf = 7, subleaf = 0 }
    if before and after and after.a < before.a and not find(level, 7, 0)
      and (not checks or checks.subleaf) then
      reasons[#reasons + 1] = ("CPUID 0x7: goes to %s, the host's to %s (refused %s)"):format(
        xs.hex(before.a), xs.hex(after.a), TOPS[2].since)
    end
    for _, type in ipairs(STATES) do
      for rec in img:records(type) do
        for _, use in ipairs(M.in_use(rec, masked, msrs)) do
          reasons[#reasons + 1] = "in use by " .. use
        end
      end
    end
  end
  for _, top in ipairs(TOPS) do
    local mine, theirs = cpuid and cpuid:leaf(top[1], top[2]), find(level, top[1], top[2])
    if mine and theirs and mine.a > theirs.a and (not checks or checks[top.check]) then
      reasons[#reasons + 1] = ("CPUID %s: goes to %s, the host's to %s (refused %s)"):format(
        xs.hex(top[1]), xs.hex(mine.a), xs.hex(theirs.a), top.since)
    end
  end
  local policy = img:first "X86_MSR_POLICY"
  local lacks = lacking(level)
  for msr in policy and policy:each() or function() end do
    local theirs = ~(lacks[msr.index] or 0)
    for _, limit in ipairs(level.msrs) do
      if limit.index == msr.index and LIMITING_MSRS[msr.index] then
        theirs = theirs & (limit.value | (GIVEN_BITS[msr.index] or 0))
      end
    end
    local more = msr.value & ~theirs
    if more ~= 0 then
      reasons[#reasons + 1] = ("%s: bits %s"):format(msr.name or xs.hex(msr.index), xs.hex(more))
    end
  end
  return #reasons == 0, reasons, unsaid_lines(img, level)
end

--- What the guest of an image loses on the way to a level, and of what the level says nothing, as
--- text: one line each, "" for nothing. The image is not changed.
function M.report(img, level)
  local lines = {}
  local policy, msrs = img:first "X86_CPUID_POLICY", img:first "X86_MSR_POLICY"
  if policy then lines = M.mask(policy:copy(), level) end
  if msrs then
    for _, line in ipairs(M.mask_msrs(msrs:copy(), level, lines)) do lines[#lines + 1] = line end
  end
  for _, line in ipairs(unsaid_lines(img, level)) do lines[#lines + 1] = line end
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

-- Whether a policy record has a feature; nil where it does not have the leaf.
local function has(rec, name)
  local bit = text.bit(name)
  for leaf in rec:each() do
    if leaf.leaf == bit.leaf and (leaf.subleaf == bit.subleaf or leaf.subleaf == 0xffffffff) then
      return leaf[bit.register] & bit.mask ~= 0
    end
  end
end

-- Repairs what must agree: leaf 0xD lists only states whose features are left.
local function repair_xstate(rec, report)
  local top = rec:find { leaf = 0xd, subleaf = 0 }
  if not top then return end
  local before, drop = top.a | top.d << 32, 0
  local none = has(rec, "xsave") == false
  for _, state in ipairs(xs.cpuid.states()) do
    if none or has(rec, state.feature) == false then drop = drop | state.mask end
  end
  local after = none and 0 or before & ~drop
  if after == before then return end
  top.a, top.d = after & 0xffffffff, after >> 32
  -- The size of the area for all states that are left: the end of the last component.
  local size = none and 0 or 576
  for leaf in rec:each() do
    if leaf.leaf == 0xd and leaf.subleaf >= 1 and leaf.subleaf < 63 then
      if leaf.subleaf > 1 and after & (1 << leaf.subleaf) ~= 0 then
        size = math.max(size, leaf.a + leaf.b)
      elseif none or leaf.subleaf > 1 and drop & (1 << leaf.subleaf) ~= 0 then
        leaf.a, leaf.b, leaf.c, leaf.d = 0, 0, 0, 0
      end
    end
  end
  top.b, top.c = math.min(top.b, size), size
  report[#report + 1] = ("xcr0 %#x -> %#x"):format(before, after)
end

-- Takes `mask` from one register of a leaf and reports the names.
local function take(element, leaf, subleaf, register, mask, report)
  local lost = element[register] & mask
  if lost == 0 then return end
  element[register] = element[register] & ~lost
  for _, name in ipairs(names_of(leaf, subleaf, register, lost)) do report[#report + 1] = name end
end

-- The features in a report, which has bits without a name, too.
local function features_in(report)
  local features = {}
  for _, name in ipairs(report) do
    if pcall(xs.cpuid.bit, name) then features[#features + 1] = name end
  end
  return features
end

-- What cannot be without something that the policy has lost. Only features that were taken away
-- here count: what never was there may hide what the hardware has.
local function repair_dependents(rec, report)
  local masks = lacking { lacks = xs.cpuid.with_dependents(features_in(report)) }
  for leaf in rec:each() do
    local number, subleaf = leaf.leaf, leaf.subleaf
    for _, w in ipairs(FEATURE_WORDS) do
      if w.leaf == number and (w.subleaf == subleaf or w.subleaf == nil) then
        local mask = masks[key(w.leaf, w.subleaf, w.register)]
        if mask then take(leaf, w.leaf, w.subleaf, w.register, mask, report) end
      end
    end
  end
  -- AMD's second copy follows the first.
  local first, second = rec:find { leaf = 1 }, rec:find { leaf = 0x80000001 }
  if first and second then second.d = second.d & ~(REPEATED & ~first.d) end
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
  -- Processors without XSAVE end at leaf 0xB.
  if has(rec, "xsave") == false then
    trim(rec:find { leaf = 0 }, 0xb, function(leaf) return leaf.leaf <= 0xffff and leaf.leaf or nil end)
  end
end

--- Masks a policy record down to a level. Returns a list of what the guest loses.
function M.mask(rec, level)
  local report = {}
  local lacks = lacking(level)
  for leaf in rec:each() do
    local subleaf = leaf.subleaf ~= 0xffffffff and leaf.subleaf or nil
    for _, w in ipairs(FEATURE_WORDS) do
      if w.leaf == leaf.leaf and (w.subleaf == subleaf or w.subleaf == nil or subleaf == nil) then
        local limit = (allowed(level, w) or 0xffffffff)
          & ~(lacks[key(w.leaf, w.subleaf, w.register)] or 0)
        take(leaf, w.leaf, w.subleaf, w.register, ~limit & 0xffffffff, report)
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

--- Masks an MSR policy record down to a level; `lost` is what the CPUID policy has lost. Returns a
--- list of what the guest loses.
function M.mask_msrs(rec, level, lost)
  local report = {}
  local names = xs.cpuid.with_dependents(features_in(lost or {}))
  for _, name in ipairs(level.lacks or {}) do names[#names + 1] = name end
  local lacks = lacking { lacks = names }
  for msr in rec:each() do
    local keep = ~(lacks[msr.index] or 0)
    for _, limit in ipairs(level.msrs) do
      if limit.index == msr.index then
        keep = keep & (limit.value | (GIVEN_BITS[msr.index] or 0))
      end
    end
    local gone = msr.value & ~keep
    if gone ~= 0 then
      msr.value = msr.value & keep
      report[#report + 1] = ("%s bits %#x"):format(msr.name or xs.hex(msr.index), gone)
    end
  end
  return report
end

--- A filter that masks an image's policies down to a level and logs what the guest loses. What a
--- vCPU has turned on cannot be taken away (bits of CR4 and EFER, states of XCR0, MSRs): the filter
--- refuses such an image, because Xen would. With `force` it continues and logs what Xen will refuse.
function M.filter(level, force)
  -- The policies as they are now: they come before the vCPUs.
  local policy, msrs, lost
  local function refuse(line)
    if not force then error(line, 0) end
    xs.log.warn("Xen will refuse the image: %s", line)
  end
  -- One line a vCPU with all that it uses.
  local function check_use(rec)
    local uses, order = {}, {}
    for _, use in ipairs(policy and xs.cpuid.in_use(rec, policy, msrs) or {}) do
      if not uses[use.vcpu] then order[#order + 1], uses[use.vcpu] = use.vcpu, {} end
      table.insert(uses[use.vcpu], use.what)
    end
    for _, vcpu in ipairs(order) do
      refuse(("vCPU %d has turned on %s, which the level lacks"):format(
        vcpu, table.concat(uses[vcpu], ", ")))
    end
  end
  local filter = {
    name = "cpuid-level",
    X86_CPUID_POLICY = function(rec)
      lost = M.mask(rec, level)
      for _, name in ipairs(lost) do xs.log.info("the guest loses %s", name) end
      policy = rec:copy()
    end,
    X86_MSR_POLICY = function(rec)
      local gone = M.mask_msrs(rec, level, lost)
      for _, name in ipairs(gone) do xs.log.info("the guest loses %s", name) end
      msrs = rec:copy()
    end,
  }
  for _, type in ipairs(STATES) do filter[type] = check_use end
  filter.finish = function() return policy or xs.log.warn("%s: nothing was taken away", NO_POLICY) end
  return filter
end

--- Raises where an image has no CPUID policy: there is nothing to take a feature from.
function M.expect_policy(img)
  if not img:first "X86_CPUID_POLICY" then error(NO_POLICY .. ": there is nothing to take away", 0) end
end

--- A level without the named features and all that needs them: everything else is as the image has
--- it. Raises one line for names that do not exist.
function M.without(img, ...)
  local level = M.of_image(img)
  for _, name in ipairs { ... } do text.bit(name) end
  level.lacks = xs.cpuid.with_dependents { ... }
  return level
end

--- What a level does not change in an image, though its hosts may differ in it: lines of text on
--- another vendor and on features that the level does not say that all of its hosts have.
function M.kept(img, level)
  local lines, vendors = unsaid_lines(img, level), other_vendor(img, level)
  if vendors then table.insert(lines, 1, vendors) end
  return lines
end

return M
