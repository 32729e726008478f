#!/usr/bin/env xensave-lua
-- Mask what CPUID tells the guest down to another image's level, or take features away by name.
-- usage: xensave-lua level.lua IMAGE (--like OTHER | FEATURE...) (-o OUT | --in-place | --dry-run)
--        xensave-lua level.lua IMAGE --check OTHER     would IMAGE restore where OTHER was saved?
local xs = require "xensave"
local cpuid = require "xensave.cpuid"

local img = img or xs.usage "expected an image"
if arg[1] == "--check" then
  local other <close> = assert(xs.open(arg[2] or xs.usage "expected another image"))
  local missing = cpuid.missing(img, cpuid.of_image(other))
  if #missing == 0 then print "yes: nothing is missing" else
    print("no: missing " .. table.concat(missing, ", "))
  end
elseif arg[1] == "--like" then
  local other <close> = assert(xs.open(arg[2] or xs.usage "expected another image"))
  return cpuid.filter(cpuid.of_image(other))
elseif arg[1] then
  return cpuid.filter(cpuid.without(img, table.unpack(arg)))
else
  xs.usage "expected --like OTHER, --check OTHER or names of features"
end
