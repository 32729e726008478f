-- More fields than any policy has.
local opts = {}
for i = 1, 100000 do opts["name" .. i] = ("x"):rep(10) end
