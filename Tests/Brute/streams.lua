-- Sets integers of an image to their edges, and does with each result everything that a program can be
-- asked to do with an image. Arguments: a folder to work in, the image, its kind. Says what it is about
-- in the file "last": a trap leaves it there. What writes another image is done by turns, one kind of it
-- for each changed image, unless XENSAVE_BRUTE is "all".
local xs = require "xensave"
local folder, path, kind = table.unpack(arg)
local P = xs.pages
local file = assert(io.open(path, "rb"))
local whole = file:read "a"
file:close()
local changed = folder .. "/changed"
local out = folder .. "/out"
local last = assert(io.open(folder .. "/last", "w"))
last:setvbuf "no"

local all = os.getenv "XENSAVE_BRUTE" == "all"
local turn = 0
local function attempt(what, f, ...)
  last:seek "set"
  last:write(what, "\n\n")
  return pcall(f, ...)
end

-- Each of these is done once in a while.
local function take_turns(list)
  if all then
    for _, entry in ipairs(list) do attempt(table.unpack(entry)) end
  else
    attempt(table.unpack(list[turn % #list + 1]))
  end
end

local original = kind ~= "legacy" and xs.open(path) or nil
local function everything(title)
  local opts = kind == "legacy" and { layer = "legacy" } or nil
  turn = turn + 1
  attempt(title .. " verify", xs.verify, changed)
  local opened, image = attempt(title .. " open", xs.open, changed, opts)
  if not opened or not image then return end
  attempt(title .. " fields", function()
    for rec in image:records() do
      for name in pairs(rec:fields()) do local _ = rec[name] end
      if rec.length < 65536 then rec:payload() end
      tostring(rec)
    end
  end)
  attempt(title .. " repr", function() for i = 1, math.min(#image, 20) do xs.repr(image[i]) end end)
  if original then
    attempt(title .. " diff", function()
      for _ in xs.diff(original, image, { pages = true, context = 2 }) do end
    end)
  end
  attempt(title .. " compat", function() image:compat "4.17" image:compat "4.6" end)
  attempt(title .. " state", function()
    for _, vcpu in image.vcpu:each() do
      local _ = vcpu.rip
      vcpu:virtual(vcpu.rip, 16)
      vcpu:translate(vcpu.rip)
      for _ in vcpu:mappings(10) do end
      vcpu:search("x", { limit = 3 })
    end
  end)
  attempt(title .. " params", function()
    image.hvm_params.STORE_PFN = 5
    image.hvm_params.IDENT_PT = nil
    image.hvm_params[62] = 1
  end)
  attempt(title .. " cpuid", function() image.cpuid:features() image.cpuid:set("avx2", true) end)
  attempt(title .. " pages", function()
    image:count { data = P.has_data, zero = P.zero }
    image:select "zero or pfn in 0..5"
    image:history(1)
    image:entropy()
    image:search "page"
    image:dedupe()
    for _, view in image:each() do view:hash() end
  end)
  local writes = {}
  for _, layout in ipairs { false, true } do
    local options = { aligned = layout, unchecked = true }
    writes[#writes + 1] = { title .. " compact", image.compact, image, out, options }
  end
  for _, format in ipairs { "raw", "lime", "xen-core", "elf-core" } do
    writes[#writes + 1] = { title .. " export " .. format, image.export, image, out, format }
  end
  for _, target in ipairs {
    { version = 1 }, { version = 2 }, { version = 3, layer = "libxc" }, { order = "big" },
    { layer = "xenopsd" }, { layer = "libvirt", config = "<domain/>" }, { layer = "xl", config = "{}" },
  } do
    target.lossy, target.unchecked = true, true
    writes[#writes + 1] = { title .. " convert", image.convert, image, out, target }
  end
  if original then
    writes[#writes + 1] = { title .. " delta", original.delta, original, out, image }
    writes[#writes + 1] = { title .. " delta", image.delta, image, out, original }
  end
  take_turns(writes)
  local none = function() end
  local some = {
    PAGE_DATA = function(rec)
      pcall(rec.payload, rec)
      pcall(rec.payload, rec)
      rec:fill("pfn in 0..3", 0)
      for _, view in rec:each() do view:u64(0) end
    end,
  }
  take_turns {
    { title .. " rewrite", xs.rewrite, changed, out, none, { unchecked = true } },
    { title .. " rewrite pages", xs.rewrite, changed, out, some, { unchecked = true } },
  }
  local restores = {}
  for _, guest in ipairs { "x86_hvm", "x86_pv" } do
    for _, checkpointed in ipairs { false, true } do
      restores[#restores + 1] = { title .. " restore", function()
        local domain <close> = assert(xs.sim.domain { pages = 64, blank = true, guest = guest })
        local ok = domain:restore(changed, { checkpointed = checkpointed })
        if ok then domain:save(out, { unchecked = true }) end
        domain:destroy()
      end }
    end
  end
  take_turns(restores)
end

local edges = {
  [4] = { "\0\0\0\0", "\1\0\0\0", "\xff\xff\xff\x7f", "\0\0\0\x80", "\xff\xff\xff\xff" },
  [8] = {
    "\xff\xff\xff\xff\xff\xff\xff\x7f", "\0\0\0\0\0\0\0\x80", "\xff\xff\xff\xff\xff\xff\xff\xff",
  },
}

-- Where integers are: given by the test, a line each: offset and width.
local places = {}
for line in io.lines(folder .. "/places") do
  local offset, width = line:match "(%d+) (%d+)"
  places[#places + 1] = { tonumber(offset), tonumber(width) }
end

local count = 0
for _, place in ipairs(places) do
  local offset, width = table.unpack(place)
  for _, value in ipairs(edges[width]) do
    if offset + width <= #whole and whole:sub(offset + 1, offset + width) ~= value then
      local f = assert(io.open(changed, "wb"))
      f:write(whole:sub(1, offset), value, whole:sub(offset + width + 1))
      f:close()
      everything(("%s: %d bytes at %d = %s"):format(kind, width, offset, value:gsub(".", function(c)
        return ("%02x"):format(c:byte())
      end)))
      count = count + 1
    end
  end
end
-- Cut off in every part.
for length = 0, #whole, math.max(1, #whole // 40) do
  local f = assert(io.open(changed, "wb"))
  f:write(whole:sub(1, length))
  f:close()
  everything(("%s: cut at %d"):format(kind, length))
  count = count + 1
end
print(count)
