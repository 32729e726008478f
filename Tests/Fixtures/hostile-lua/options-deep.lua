-- Nested deeper than any stack.
local t = {}
for i = 1, 100000 do t = { t } end
local opts = { a = t }
