#!/usr/bin/env xensave-lua
-- strip - drop all records of the given types
--
-- usage: xensave-lua run strip IMAGE TYPE... (-o OUT | --in-place | --dry-run)
--
-- A TYPE is a name or a number: TOOLSTACK, 0xb and 11 are the same. Numbers mean records of the
-- libxc stream, unless --libxl is given. What a restore cannot do without is refused when the
-- result is checked (--unchecked writes it all the same).
--
-- In a script: xs.chain(require "xensave.filters.strip".filter { "TOOLSTACK" }, ...)
local xs = require "xensave"

local M = {}

-- A filter that drops the records of these types. options.layer: "libxc" (as a rule) or "libxl".
function M.filter(types, options)
  local layer = options and options.layer or "libxc"
  local unwanted, dropped = {}, {}
  for _, name in ipairs(types) do unwanted[xs.record_type(name)] = name end
  return {
    name = "strip",
    record = function(rec)
      if rec.layer == layer and unwanted[rec.type_id] then
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
end

if not xs.is_main() then return M end

local opts = xs.options {
  { name = "libxl", type = "flag", help = "Numbers and END mean records of the libxl stream." },
}
if #arg == 0 then xs.usage "expected at least one record type" end
return M.filter(arg, { layer = opts.libxl and "libxl" or "libxc" })
