#!/usr/bin/env xensave-lua
-- cpuid-level - take processor features away, so that the domain restores on an older host
--
-- usage: xensave-lua run cpuid-level IMAGE (--like=OTHER | --from=FILE.json | --named=NAME)
--                    [--without=FEATURE]... [--force]
--                    (-o OUT | --in-place | --dry-run | --check)
--
-- --like masks what CPUID and the MSRs tell the guest down to what another image has: one that was
-- saved on the older host. --from takes the level from JSON, --named one of the levels that are known
-- by name (haswell, x86-64-v2, zen3). --without takes single features away (avx2, erms). What the
-- guest loses is logged. A guest whose vCPUs have turned on a state that would be lost is refused,
-- because Xen would refuse it: with --force only a warning says so. --check only says whether the image would restore on such a host:
-- exit code 0 if it would, else 1.
--
-- In a script: local cpuid = require "xensave.cpuid"; return cpuid.filter(cpuid.named "haswell")
local xs = require "xensave"
local cpuid = require "xensave.cpuid"

local M = {}

-- A filter that masks `image` down to `level` (nil: as it is), and takes the named features away.
function M.filter(image, level, without, force)
  local stages = {}
  if without and #without > 0 then
    stages[1] = cpuid.filter(cpuid.without(image, table.unpack(without)), force)
  end
  if level then stages[#stages + 1] = cpuid.filter(level, force) end
  return #stages == 2 and xs.chain(stages[1], stages[2]) or stages[1]
end

if not xs.is_main() then return M end

local opts = xs.options {
  { name = "like", placeholder = "OTHER", help = "An image with the level to reach." },
  { name = "from", placeholder = "FILE.json", help = "A file with the level to reach." },
  { name = "named", placeholder = "NAME",
    help = "A level by name: " .. table.concat(cpuid.names(), ", ") .. "." },
  { name = "without", type = "list", placeholder = "FEATURE", help = "A feature to take away." },
  { name = "force", type = "flag", help = "Only warn of what Xen will refuse." },
  { name = "check", type = "flag", help = "Only say whether the image restores there." },
}
if not img then xs.usage "expected an image" end
local level
if opts.like then
  local other <close> = assert(xs.open(opts.like))
  level = cpuid.of_image(other)
elseif opts.from then
  level = assert(cpuid.of_file(opts.from))
elseif opts.named then
  level = cpuid.named(opts.named)
end
if not level and not opts.without then xs.usage "expected --like, --from, --named or --without" end
if not opts.check then return M.filter(img, level, opts.without, opts.force) end
local ok, reasons = cpuid.check(img, level or cpuid.without(img, table.unpack(opts.without)))
for _, reason in ipairs(reasons or {}) do print("missing: " .. reason) end
return ok and 0 or 1
