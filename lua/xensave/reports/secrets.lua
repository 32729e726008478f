#!/usr/bin/env xensave-lua
-- secrets - private keys and tokens in the memory of an image, and which processes have them
--
-- usage: xensave-lua run secrets IMAGE [--json] [--limit=N] [--regex=PATTERN]... [--pages=FILE]
--
-- Looks for the texts that private keys, passwords of Unix and the tokens of well-known services begin
-- with; --regex looks for a POSIX extended regular expression as well. What is found is said with its
-- physical address and, of a Linux guest, the processes that have that page in their memory, and where:
-- no owner means the kernel, its page cache, or memory that is free. Of the secret itself only the
-- beginning of its kind is shown. --pages writes the pages to a file, which scrub takes:
--   xensave-lua run secrets IMAGE --pages=found.txt; xensave-lua run scrub IMAGE --set=found.txt -o OUT
-- Exit code 0 where nothing was found, else 1.
--
-- In a script: require "xensave.reports.secrets".find(img)
local xs = require "xensave"

local M = {}

-- Kinds by name: how each begins, and what follows it so that a mention of it is none.
M.kinds = {
  { name = "private key (PEM)", regex = "-----BEGIN ([A-Z0-9]+ )*PRIVATE KEY-----" },
  { name = "private key (PuTTY)", regex = "PuTTY-User-Key-File-[23]: [a-z]" },
  { name = "hashed password", regex = "[a-z_][a-z0-9_-]*:\\$(y|6|5|2[aby]|gy)\\$[./A-Za-z0-9$,=]{20}" },
  { name = "AWS access key", regex = "(AKIA|ASIA)[A-Z0-9]{16}" },
  { name = "GitHub token", regex = "gh[pousr]_[A-Za-z0-9]{36}" },
  { name = "GitLab token", regex = "glpat-[A-Za-z0-9_-]{20}" },
  { name = "Slack token", regex = "xox[abprs]-[0-9]{8}" },
  { name = "JSON web token", regex = "eyJhbGciOi[A-Za-z0-9_-]{10}" },
  { name = "HTTP password", regex = "[Aa]uthorization: [Bb]asic [A-Za-z0-9+/]{8}" },
  { name = "HTTP token", regex = "[Aa]uthorization: [Bb]earer [A-Za-z0-9._~+/-]{16}" },
}

-- What is found, by address: { kind, address, pfn, owners }. options.regexes: more of them;
-- options.limit: at most so many of each kind (1000). The second result is how many there are in all,
-- the third why the owners are not all known, or nil.
function M.find(image, options)
  options = options or {}
  local kinds = { table.unpack(M.kinds) }
  for _, regex in ipairs(options.regexes or {}) do
    kinds[#kinds + 1] = { name = regex, regex = regex }
  end
  local found, total, pfns, seen = {}, 0, {}, {}
  for _, kind in ipairs(kinds) do
    local places = image:search(kind.regex, { encoding = "regex", limit = options.limit or 1000 })
    total = total + places.count
    for _, address in ipairs(places) do
      local pfn = address >> 12
      found[#found + 1] = { kind = kind.name, address = address, pfn = pfn }
      if not seen[pfn] then
        seen[pfn] = {}
        pfns[#pfns + 1] = pfn
      end
    end
  end
  table.sort(found, function(a, b) return math.ult(a.address, b.address) end)
  local problem
  if #pfns > 0 then
    local fine, owners, why = pcall(function() return image.linux:owners(pfns) end)
    problem = why
    if not fine then
      problem = tostring(owners):gsub("^[^\n]-%.lua:%d+: ", "")
    elseif not owners then
      problem = tostring(why)
    else
      for _, owner in ipairs(owners) do table.insert(seen[owner.pfn], owner) end
      for _, row in ipairs(found) do row.owners = seen[row.pfn] end
    end
  end
  return found, total, problem
end

if not xs.is_main() then return M end

local opts = xs.options {
  { name = "json", type = "flag", help = "Print JSON." },
  { name = "limit", type = "integer", default = 1000, placeholder = "N",
    help = "At most so many of each kind." },
  { name = "regex", type = "list", placeholder = "PATTERN", help = "Look for this as well." },
  { name = "pages", placeholder = "FILE", help = "Write the pages to a file, for scrub." },
}
if not img then xs.usage "expected an image" end
if opts.limit < 1 then xs.usage("--limit: expected 1 or more, got %d", opts.limit) end
local found, total, problem = M.find(img, { regexes = opts.regex, limit = opts.limit })
if opts.pages then
  local list = {}
  for index, row in ipairs(found) do list[index] = row.pfn end
  assert(xs.pages.set(list):save(opts.pages))
end

-- What a guest says must not steer the terminal.
local function plain(text) return (text:gsub("[%c\x7f]", "?")) end

-- The processes, each with the address of the secret itself.
local function owners(row)
  local out = {}
  for index, owner in ipairs(row.owners or {}) do
    if index > 4 then
      out[5] = ("and %d more"):format(#row.owners - 4)
      break
    end
    out[index] = ("%d %s at %s"):format(owner.pid, plain(owner.comm),
      xs.hex(owner.address + (row.address & 0xfff)))
  end
  return table.concat(out, ", ")
end

if opts.json then
  for _, row in ipairs(found) do
    row.address = xs.hex(row.address)
    if row.owners and #row.owners == 0 then row.owners = nil end
    for _, owner in ipairs(row.owners or {}) do
      if type(owner.address) == "number" then owner.address = xs.hex(owner.address) end
    end
  end
  print(xs.json { found = #found > 0 and found or nil, count = total, problem = problem })
else
  local rows = {}
  for index, row in ipairs(found) do rows[index] = { xs.hex(row.address), row.kind, owners(row) } end
  if #rows > 0 then xs.table(rows, { header = { "address", "kind", "processes" } }) end
  print(total == #found and ("%d found"):format(total)
    or ("%d found, %d of them shown"):format(total, #found))
  if problem then print("not all owners are known: " .. plain(problem)) end
end
return total > 0 and 1 or 0
