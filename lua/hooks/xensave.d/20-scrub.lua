-- 20-scrub.lua - zeros a range of pages in what leaves this machine
-- For /etc/xen/xensave.d. The filter sees the libxc stream of every save and migration of the guests
-- that `match` names. Where it fails, nothing is let through and the guest runs on here.
local P = require("xensave").pages

-- The firmware of HVM guests, and the ACPI tables of PVH guests: both have been read at boot.
local firmware = P.pfn(0xf0, 0xff) | P.pfn(0xfc000, 0xfc00f)

return {
  description = "no firmware in images",
  match = { type = { "hvm", "pvh" } },
  filter = {
    PAGE_DATA = function(batch) batch:fill(firmware, 0) end,
  },
}
