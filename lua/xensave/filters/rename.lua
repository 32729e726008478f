#!/usr/bin/env xensave-lua
-- rename - change the name, and the UUID, of the saved domain
--
-- usage: xensave-lua run rename IMAGE NEWNAME [--uuid=UUID] (-o OUT | --in-place | --dry-run)
--
-- The name is the one in the configuration: the JSON that xl saved, libvirt's XML, or the VM in
-- xenopsd's record (where XAPI has a name of its own, which stays). A restore gives it to the domain.
-- An image that says nothing of its domain is refused.
--
-- In a script: require "xensave.filters.rename".filter("web2", { uuid = "..." })
local xs = require "xensave"
local description = require "xensave.description"

local M = {}
local uuid_pattern = "^%x%x%x%x%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x$"

-- A filter that sets the name. options.uuid: sets the UUID too.
function M.filter(name, options)
  local uuid = options and options.uuid
  if type(name) ~= "string" or not name:match "^[%w_.+-]+$" then
    error("rename: expected a name of letters, digits and _ . + -", 2)
  end
  if uuid and not uuid:match(uuid_pattern) then
    error("rename: expected a UUID such as 00000000-0000-4000-8000-000000000001", 2)
  end
  return description.filter("rename", function(domain)
    domain.name = name
    if uuid then domain.uuid = uuid:lower() end
  end)
end

if not xs.is_main() then return M end

local opts = xs.options {
  { name = "uuid", help = "Set the UUID too.", placeholder = "UUID" },
}
if #arg ~= 1 then xs.usage "expected the new name" end
return M.filter(arg[1], { uuid = opts.uuid })
