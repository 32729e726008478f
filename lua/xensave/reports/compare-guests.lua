#!/usr/bin/env xensave-lua
-- compare-guests - what changed between two images of a Linux guest
--
-- usage: xensave-lua run compare-guests IMAGE LATER [--json]
--        xensave-lua run compare-guests IMAGE --domain=NAME [--json]
--
-- Processes, modules, mounts, disks, network addresses and sockets that are only in one of them. A
-- domain, which comes after the image, is paused for as long as it takes. Exit code 0 where nothing
-- differs, else 1.
--
-- In a script: require "xensave.reports.compare-guests".differences(a, b)
local xs = require "xensave"
local linux = require "xensave.linux"
local try = linux.try

local M = {}

-- What a guest has, by kind: sets of texts.
local function facts(image)
  local linux = image.linux
  local out = { kernel = { [linux.release] = true } }
  local function fill(kind, rows, text)
    out[kind] = {}
    for _, row in ipairs(rows or {}) do out[kind][text(row)] = true end
  end
  -- A number that was given anew is another process: it began at another time.
  fill("process", linux:tasks(), function(task)
    local seconds = task.start_time / 1e9
    return ("%d %s (uid %d, started at %.2f s)"):format(task.pid, task.comm, task.uid, seconds)
  end)
  fill("module", linux:modules(), function(module) return module.name end)
  fill("mount", linux:mounts(), function(mount)
    return ("%s on %s (%s, %s)"):format(mount.device, mount.path, mount.type, mount.access)
  end)
  fill("disk", linux:blockdevs(), function(disk)
    return ("%s (%s, %d bytes, %s)"):format(disk.name, disk.number, disk.size, disk.access)
  end)
  fill("socket", linux:sockets(), function(socket)
    return ("%s %s %s %s (%d %s)"):format(
      socket.protocol, socket["local"], socket.remote, socket.state, socket.pid, socket.name)
  end)
  out.address = {}
  for _, device in ipairs(linux:netdevs() or {}) do
    for _, address in ipairs(device.addresses) do
      out.address[device.name .. " " .. address] = true
    end
  end
  return out
end

local kinds = { "kernel", "process", "module", "mount", "disk", "address", "socket" }

-- A list of { kind, text, change }: change is "gone" or "new".
function M.differences(a, b)
  local before, after = facts(a), facts(b)
  local out = {}
  for _, kind in ipairs(kinds) do
    for text in xs.sorted(before[kind]) do
      if not after[kind][text] then out[#out + 1] = { kind = kind, text = text, change = "gone" } end
    end
    for text in xs.sorted(after[kind]) do
      if not before[kind][text] then out[#out + 1] = { kind = kind, text = text, change = "new" } end
    end
  end
  return out
end

if not xs.is_main() then return M end

local opts = xs.options {
  { name = "domain", placeholder = "NAME", help = "A domain instead of the later image." },
  { name = "json", type = "flag", help = "Print JSON." },
}
if not img or #arg ~= (opts.domain and 0 or 1) then
  xs.usage "expected two images, or one and --domain=NAME"
end
local other <close>, none = try(function()
  return opts.domain and linux.paused(opts.domain) or assert(xs.open(arg[1]))
end)
if not other then
  xs.log.error("%s", none)
  return 1
end
local found, problem = try(M.differences, img, other)
if not found then
  xs.log.error("%s", problem)
  return 1
end
if opts.json then
  print(xs.json(found, { empty_list = true }))
else
  for _, d in ipairs(found) do
    local text = d.text:gsub("[%c\x7f]", "?")
    print(("%s %s: %s"):format(d.change == "new" and "+" or "-", d.kind, text))
  end
end
return #found == 0 and 0 or 1
