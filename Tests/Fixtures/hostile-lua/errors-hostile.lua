-- Error values that loop, fail or are huge when somebody wants their text.
local function attack()
  local kinds = {
    setmetatable({}, { __tostring = function() while true do end end }),
    setmetatable({}, { __tostring = function() error({}) end }),
    setmetatable({}, { __tostring = function() return 5 end }),
    setmetatable({}, { __tostring = function() return ("x"):rep(20 << 20) end }),
    setmetatable({}, { __name = ("x"):rep(20 << 20) }),
    setmetatable({ code = ("c"):rep(20 << 20) }, { __index = function() while true do end end }),
    ("x"):rep(20 << 20), coroutine.create(print), print, {},
  }
  count = (count or 0) % #kinds + 1
  error(kinds[count])
end
