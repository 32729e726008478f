#!/usr/bin/env xensave-lua
-- Count zero and duplicate pages.
-- usage: xensave-lua page-stats.lua IMAGE
local xs = require "xensave"
local P = xs.pages

local img = img or xs.usage "expected an image"
local n = img:count { all = P.any, data = P.has_data, zero = P.zero } -- one native pass
local dup = img:dedupe()                                              -- native hash table

local function share(count) return n.data > 0 and ("%.1f %%"):format(100 * count / n.data) or "" end
xs.table {
  { "pages described", n.all },
  { "with data",       n.data },
  { "zero",            n.zero,       share(n.zero) },
  { "distinct",        dup.distinct, share(dup.distinct) },
}
for i, d in ipairs(dup:top(10)) do
  print(("%2d  %8d copies  first at pfn %#x"):format(i, d.count, d.first_pfn))
end
