#!/usr/bin/env xensave-lua
-- set-version - set the release of Xen that the image says it was saved by
--
-- usage: xensave-lua run set-version IMAGE MAJOR.MINOR (-o OUT | --in-place | --dry-run)
--
-- Restorers look at it only for messages; the verification compares it with what the records are
-- like. The stream's own version (2 or 3) is another thing and stays.
--
-- In a script: require "xensave.filters.set-version".filter(4, 16)
local xs = require "xensave"

local M = {}

-- A filter that sets xen_major and xen_minor of the domain header.
function M.filter(major, minor)
  return {
    name = "set-version",
    domain_header = function(header)
      header.xen_major, header.xen_minor = major, minor
    end,
  }
end

if not xs.is_main() then return M end

xs.options {}
local major, minor = tostring(arg[1]):match "^(%d+)%.(%d+)$"
if not major or #arg > 1 then xs.usage("expected MAJOR.MINOR, got %s", arg[1] or "nothing") end
return M.filter(math.tointeger(major), math.tointeger(minor))
