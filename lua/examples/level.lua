#!/usr/bin/env xensave-lua
-- Mask what CPUID tells the guest down to a level: another image's, that of a file (xen-cpuid, xe
-- host-cpu-info, xl info, JSON, names of features), one by name ("haswell", "x86-64-v2", "zen3"), or the
-- image's own without some features.
-- usage: xensave-lua level.lua IMAGE LEVEL (-o OUT | --in-place | --dry-run)
--        xensave-lua level.lua IMAGE --check LEVEL     would IMAGE restore there? what would it lose?
-- With --check the exit code is 1 where it would not.
-- LEVEL: --like OTHER | --from FILE | --named NAME | FEATURE... (what to take away)
local xs = require "xensave"
local cpuid = require "xensave.cpuid"

local img = img or xs.usage "expected an image"
local words = table.move(arg, 1, #arg, 1, {})
local is_check = words[1] == "--check"
if is_check then
  table.remove(words, 1)
  if words[1] and not words[1]:match "^%-%-" then table.insert(words, 1, "--like") end
end

local function level()
  local kind, name = words[1], words[2]
  if kind == "--like" then
    local other <close> = assert(xs.open(name or xs.usage "expected another image"))
    return cpuid.of_image(other)
  elseif kind == "--from" then
    return assert(cpuid.of_file(name or xs.usage "expected a file", img.guest))
  elseif kind == "--named" then
    return cpuid.named(name or xs.usage("expected one of %s", table.concat(cpuid.names(), ", ")))
  elseif kind then
    return cpuid.without(img, table.unpack(words))
  end
  xs.usage "expected --like OTHER, --from FILE, --named NAME or names of features"
end

if is_check then
  local wanted = level()
  local ok, reasons = cpuid.check(img, wanted)
  if ok then return print "yes: nothing is missing" end
  print("no: missing " .. table.concat(reasons, ", "))
  print("levelled, the guest would lose:\n" .. cpuid.report(img, wanted))
  return 1
else
  cpuid.expect_policy(img)
  return cpuid.filter(level())
end
