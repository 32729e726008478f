#!/usr/bin/env xensave-lua
-- Print the HVM parameters of an image by name.
-- usage: xensave-lua hvm-params.lua IMAGE
local xs = require "xensave"

local img = img or xs.usage "expected an image"
local params = img:first "HVM_PARAMS"
if not params then error("the image has no HVM_PARAMS: is it of a PV guest?", 0) end
for p in params:each() do
  print(("%-24s %s"):format(p.name or p.index, xs.hex(p.value)))
end
