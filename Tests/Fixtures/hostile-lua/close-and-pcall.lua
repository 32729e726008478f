-- Closes inside protected calls inside closes, and each of them goes deep by itself.
local function deep(n, f)
  if n == 0 then return f() end
  return pcall(deep, n - 1, f)
end
local function attack()
  local co
  for i = 1, 3000 do
    local before = co
    co = coroutine.create(function()
      local c <close> = setmetatable({}, { __close = function()
        if before then deep(150, function() coroutine.close(before) end) end
      end })
      coroutine.yield()
    end)
    coroutine.resume(co)
  end
  pcall(coroutine.close, co)
  error("refused")
end
