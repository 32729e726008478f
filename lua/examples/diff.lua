#!/usr/bin/env xensave-lua
-- Print how two images of a guest differ: fields, records, and runs of pages.
-- usage: xensave-lua diff.lua IMAGE OTHER
local xs = require "xensave"
local a = img or xs.usage "expected an image"
local b <close> = assert(xs.open(arg[1] or xs.usage "expected another image"))

for d in xs.diff(a, b, { pages = true, context = 1 }) do
  if d.kind == "field" then
    print(("%-28s %s -> %s"):format(d.path, xs.repr(d.a), xs.repr(d.b)))
  elseif d.kind == "record" then
    print(("%s %s"):format(d.a and "-" or "+", d.a or d.b))
  else -- runs of pages, coalesced natively
    print(("pages %#x..%#x  %d differ (%s)"):format(d.first, d.last, d.count, d.how))
  end
end
