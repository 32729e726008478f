#!/usr/bin/env xensave-lua
-- retarget - give the domain other disks and bridges on the host that restores it
--
-- usage: xensave-lua run retarget IMAGE [--disk=VDEV:PATH]... [--bridge=OLD:NEW]...
--                    [--mac=NUMBER:ADDRESS]... (-o OUT | --in-place | --dry-run)
--
-- A disk is named by what the guest calls it (xvda); a bridge (of libvirt: or network) by its name on
-- the old host, or "*" for all; a network card by its number from 0. They are in xl's configuration or
-- libvirt's XML; a suspend image of xenopsd does not hold them. A disk or bridge that the domain does
-- not have is an error, and nothing is written.
--
-- In a script: require "xensave.filters.retarget".filter { disks = { xvda = "/dev/vg/web" } }
local xs = require "xensave"
local description = require "xensave.description"

local M = {}

-- A filter. options.disks: paths by vdev; options.bridges: new names by old ones ("*": all others);
-- options.macs: addresses by the card's number from 0.
function M.filter(options)
  local disks, bridges = options.disks or {}, options.bridges or {}
  local macs = options.macs or {}
  local function retarget_disks(domain)
    local used = {}
    for _, disk in ipairs(domain.disks) do
      local path = disks[disk.vdev]
      if path then
        xs.log.info("%s: %s -> %s", disk.vdev, disk.path or "(none)", path)
        disk.path = path
        used[disk.vdev] = true
      end
    end
    for vdev in xs.sorted(disks) do
      if not used[vdev] then error(("the domain has no disk '%s'"):format(vdev), 0) end
    end
  end
  local function retarget_cards(domain)
    local used = {}
    for number, card in ipairs(domain.cards) do
      local old = card.bridge or ""
      local bridge = bridges[old] or bridges["*"]
      if bridge then
        xs.log.info("network card %d: bridge %s -> %s", number - 1, old, bridge)
        card.bridge = bridge
        used[old], used["*"] = true, true
      end
      if macs[number - 1] then
        card.mac = macs[number - 1]
        used[number - 1] = true
      end
    end
    for bridge in xs.sorted(bridges) do
      if not used[bridge] then error(("the domain uses no bridge '%s'"):format(bridge), 0) end
    end
    for number in xs.sorted(macs) do
      if not used[number] then error(("the domain has no network card %d"):format(number), 0) end
    end
  end
  return description.filter("retarget", function(domain)
    if next(disks) then retarget_disks(domain) end
    if next(bridges) or next(macs) then retarget_cards(domain) end
  end)
end

if not xs.is_main() then return M end

local opts = xs.options {
  { name = "disk", type = "list", help = "The new path of a disk.", placeholder = "VDEV:PATH" },
  { name = "bridge", type = "list", help = "The new name of a bridge.", placeholder = "OLD:NEW" },
  { name = "mac", type = "list", help = "The new address of a card.", placeholder = "N:ADDRESS" },
}

-- "a:b" in a list of options as t[a] = b.
local function pairs_of(list, name)
  local out = {}
  for _, word in ipairs(list or {}) do
    local key, value = word:match "^([^:]+):(.+)$"
    if not key then xs.usage("--%s: expected two words with ':' between, got %s", name, word) end
    out[key] = value
  end
  return out
end

local macs = {}
for key, value in pairs(pairs_of(opts.mac, "mac")) do
  local number = math.tointeger(tonumber(key))
  if not number then xs.usage("--mac: expected a card's number, got %s", key) end
  macs[number] = value
end
local disks, bridges = pairs_of(opts.disk, "disk"), pairs_of(opts.bridge, "bridge")
if not next(disks) and not next(bridges) and not next(macs) then
  xs.usage "expected --disk, --bridge or --mac"
end
return M.filter { disks = disks, bridges = bridges, macs = macs }
