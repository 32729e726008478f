-- Variables that fail when they are closed, in loops and with more of them on the way.
local function attack()
  local function failing()
    return setmetatable({}, { __close = function(_, e)
      local x <close> = setmetatable({}, { __close = function() error(e or "one", 0) end })
      error("two", 0)
    end })
  end
  for i = 1, 1000 do
    pcall(function()
      local a <close>, b <const> = failing(), 1
      local c <close> = failing()
      for k, v in pairs({ 1, 2 }) do local d <close> = failing() end
    end)
  end
  local function f(n) local x <close> = failing() return n < 5000 and (f(n + 1)) or nil end
  f(1)
end
