#!/usr/bin/env xensave-lua
-- Change the path of a disk in the domain's configuration.
-- usage: xensave-lua retarget-disk.lua IMAGE VDEV NEWPATH (-o OUT | --in-place | --dry-run)
local xs = require "xensave"
local description = require "xensave.description"

local vdev, path = arg[1], arg[2]
if not path then xs.usage "expected VDEV (such as xvda) and a new path" end

return description.filter("retarget-disk", function(domain)
  for _, disk in ipairs(domain.disks) do
    if disk.vdev == vdev then
      xs.log.info("%s: %s -> %s", vdev, disk.path or "(none)", path)
      disk.path = path
      return
    end
  end
  error(("the domain has no disk '%s'"):format(vdev), 0)
end)
