#!/usr/bin/env xensave-lua
-- Change the name of the saved domain.
-- usage: xensave-lua rename.lua IMAGE NEWNAME (-o OUT | --in-place | --dry-run)
local xs = require "xensave"

local name = arg[1]
if not name or not name:match "^[%w_.+-]+$" then
  xs.usage "expected a new name of letters, digits and _ . + -"
end

return {
  name = "rename",
  xl_header = function(h)
    if not h.config then error "the image has no JSON configuration" end
    h.config.c_info.name = name
  end,
}
