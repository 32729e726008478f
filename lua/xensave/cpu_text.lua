--- Levels of CPU features from texts, for xensave.cpuid: JSON, featuresets as `xen-cpuid`, `xe
--- host-cpu-info` and `xl info` print them, policies of `xen-cpuid -p`, and names of features.
local xs = require "xensave"

local M = {}

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

--- The level of a plain table; see xensave.cpuid.of_table.
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
  for _, name in ipairs(t.lacks or {}) do M.bit(name) end
  level.lacks = xs.cpuid.with_dependents(t.lacks or {})
  return level
end

--- The place of a feature; raises one line for names that do not exist.
function M.bit(name)
  local ok, bit = pcall(xs.cpuid.bit, name)
  if not ok then error(tostring(bit.message or bit), 0) end
  return bit
end

--- A feature's name as Xen has it today; raises one line for names that do not exist.
function M.name(name)
  local bit = M.bit(name)
  local names = bit.leaf and xs.cpuid.names(bit.leaf, bit.subleaf, bit.register)
    or xs.cpuid.msr_names(bit.msr)
  return names[bit.bit]
end

--- A level that has these features of those that it speaks of, and lacks the others. `known` and
--- `has` are sets of names.
function M.of_names(has, known)
  local lacks, given = {}, {}
  for _, name in ipairs(xs.cpuid.given()) do given[name] = true end
  for name in pairs(known) do
    if not has[name] and not given[name] then lacks[#lacks + 1] = name end
  end
  table.sort(lacks)
  return { leaves = {}, msrs = {}, lacks = xs.cpuid.with_dependents(lacks), known = known }
end

-- The level of a featureset: a list of words in Xen's order. Words that it does not have say nothing.
local function of_words(words)
  local has, known = {}, {}
  for i, place in ipairs(xs.cpuid.words()) do
    local value = words[i]
    if not value then break end
    local names = place.leaf and xs.cpuid.names(place.leaf, place.subleaf, place.register)
      or xs.cpuid.msr_names(place.msr)
    for bit = 0, 31 do
      local name = names[bit + (place.shift or 0)]
      if name then
        known[name] = true
        has[name] = value & (1 << bit) ~= 0 or nil
      end
    end
  end
  return M.of_names(has, known)
end

-- The words of a text such as "178bfbff-f7fa3223-2d93fbff"; nil where it is none.
local function featureset(text)
  local separator = text:match "^%x%x%x%x%x%x%x%x([-:])"
  if not separator then return nil end
  local words = {}
  for item in (text .. separator):gmatch("(.-)%" .. separator) do
    if not item:match "^%x%x%x%x%x%x%x%x$" then return nil end
    words[#words + 1] = tonumber(item, 16)
  end
  if #words < 4 then return nil end
  -- XenServer up to 6.5 prints four words: registers c and d of leaf 1, c and d of leaf 0x80000001.
  if #words == 4 and separator == "-" then
    words = { words[2], words[1], words[4], words[3] }
  end
  return words
end

-- Of sets by label ("HVM Max", "features_pv", "Raw"), the one that a restore of such a guest is held
-- against: what Xen can give at most before what it gives by default, then what the host has.
local function choose(sets, guest)
  local kind = guest == "x86_pv" and "pv" or "hvm"
  local best, rank
  for _, set in ipairs(sets) do
    local label = (" " .. set.label:lower():gsub("[_%s]+", " ") .. " ")
    local score
    if label:find(" " .. kind .. " max ", 1, true) then
      score = 6
    elseif label:find(" " .. kind .. " ", 1, true) and not label:find(" def", 1, true) then
      score = label:find(" host ", 1, true) and 4 or 5
    elseif label:find(" " .. kind .. " ", 1, true) then
      score = 3
    elseif label:find(" host ", 1, true) or label:find " features " or label:find " hw caps " then
      score = 2
    elseif label:find(" raw ", 1, true) or label:match "^%s*$" then
      score = 1
    end
    if score and (not rank or score > rank) then best, rank = set, score end
  end
  return best
end

-- Featuresets with their labels, one a line: "HVM Max    178bfbff:...", "features_hvm: 178bfbff-...".
-- XAPI's cpu_info has several on a line, separated by semicolons.
local function featuresets(text)
  local sets = {}
  -- What comes before are xen-cpuid's masks.
  text = text:match "Dynamic sets:(.*)" or text
  for line in (text .. "\n"):gmatch "(.-)[\n;]" do
    local label, value = line:match "^%s*(.-)%s*:?%s*(%x%x%x%x%x%x%x%x[-:][-:%x]+)%s*$"
    local words = value and featureset(value)
    if words then sets[#sets + 1] = { label = label, words = words } end
  end
  return sets
end

-- The policies of `xen-cpuid -p`.
local function policies(text)
  local sets, current = {}, nil
  for line in text:gmatch "[^\n]+" do
    local label = line:match "^(.-) policy: %d+ leaves"
    if label then
      current = { label = label, leaves = {}, msrs = {}, lacks = {} }
      sets[#sets + 1] = current
    elseif current then
      local leaf, subleaf, a, b, c, d =
        line:match "^%s+(%x+):(%x+) %-> (%x+):(%x+):(%x+):(%x+)%s*$"
      local index, value = line:match "^%s+(%x+) %-> (%x+)%s*$"
      if leaf then
        subleaf = tonumber(subleaf, 16)
        table.insert(current.leaves, {
          leaf = tonumber(leaf, 16), subleaf = subleaf ~= 0xffffffff and subleaf or nil,
          a = tonumber(a, 16), b = tonumber(b, 16), c = tonumber(c, 16), d = tonumber(d, 16),
        })
      elseif index then
        table.insert(current.msrs, { index = tonumber(index, 16), value = tonumber(value, 16) })
      end
    end
  end
  return sets
end

-- Linux's names in /proc/cpuinfo that are not Xen's.
local LINUX = {
  pni = "sse3", aes = "aesni", lzcnt = "abm", pdpe1gb = "page1gb", fxsr_opt = "ffxsr", ht = "htt",
  tm = "tm1", dts = "ds", est = "eist", ds_cpl = "dscpl", sha_ni = "sha", cqm = "pqm",
  rdt_a = "pqe", intel_pt = "proc_trace", arch_capabilities = "arch_caps",
  flush_l1d = "l1d_flush", xsaveerptr = "rstr_fp_err_ptrs", bpext = "dbext",
  cr8legacy = "cr8_legacy", user_shstk = "cet_ss", ibt = "cet_ibt", bus_lock_detect = "bld",
}

-- Linux shows these under one name, whoever made the processor.
local BOTH = { ibrs = { "ibrsb", "ibrs" }, stibp = { "stibp", "amd_stibp" },
  ssbd = { "ssbd", "amd_ssbd" }, ibpb = { "ibpb" } }

-- All names of Xen, as a set.
local function all_names()
  local all = {}
  for _, place in ipairs(xs.cpuid.words()) do
    local names = place.leaf and xs.cpuid.names(place.leaf, place.subleaf, place.register)
      or xs.cpuid.msr_names(place.msr)
    for _, name in pairs(names) do all[name] = true end
  end
  return all
end

-- The level of the flags in /proc/cpuinfo or of `xe host-cpu-info`: names that are not known are
-- Linux's own.
local function of_linux(flags)
  local has, known = {}, {}
  for name in pairs(all_names()) do
    -- Linux does not show the bits of MSRs.
    if M.bit(name).leaf then known[name] = true end
  end
  for flag in flags:gmatch "%S+" do
    for _, name in ipairs(BOTH[flag] or { LINUX[flag] or flag }) do
      if known[name] then has[name] = true end
    end
  end
  return M.of_names(has, known)
end

-- The level of a list of names: everything that it does not name is lacking. Numbers signs begin
-- comments.
local function of_list(text)
  local has = {}
  for line in (text .. "\n"):gmatch "(.-)\n" do
    for name in line:gsub("#.*", ""):gmatch "[^%s,]+" do
      has[M.name(LINUX[name] or name)] = true
    end
  end
  if not next(has) then
    error("expected JSON, a featureset of xen-cpuid, xe or xl info, or names of features", 0)
  end
  return M.of_names(has, all_names())
end

--- The level of a text in any of the forms, for a guest of this type ("x86_hvm", "x86_pv"). Raises
--- one line for what is none.
function M.of_text(text, guest)
  if text:match "^%s*[%[{]" then
    local t, err = xs.from_json(text)
    if t == nil then error(tostring(err or "expected a table of leaves, got null"), 0) end
    return M.of_table(t)
  end
  local level
  local policy = choose(policies(text), guest)
  if policy then
    level = { leaves = policy.leaves, msrs = policy.msrs, lacks = {} }
    level.source = policy.label .. " policy"
  else
    local set = choose(featuresets(text), guest)
    local flags = text:match "\n%s*flags%s*: *([^\n]+)" or text:match "^%s*flags%s*: *([^\n]+)"
    if set then
      level = of_words(set.words)
      level.source = set.label ~= "" and set.label or nil
    elseif flags then
      level = of_linux(flags)
      level.source = "flags"
    else
      level = of_list(text)
    end
  end
  level.vendor = text:match "vendor[_%s]*i?d?%s*: *(%w+)"
  return level
end

return M
