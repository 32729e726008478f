-- What Swift keeps: records, sets, selectors, functions.
local function attack()
  local xs = require "xensave"
  local kept = {}
  pcall(function() while true do kept[#kept + 1] = xs.record("TOOLSTACK", ("x"):rep(1 << 20)) end end)
  kept = {}
  pcall(function()
    local set = xs.pages.set()
    for i = 1, 200000, 2 do set = set | xs.pages.set(i) kept[#kept + 1] = set end
  end)
  kept = {}
  pcall(function()
    local s = xs.pages.pfn(1)
    for i = 1, math.huge do s = s | xs.pages.pfn(i) kept[#kept + 1] = s end
  end)
  kept = {}
  while true do kept[#kept + 1] = xs.pages.set(1, 5):each() end
end
