#!/usr/bin/env xensave-lua
-- compare - how the headers and records of two images differ, field by field
--
-- usage: xensave-lua run compare IMAGE OTHER [--quiet]
--
-- Records are paired by their type and their place among those of that type; HVM_CONTEXT's entries
-- by type and instance. Contents of pages are not compared. Exit code 0 where nothing differs,
-- else 1.
--
-- In a script: for _, d in ipairs(require "xensave.reports.compare".differences(a, b)) do ... end
local xs = require "xensave"

local M = {}

-- Values inside tables as one table of path = value.
local function flatten(value, path, out)
  if type(value) ~= "table" then
    out[path] = value
    return out
  end
  for key, inner in pairs(value) do
    local step = math.type(key) == "integer" and ("[%d]"):format(key - 1) or "." .. key
    flatten(inner, path .. step, out)
  end
  return out
end

local function compare_tables(place, a, b, out)
  a, b = flatten(a, "", {}), flatten(b, "", {})
  local paths = {}
  for path in pairs(a) do paths[path] = true end
  for path in pairs(b) do paths[path] = true end
  for path in xs.sorted(paths) do
    if a[path] ~= b[path] then
      out[#out + 1] = { place = place, field = path:gsub("^%.", ""), a = a[path], b = b[path] }
    end
  end
end

-- The configuration as plain tables.
local function plain(config)
  local out = {}
  for key, value in config:each() do
    out[key] = type(value) == "userdata" and plain(value) or value
  end
  return out
end

-- The bytes of a field with those of its entries, by name; what HVM_CONTEXT is compared by.
local function entries(rec)
  local out = {}
  for entry in rec:each() do
    for _, name in ipairs(entry:names()) do
      local value = entry[name]
      if type(value) == "userdata" then value = value:bytes() end
      out[entry.path .. "." .. name] = value
    end
  end
  return out
end

local function fields(rec)
  if rec.type == "HVM_CONTEXT" then return entries(rec) end
  if rec.xenops then return rec.xenops:values() end
  if rec.type == "PAGE_DATA" then
    return { count = rec.count, pfns = rec.body:bytes(8, 8 * rec.count) }
  end
  return rec:fields()
end

-- The records of an image by "TYPE" and "TYPE#2", as numbers, and these names in their order.
local function index(image)
  local names, numbers, counts = {}, {}, {}
  for rec in image:records() do
    counts[rec.type] = (counts[rec.type] or 0) + 1
    local name = counts[rec.type] == 1 and rec.type or rec.type .. "#" .. counts[rec.type]
    names[#names + 1] = name
    numbers[name] = rec.index
  end
  return names, numbers
end

-- The differences as a list of { place, field, a, b }; a field of "" is a whole record.
function M.differences(a, b)
  local out = {}
  local headers = {
    "xl_header", "libvirt_header", "libxl_header", "image_header", "domain_header",
  }
  for _, name in ipairs(headers) do
    local x, y = a[name], b[name]
    if x and y then
      if x.body:bytes() ~= y.body:bytes() then
        if name == "xl_header" and x.config and y.config then
          compare_tables("config", plain(x.config), plain(y.config), out)
        elseif x.xml and y.xml then
          compare_tables("xml", x.xml:values(), y.xml:values(), out)
        elseif name == "domain_header" then
          for _, field in ipairs { "type", "page_shift", "xen_major", "xen_minor" } do
            compare_tables(name, { [field] = x[field] }, { [field] = y[field] }, out)
          end
        else
          compare_tables(name, { body = x.body:bytes() }, { body = y.body:bytes() }, out)
        end
      end
    elseif x or y then
      out[#out + 1] = { place = name, field = "", a = x and "there", b = y and "there" }
    end
  end
  local names, numbers = index(a)
  local other_names, other_numbers = index(b)
  for _, name in ipairs(names) do
    if other_numbers[name] then
      local x, y = a[numbers[name]], b[other_numbers[name]]
      if x.length ~= y.length or x.body:bytes() ~= y.body:bytes() then
        compare_tables(name, fields(x), fields(y), out)
      end
    else
      out[#out + 1] = { place = name, field = "", a = "there" }
    end
  end
  for _, name in ipairs(other_names) do
    if not numbers[name] then out[#out + 1] = { place = name, field = "", b = "there" } end
  end
  return out
end

-- A value of a difference in a line.
local function shown(value)
  if value == nil then return "(none)" end
  if math.type(value) == "integer" then return xs.hex(value) end
  if type(value) == "string" and #value > 40 then
    return ("(%d bytes)"):format(#value)
  end
  return xs.repr(value, { width = 1000 })
end

if not xs.is_main() then return M end

local opts = xs.options {
  { name = "quiet", type = "flag", short = "q", help = "Print nothing; the exit code says it." },
}
if not img or #arg ~= 1 then xs.usage "expected two images" end
local other <close> = assert(xs.open(arg[1]))
local found = M.differences(img, other)
if not opts.quiet then
  for _, d in ipairs(found) do
    if d.field == "" then
      print(("%s: only in %s"):format(d.place, d.a and img.path or other.path))
    else
      print(("%s.%s: %s -> %s"):format(d.place, d.field, shown(d.a), shown(d.b)))
    end
  end
end
return #found == 0 and 0 or 1
