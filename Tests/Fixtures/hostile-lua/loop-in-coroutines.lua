-- A loop under a coroutine under a coroutine.
local function attack()
  local b = coroutine.wrap(function()
    local a = coroutine.create(function() while true do end end)
    coroutine.resume(a)
    while true do end
  end)
  b()
end
