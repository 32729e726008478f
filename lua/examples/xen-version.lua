#!/usr/bin/env xensave-lua
-- Set the version of Xen that the image says it was saved by.
-- usage: xensave-lua xen-version.lua IMAGE MAJOR.MINOR (-o OUT | --in-place | --dry-run)
local xs = require "xensave"

local major, minor = tostring(arg[1]):match "^(%d+)%.(%d+)$"
if not major then xs.usage("expected MAJOR.MINOR, got %s", arg[1]) end

return {
  name = "xen-version",
  domain_header = function(h)
    h.xen_major, h.xen_minor = math.tointeger(major), math.tointeger(minor)
  end,
}
