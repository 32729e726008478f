#!/usr/bin/env xensave-lua
-- Change the name of the saved domain, whichever toolstack saved it.
-- usage: xensave-lua rename.lua IMAGE NEWNAME (-o OUT | --in-place | --dry-run)
local xs = require "xensave"

local name = arg[1]
if not name or not name:match "^[%w_.+-]+$" then
  xs.usage "expected a new name of letters, digits and _ . + -"
end

return {
  name = "rename",
  xl_header = function(h) -- xl save
    if not h.config then error("the image has no configuration in JSON", 0) end
    h.config.c_info.name = name
  end,
  libvirt_header = function(h) h.xml.name = name end, -- virsh save
  Xenops = function(rec) rec.xenops["vm_str.name"] = name end, -- XAPI's suspend image
}
