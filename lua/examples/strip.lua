#!/usr/bin/env xensave-lua
-- Drop all records of the given types.
-- usage: xensave-lua strip.lua IMAGE TYPE... (-o OUT | --in-place | --dry-run)
-- A TYPE is a name or number: TOOLSTACK, 0xb and 11 are the same.
local xs = require "xensave"

if #arg == 0 then xs.usage "expected at least one record type" end
local unwanted, dropped = {}, {}
for _, name in ipairs(arg) do unwanted[xs.record_type(name)] = name end

return {
  name = "strip",
  record = function(rec)
    if rec.layer == "libxc" and unwanted[rec.type_id] then
      dropped[rec.type_id] = true
      xs.log.info("dropping %s at %#x (%d bytes)", rec.type, rec.offset, rec.length)
      return false
    end
  end,
  finish = function()
    for type, name in xs.sorted(unwanted) do
      if not dropped[type] then xs.log.warn("the image has no record %s", name) end
    end
  end,
}
