-- What is closed because of the stop loops itself.
local function attack()
  local function loop() while true do end end
  local function looping() return setmetatable({}, { __close = loop, __index = loop }) end
  pcall(coroutine.wrap(function() local x <close> = looping() loop() end))
  local co = coroutine.create(function() local x <close> = looping() loop() end)
  pcall(coroutine.resume, co)
  pcall(coroutine.close, co)
  local y <close> = looping()
  xpcall(loop, loop)
  for i = 1, math.huge do pcall(function() return looping().x end) end
end
