#!/usr/bin/env xensave-lua
-- Zero the contents of the pages in a range. No Lua runs per page: the selector is native.
-- usage: xensave-lua scrub-pages.lua IMAGE FIRST LAST (-o OUT | --in-place | --dry-run)
-- FIRST and LAST are page numbers (pfns): 256 and 0x100 are the same.
local xs = require "xensave"
local P = xs.pages

if #arg ~= 2 then xs.usage "expected the first and the last page" end
local secret = P.pfn(arg[1], arg[2]) & P.has_data & ~P.zero

local scrubbed = 0
return {
  name = "scrub-pages",
  PAGE_DATA = function(batch)
    scrubbed = scrubbed + batch:fill(secret, 0) -- one call per batch of up to 1024 pages
  end,
  finish = function() xs.log.info("scrubbed %d pages", scrubbed) end,
}
