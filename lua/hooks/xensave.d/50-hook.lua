-- 50-hook.lua - a filter that a VM has to ask for, on hosts of XAPI
-- For /etc/xen/xensave.d, on XCP-ng and XenServer. It is used for VMs that have
--   xe vm-param-set uuid=UUID platform:emu-manager=xensave-lua platform:xensave-hook=quiet
-- Those are not saved or restored where no file has the hook "quiet".
local xs = require("xensave")

return {
  description = "logs the records of VMs that ask for it",
  match = { hook = "quiet" },
  side = "both",
  filter = function(rec)
    if rec.type ~= "PAGE_DATA" then xs.log.info("%s at %#x", rec.type, rec.offset) end
  end,
}
