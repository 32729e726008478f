#!/usr/bin/env xensave-lua
-- clone - make a saved domain another one that can run beside it
--
-- usage: xensave-lua run clone IMAGE NEWNAME [--uuid=UUID] [--mac=ADDRESS]... [--forward=SECONDS]
--                    (-o OUT | --in-place | --dry-run)
--
-- The clone gets the name, a new UUID, a new MAC address for each network card (--mac gives them in
-- their order) and, where the guest has one, a new VM generation ID, which libxl writes into the guest
-- at the restore: so Windows and cloud-init know that they are a copy. What stays alike is said: disks
-- (two guests must not write to the same one: `run retarget`), and what the guest has in its memory
-- (host name, addresses, keys, clocks). --forward sets its TSC and, of an HVM guest, its RTC forward by
-- the time that the image has lain there.
--
-- In a script: require "xensave.filters.clone".filter("web2", { uuid = "...", macs = { "..." } })
local xs = require "xensave"
local description = require "xensave.description"

local M = {}
local uuid_pattern = "^%x%x%x%x%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x$"
local mac_pattern = "^%x%x:%x%x:%x%x:%x%x:%x%x:%x%x$"

-- Sixteen random bytes as numbers.
local function random_bytes()
  local out = {}
  for pair in xs.uuid():gsub("-", ""):gmatch "%x%x" do out[#out + 1] = tonumber(pair, 16) end
  return out
end

local function is_zero(id)
  for _, byte in id:each() do if byte ~= 0 then return false end end
  return true
end

-- A filter. options.uuid, options.macs: instead of random ones. options.forward: seconds, up to 100 years.
function M.filter(name, options)
  options = options or {}
  local uuid, macs = options.uuid or xs.uuid(), options.macs or {}
  if type(name) ~= "string" or not name:match "^[%w_.+-]+$" then
    error("clone: expected a name of letters, digits and _ . + -", 2)
  end
  if not uuid:match(uuid_pattern) then
    error("clone: expected a UUID such as 00000000-0000-4000-8000-000000000001", 2)
  end
  for _, mac in ipairs(macs) do
    if not mac:match(mac_pattern) then
      error("clone: expected a MAC address such as 00:16:3e:00:00:01, got " .. mac, 2)
    end
  end
  local forward = options.forward
  if forward and (math.type(forward) ~= "integer" or forward < 0 or forward > 3155760000) then
    error("clone: expected 0 to 3155760000 seconds, got " .. tostring(forward), 2)
  end
  local filter = description.filter("clone", function(domain)
    xs.log.info("name: %s -> %s", domain.name or "(none)", name)
    xs.log.info("UUID: %s -> %s", domain.uuid or "(none)", uuid:lower())
    domain.name, domain.uuid = name, uuid:lower()
    if not domain.has_devices then
      xs.log.warn "disks and network cards are the toolstack's, and not in this image"
      return
    end
    local cards, disks = domain.cards, domain.disks
    if #macs > #cards then
      error(("--mac: %d addresses, and the domain has %d network cards"):format(#macs, #cards), 0)
    end
    for number, card in ipairs(cards) do
      local mac = macs[number] or xs.mac()
      xs.log.info("network card %d: %s -> %s", number - 1, card.mac or "(none)", mac)
      card.mac = mac
    end
    local id = domain.generation_id
    if id and not is_zero(id) then
      domain.generation_id = random_bytes()
      xs.log.info "VM generation ID: a new one, which the restore writes into the guest"
    end
    for _, disk in ipairs(disks) do
      xs.log.warn("%s: still %s (run retarget --disk=%s:PATH)", disk.vdev, disk.path or "(none)",
        disk.vdev)
    end
    xs.log.info "alike: all that the guest has in its memory (host name, addresses, keys, clocks)"
  end)
  if forward then
    function filter.X86_TSC_INFO(rec) rec.nsec = rec.nsec + forward * 1000000000 end
    function filter.HVM_CONTEXT(rec)
      for rtc in rec:each "RTC" do rtc.rtc_offset = rtc.rtc_offset + forward end
    end
  end
  return filter
end

if not xs.is_main() then return M end

local opts = xs.options {
  { name = "uuid", help = "The UUID, instead of a random one.", placeholder = "UUID" },
  { name = "mac", type = "list", help = "The address of the next card.", placeholder = "ADDRESS" },
  { name = "forward", type = "integer", help = "How far its clocks are set forward.",
    placeholder = "SECONDS" },
}
if #arg ~= 1 then xs.usage "expected the new name" end
return M.filter(arg[1], { uuid = opts.uuid, macs = opts.mac, forward = opts.forward })
