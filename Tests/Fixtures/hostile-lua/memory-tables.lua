-- Tables, coroutines, closures and stacks larger than the memory.
local function attack()
  pcall(function() local t = {} for i = 1, math.huge do t[i] = {} end end)
  pcall(function() local t = {} while true do t[#t + 1] = coroutine.create(print) end end)
  pcall(function() local t = {} for i = 1, math.huge do t[function() return i end] = i end end)
  pcall(function() return table.move({}, 1, 1e7, 1, {}) end)
  pcall(function() return select("#", table.unpack({}, 1, 999000)) end)
  pcall(function() return (table.pack(table.unpack({}, 1, 999000))) end)
  local function f(...) return (f(1, 2, 3, 4, 5, 6, 7, 8)) end
  pcall(f)
  local t = {}
  while true do t = { t, t, t, t } end
end
