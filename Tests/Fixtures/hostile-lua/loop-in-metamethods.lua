-- A loop inside __index.
local function attack()
  local t = setmetatable({}, { __index = function(t, k) ::again:: k = nil goto again end })
  while true do pcall(function() return t.x end) end
end
