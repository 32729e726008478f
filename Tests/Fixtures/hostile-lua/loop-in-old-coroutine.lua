-- Made before anybody thought of stopping it.
local loops = {}
for i = 1, 10 do
  loops[i] = coroutine.create(function() coroutine.yield() while true do end end)
  coroutine.resume(loops[i])
end
local function attack()
  while true do
    for i = 1, 10 do coroutine.resume(loops[i]) end
  end
end
