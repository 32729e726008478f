-- One list of a million numbers, 32 times.
local a = {} for i = 1, 1 << 20 do a[i] = 1 end
local big = {} for i = 1, 32 do big[i] = a end
local opts = { a = big }
