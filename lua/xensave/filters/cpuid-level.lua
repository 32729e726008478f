#!/usr/bin/env xensave-lua
-- cpuid-level - take processor features away, so that the domain restores on an older host
--
-- usage: xensave-lua run cpuid-level IMAGE [--like=OTHER] [--without=FEATURE]...
--                    (-o OUT | --in-place | --dry-run)
--
-- --like masks what CPUID and the MSRs tell the guest down to what another image has: one that was
-- saved on the older host. --without takes single features away by name (avx2, erms, ...). What the
-- guest loses is logged. A guest whose vCPUs have turned on a state that would be lost is refused,
-- because Xen would refuse it.
--
-- In a script: local cpuid = require "xensave.cpuid"; return cpuid.filter(cpuid.of_image(other))
local xs = require "xensave"
local cpuid = require "xensave.cpuid"

local M = {}

-- A filter that masks `image` down to `level` (of xensave.cpuid) without the features named.
function M.filter(image, level, without)
  if without and #without > 0 then
    local left = cpuid.filter(cpuid.without(image, table.unpack(without)))
    return level and xs.chain(left, cpuid.filter(level)) or left
  end
  return cpuid.filter(level)
end

if not xs.is_main() then return M end

local opts = xs.options {
  { name = "like", placeholder = "OTHER", help = "An image with the level to reach." },
  { name = "without", type = "list", placeholder = "FEATURE", help = "A feature to take away." },
}
if not img then xs.usage "expected an image" end
if not opts.like and not opts.without then xs.usage "expected --like or --without" end
local level
if opts.like then
  local other <close> = assert(xs.open(opts.like))
  level = cpuid.of_image(other)
end
return M.filter(img, level, opts.without)
