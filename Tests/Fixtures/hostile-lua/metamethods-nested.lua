-- Metamethods that call themselves.
local function attack()
  local m = {}
  local t = setmetatable({}, m)
  m.__concat = function(a, b) return a .. b end
  m.__eq = function(a, b) return a == setmetatable({}, m) end
  m.__lt = function(a, b) return a < b end
  m.__unm = function(a) return -a end
  m.__call = function(self, ...) return (self(...)) end
  m.__len = function(self) return #self end
  m.__name = ("n"):rep(100000)
  pcall(function() return t .. "" end)
  pcall(function() return t == setmetatable({}, m) end)
  pcall(function() return t < t end)
  pcall(function() return -t end)
  pcall(function() return #t end)
  pcall(function() return ("x"):rep(t) end)
  return t()
end
