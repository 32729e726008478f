-- Tests of what the module has for scripts.
local xs = require "xensave"
local t = require "xensave.testing"

t.test("synthetic images pass the verification", function()
  for _, guest in ipairs { "x86_hvm", "x86_pv" } do
    for _, layer in ipairs { "xl", "libxl", "libxc" } do
      for version = 2, 3 do
        local path = xs.synth { guest = guest, layer = layer, version = version, vcpus = 3 }
          :save(t.path "made.img")
        local report = assert(xs.verify(path))
        t.equal(#report, 0, guest .. " " .. layer .. " " .. tostring(report))
      end
    end
  end
end)

t.test("synthetic pages have the given contents", function()
  local path = xs.synth { pages = { [0x20] = "secret", [0x30] = 7 } }:save(t.path "made.img")
  local image = t.open(path)
  local batch = image:first "PAGE_DATA"
  local pages = batch:payload()
  for i = 1, #batch.pfn do
    local page = pages:sub(4096 * (i - 1) + 1, 4096 * i)
    if batch.pfn[i] == 0x20 then t.equal(page:sub(1, 7), "secret\0") end
    if batch.pfn[i] == 0x30 then t.equal(page, ("\7"):rep(4096)) end
  end
end)

t.test("synth explains its mistakes", function()
  t.raises("did you mean 'pages'", xs.synth, { page = 1 })
  t.raises("expected \"x86_hvm\" or \"x86_pv\"", xs.synth, { guest = "arm" })
  t.raises("expected 16 to 511", xs.synth, { guest = "x86_pv", pages = { [1] = 0 } })
end)

t.test("repr", function()
  t.equal(xs.repr { 1, 2, a = { true } }, "{ 1, 2, a = { true } }")
  t.equal(xs.repr "a\"b", '"a\\"b"')
  t.equal(xs.repr { ["a b"] = 1, [10] = 2 }, '{ [10] = 2, ["a b"] = 1 }')
  local loop = {}
  loop.self = loop
  t.equal(xs.repr(loop), "{ self = {cycle} }")
  t.equal(xs.repr({ { { 1 } } }, { depth = 2 }), "{ { {...} } }")
  t.equal(xs.repr({ 1, 2, 3 }, { items = 2 }), "{ 1, 2, ... 1 more }")
  t.equal(xs.repr({ ("x"):rep(30), ("y"):rep(30) }, { width = 40 }),
    '{\n  "' .. ("x"):rep(30) .. '",\n  "' .. ("y"):rep(30) .. '",\n}')
  t.match(xs.repr(xs.open), "^function xs.open%(")
  t.match(xs.repr(xs.record("X86_TSC_INFO", { khz = 5 })), "khz: 5 kHz")
end)

t.test("repr does not run metamethods", function()
  local ran = false
  local trap = setmetatable({}, { __index = function() ran = true end, __pairs = error })
  t.equal(xs.repr(trap), "{}")
  t.equal(ran, false)
end)

t.test("sorted", function()
  local keys = {}
  for key, value in xs.sorted { b = 1, a = 2, [3] = 4, [1] = 5 } do
    keys[#keys + 1] = key .. "=" .. value
  end
  t.equal(keys, { "1=5", "3=4", "a=2", "b=1" })
end)

t.test("options", function()
  local before = arg
  local function read(...)
    arg = { ... }
    return xs.options {
      { name = "json", type = "flag" }, { name = "dry-mask", type = "integer", short = "m" },
      { name = "mode", choices = { "fast", "slow" }, default = "fast" },
      { name = "disk", type = "list" },
    }, arg
  end
  local opts, rest = read("a", "--json", "-m", "0x10", "--disk=x", "--disk", "y", "--", "--z")
  t.equal(opts, { json = true, dry_mask = 16, mode = "fast", disk = { "x", "y" } })
  t.equal(rest, { "a", "--z" })
  t.equal(xs.opts.json, true)
  t.equal(read().json, false)
  t.raises("did you mean '%-%-json'", read, "--jsno")
  t.raises("expected an integer, got 'x'", read, "-m", "x")
  t.raises("did you mean 'slow'", read, "--mode=slw")
  t.raises("expected a value", read, "--disk")
  arg = before
end)

t.test("glob", function()
  xs.synth {}:save(t.path "a.img")
  xs.synth {}:save(t.path "b.img")
  t.equal(xs.glob(t.path "[ab].img"), { t.path "a.img", t.path "b.img" })
end)

t.test("environment variables of Lua's own interpreter have no say", function()
  t.equal(package.path:find("/from-lua-path", 1, true), nil)
  t.equal(package.cpath, "")
end)

t.test("a table is a list or a map, and not inside itself", function()
  t.raises("expected the keys 1 to 2 alone, got 'x'", xs.json, { 1, 2, x = 3 })
  t.raises("got the key 7", xs.json, { [7] = 1 })
  local inside = {}
  inside.t = inside
  t.raises("a table is inside itself", xs.json, inside)
  t.equal(xs.json { 1, { a = { true } } }, '[1,{"a":[true]}]')
end)
