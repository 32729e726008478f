#!/usr/bin/env xensave-lua
-- summary - what an image holds: domain, records by type, pages by type
--
-- usage: xensave-lua run summary IMAGE [--json]
--
-- Reads headers only, so it takes no longer for a large guest than for a small one of as many
-- records.
--
-- In a script: require "xensave.reports.summary".facts(img)
local xs = require "xensave"
local description = require "xensave.description"

local M = {}

-- The facts as a table: name, guest, version, xen, vcpus, records (by type), pages (by type).
function M.facts(image)
  local header, config = image.domain_header, image.config
  local xml, xenops = image.xml, image.xenops
  local facts = {
    guest = image.guest, version = image.version, layer = image.layer,
    xen = header and ("%d.%d"):format(header.xen_major, header.xen_minor),
    name = description.name(image),
    vcpus = config and config.b_info.max_vcpus or xml and math.tointeger(tonumber(xml.vcpu))
      or xenops and math.tointeger(tonumber(xenops["vm_str.vcpu_max"])),
    records = {}, pages = {}, octets = 0,
  }
  for rec in image:records() do
    facts.records[rec.type] = (facts.records[rec.type] or 0) + 1
    facts.octets = facts.octets + rec.length
    if rec.type == "PAGE_DATA" then
      local types = rec.pftype
      for i = 1, #types do facts.pages[types[i]] = (facts.pages[types[i]] or 0) + 1 end
    end
  end
  return facts
end

if not xs.is_main() then return M end

local opts = xs.options { { name = "json", type = "flag", help = "Print JSON." } }
if not img then xs.usage "expected an image" end
local facts = M.facts(img)
if opts.json then return print(xs.json(facts)) end

local rows = {}
for _, name in ipairs { "name", "guest", "vcpus", "layer", "version", "xen", "octets" } do
  if facts[name] then rows[#rows + 1] = { name, tostring(facts[name]) } end
end
xs.table(rows)
rows = {}
for name, count in xs.sorted(facts.records) do rows[#rows + 1] = { name, count } end
for name, count in xs.sorted(facts.pages) do rows[#rows + 1] = { "pages " .. name, count } end
print()
xs.table(rows)
