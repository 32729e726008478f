-- Message handlers that fail and handle.
local function attack()
  local function f() error(setmetatable({}, { __tostring = function() return f() end })) end
  local function h(e) return xpcall(f, h) end
  for i = 1, 100 do xpcall(f, h) end
  error(select(2, xpcall(f, h)))
end
