#!/usr/bin/env xensave-lua
-- cpuid-level - take processor features away, so that the domain restores on an older host
--
-- usage: xensave-lua run cpuid-level IMAGE (--like=OTHER | --from=FILE | --named=NAME)
--                    [--without=FEATURE]... [--force]
--                    (-o OUT | --in-place | --dry-run | --check [--xen=RELEASE])
--
-- --like masks what CPUID and the MSRs tell the guest down to what another image has: one that was
-- saved on the older host. --from takes the level from a file: what `xen-cpuid`, `xen-cpuid -p`, `xe
-- host-cpu-info`, `xl info` or /proc/cpuinfo prints on that host, JSON of leaves, or names of all
-- features that it has. --named takes a generation of processors by name (haswell, zen3, or libvirt's
-- EPYC-Milan) or a level of the x86-64 psABI. --without takes single features away (avx2, erms), with
-- all that needs them.
--
-- What the guest loses is logged, and what it keeps though the level does not say that all of its
-- hosts have it. A guest whose vCPUs have turned on a state that would be lost is refused, because Xen
-- would refuse it: with --force only a warning says so. --check only says whether the image would
-- restore on such a host with all that its guest has: exit code 0 if it would, else 1. Without --xen
-- it speaks of all releases.
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
  { name = "from", placeholder = "FILE", help = "A file with the level to reach." },
  { name = "named", placeholder = "NAME",
    help = "A level by name: " .. table.concat(cpuid.names(), ", ") .. "." },
  { name = "without", type = "list", placeholder = "FEATURE", help = "A feature to take away." },
  { name = "force", type = "flag", help = "Only warn of what Xen will refuse." },
  { name = "check", type = "flag", help = "Only say whether the image restores there." },
  { name = "xen", placeholder = "RELEASE", help = "With --check: the host's release of Xen." },
}
if not img then xs.usage "expected an image" end

-- Calls a function that raises what the user has got wrong.
local function asked(f, ...)
  local result = table.pack(pcall(f, ...))
  if not result[1] then xs.usage("%s", tostring(result[2].message or result[2])) end
  return table.unpack(result, 2, result.n)
end

local level
if opts.like then
  local other <close>, err = xs.open(opts.like)
  if not other then error(err, 0) end
  level = cpuid.of_image(other)
elseif opts.from then
  local err
  level, err = cpuid.of_file(opts.from, img.guest)
  if not level then error(err, 0) end
elseif opts.named then
  level = asked(cpuid.named, opts.named)
end
if not level and not opts.without then xs.usage "expected --like, --from, --named or --without" end
-- Names and releases are looked at before anything is read.
local less = opts.without and asked(cpuid.without, img, table.unpack(opts.without))
if opts.xen then asked(xs.cpuid.checks, opts.xen) end
if not opts.check then
  cpuid.expect_policy(img)
  for _, line in ipairs(level and cpuid.kept(img, level) or {}) do xs.log.warn("%s", line) end
  return M.filter(img, level, opts.without, opts.force)
end
if level and less then
  table.move(less.lacks, 1, #less.lacks, #level.lacks + 1, level.lacks)
end
local ok, reasons, kept = cpuid.check(img, level or less, opts.xen)
for _, reason in ipairs(reasons) do print("missing: " .. reason) end
for _, line in ipairs(kept) do print(line) end
return ok and 0 or 1
