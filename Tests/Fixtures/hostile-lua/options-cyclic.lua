-- A table inside itself.
local t = {}
t.t = t
local opts = { a = t }
