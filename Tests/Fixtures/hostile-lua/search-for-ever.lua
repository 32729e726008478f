-- One search, inside which no hook runs.
local function attack()
  return (("a"):rep(40)):find(("a*"):rep(20) .. "b")
end
