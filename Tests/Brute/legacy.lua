-- Small images as Xen 4.5 and older wrote them, from plain bytes.
local M = {}

function M.hvm()
  local page = ("p"):rep(4096)
  return string.pack("<I8", 64)
    .. string.pack("<i4I8I8", 2, 0x10, 0x11) .. page .. page
    .. string.pack("<i4I4I8", -3, 0, 0xfc0)           -- a parameter of the guest
    .. string.pack("<i4I4I8I4I4", -7, 0, 1, 2000000, 0)   -- the TSC
    .. string.pack("<i4", 0)                           -- the end of the pages
    .. string.pack("<I8I8I8", 0x10, 0x11, 0x11)
    .. string.pack("<s4", string.pack("<I2I2I4", 0, 0, 0))
    .. "QemuDeviceModelRecord" .. string.pack("<s4", "QEVM\0\0\0\3\0")
end

function M.pv()
  local page = ("p"):rep(4096)
  local context = ("\0"):rep(5168)
  local blocks = "vcpu" .. string.pack("<s4", context)
  return string.pack("<I8I8", 16, -1 & 0xffffffffffffffff) .. string.pack("<s4", blocks)
    .. string.pack("<I8", 4)                           -- the page of the p2m
    .. string.pack("<i4I8I8I8", 3, 1, 4, 5) .. page .. page .. page
    .. string.pack("<i4I4I8", -2, 0, 1)                -- the vCPUs
    .. string.pack("<i4", 0)
    .. string.pack("<I4", 0) .. context .. page
end

return M
