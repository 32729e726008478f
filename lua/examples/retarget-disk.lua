#!/usr/bin/env xensave-lua
-- Change the path of a disk in the domain's configuration.
-- usage: xensave-lua retarget-disk.lua IMAGE VDEV NEWPATH (-o OUT | --in-place | --dry-run)
local xs = require "xensave"

local vdev, path = arg[1], arg[2]
if not path then xs.usage "expected VDEV (such as xvda) and a new path" end

return {
  name = "retarget-disk",
  xl_header = function(h)
    local disks = h.config and h.config.disks
    if disks then
      for _, disk in disks:each() do
        if disk.vdev == vdev then
          xs.log.info("%s: %s -> %s", vdev, disk.pdev_path or "(none)", path)
          disk.pdev_path = path
          return
        end
      end
    end
    error(("the domain has no disk '%s'"):format(vdev))
  end,
}
