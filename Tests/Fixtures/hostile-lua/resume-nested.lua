-- Coroutines that resume each other.
local function attack()
  local function f(n)
    local ok, err = coroutine.resume(coroutine.create(function() return f(n + 1) end))
    if not ok then error(err, 0) end
  end
  f(1)
end
