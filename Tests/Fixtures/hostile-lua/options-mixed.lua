-- Neither a list nor a map.
local opts = { a = { 1, 2, x = 3 } }
