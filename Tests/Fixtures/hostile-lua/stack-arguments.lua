-- More arguments than there is stack for their copies.
local function attack()
  local xs = require "xensave"
  for _, n in ipairs { 1000, 30000, 200000, 400000, 600000, 900000, 990000, 999000 } do
    local t = table.pack(table.unpack({}, 1, n))
    pcall(function() xs.log.info("%s", table.unpack(t, 1, n)) end)
    pcall(function() xs.usage("%s", table.unpack(t, 1, n)) end)
    pcall(function() print(table.unpack(t, 1, n)) end)
    pcall(function() xs.record("TOOLSTACK", table.unpack(t, 1, n)) end)
    pcall(function() xs.hex(1, table.unpack(t, 1, n)) end)
    pcall(function() return string.format("%s", table.unpack(t, 1, n)) end)
    pcall(function() return xpcall(select, print, table.unpack(t, 1, n)) end)
    pcall(function() return coroutine.wrap(function(...) return ... end)(table.unpack(t, 1, n)) end)
  end
  error("refused")
end
