-- A table that is small, and 2^28 values for whoever copies it.
local t = { 1 }
for i = 1, 28 do t = { t, t } end
local opts = { a = t }
