-- Each wrapped function fails, which closes it, which calls the next.
local function attack()
  local f
  for i = 1, 12000 do
    local before = f
    f = coroutine.wrap(function()
      local c <close> = setmetatable({}, { __close = function() if before then before() end end })
      error("x")
    end)
  end
  f()
end
