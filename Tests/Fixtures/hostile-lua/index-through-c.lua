-- __index calls C, which calls __index.
local function attack()
  local t = setmetatable({}, {})
  getmetatable(t).__index = function(t, k) return select(2, pcall(string.format, "%s", t)) end
  getmetatable(t).__tostring = function(t) return t[{}] end
  local a = t.x
  local u = setmetatable({}, {})
  getmetatable(u).__index = function(u, k) return table.concat(u, k, 1, 2) end
  return u.y
end
