-- require on the stacks of coroutines.
local function attack()
  local xs = coroutine.wrap(function() return require "xensave" end)()
  assert(xs.hex(255) == "0xff")
  for i = 1, 100000 do
    coroutine.wrap(function() pcall(require, "xensave.no" .. i) pcall(require) pcall(require, {}) end)()
  end
  local function f() return pcall(coroutine.wrap(f)) end
  f()
  error("refused")
end
