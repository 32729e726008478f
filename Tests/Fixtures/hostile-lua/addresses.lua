-- Nothing that a script can read has an address in it.
local function attack()
  local xs = require "xensave"
  local values = { {}, print, coroutine.create(print), setmetatable({}, { __name = "x" }), xs,
    xs.pages.set(1), xs.pages.pfn(1), xs.record("TOOLSTACK", "x"), string, _G,
    setmetatable({}, { __tostring = function() return "t" end }) }
  local function check(text, what)
    text = tostring(text)
    assert(not text:find("0x%x%x%x%x%x%x") and not text:find("%x%x%x%x%x%x%x%x%x%x"), what .. ": " .. text)
  end
  for i, value in ipairs(values) do
    check(tostring(value), "tostring")
    check(("%s"):format(value), "format")
    for _, f in ipairs { xs.usage, xs.hex, xs.u64, xs.record, xs.pages.set, xs.pages.pfn, require, error,
      string.rep, table.concat, setmetatable, math.floor, load, select, ipairs, next, xs.log.info } do
      local ok, e = pcall(f, value, value)
      if not ok then check(type(e) == "table" and e.message or e, "error") end
    end
    local ok, e = pcall(function() return values[1] + value end) check(e, "arithmetic")
    ok, e = pcall(function() return value.x.y.z end) check(e, "index")
    ok, e = pcall(function() return xs.record("TOOLSTACK", "x")[value] end) check(e, "member")
  end
  assert(not pcall(string.format, "%p", {}))
  assert(math.randomseed() == nil)
  assert(math.randomseed(7) == nil)
  for i = 1, 100 do check(math.random(0, 9), "random") end
  error("nothing found")
end
