-- 12,000 coroutines, each of which closes the one before.
local function attack()
  local co
  for i = 1, 12000 do
    local before = co
    co = coroutine.create(function()
      local c <close> = setmetatable({}, { __close = function()
        if before then coroutine.close(before) end
      end })
      coroutine.yield()
    end)
    coroutine.resume(co)
  end
  coroutine.close(co)
end
