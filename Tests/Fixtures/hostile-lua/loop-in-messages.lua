-- Messages without end.
local function attack()
  for i = 1, 300 do print(("x"):rep(1000000)) end
  while true do print("flood\27[2J\n") end
end
