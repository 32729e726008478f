-- A replacement that replaces.
local function attack()
  local function f(s) return (s:gsub("x", f)) end
  f("x")
end
