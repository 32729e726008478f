-- A comparator that sorts.
local function attack()
  local function compare(a, b) table.sort({ 3, 2, 1 }, compare) return a < b end
  table.sort({ 3, 2, 1 }, compare)
end
