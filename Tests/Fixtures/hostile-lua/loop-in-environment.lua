-- Metatables of strings and of _ENV, and what is left of debug, collectgarbage and warn.
local function attack()
  assert(debug == nil and warn == nil and io == nil and package == nil and dofile == nil)
  assert(not pcall(collectgarbage, "generational"))
  assert(not pcall(collectgarbage, "stop"))
  assert(not pcall(collectgarbage, "incremental", 1, 1, 1))
  assert(not pcall(setmetatable, {}, { __gc = function() while true do end end }))
  assert(getmetatable("") == false)
  assert(not pcall(setmetatable, string, {}))
  assert(not pcall(rawset, string, "rep", print))
  setmetatable(_ENV, { __index = function() while true do end end,
    __newindex = function() while true do end end })
  local _ENV = setmetatable({}, { __index = _ENV })
  return undefined
end
