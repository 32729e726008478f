#!/usr/bin/env xensave-lua
-- triage - one page on a saved Linux guest: what was wrong with it
--
-- usage: xensave-lua run triage IMAGE [--seconds N] [--json]
--        xensave-lua run triage --domain=NAME [--seconds N] [--json]
--
-- Kernel and uptime, a panic or the last errors of the log, tasks that hang with their stacks,
-- memory, the largest processes, disks, and those that are mounted read-only. A domain is paused for
-- as long as it takes. What cannot be read of one
-- part is said in its place, and the others are still there.
--
-- In a script: require "xensave.reports.triage".facts(img, { seconds = 120 })
local xs = require "xensave"
local linux = require "xensave.linux"
local try = linux.try

local M = {}

-- Lines of the log that say what went wrong, whatever their level is.
local alarms = {
  "Kernel panic", "BUG:", "Oops", "Call Trace", "Out of memory", "blocked for more than",
  "soft lockup", "hard LOCKUP", "I/O error", "Remounting filesystem read%-only",
}

local function is_alarm(line)
  if line.level <= 3 then return true end
  for _, words in ipairs(alarms) do
    if line.text:find(words) then return true end
  end
  return false
end

-- Types of file systems that are not on a disk.
local virtual = {
  proc = true, sysfs = true, tmpfs = true, devtmpfs = true, devpts = true, cgroup = true,
  cgroup2 = true, securityfs = true, debugfs = true, tracefs = true, mqueue = true, bpf = true,
  pstore = true, hugetlbfs = true, configfs = true, autofs = true, ramfs = true, rootfs = true,
  nullfs = true, overlay = true, squashfs = true, iso9660 = true, efivarfs = true,
  binfmt_misc = true, fusectl = true, nsfs = true,
}

-- The facts of an image, or of a domain that is paused, as a table; `problems` has what could not be
-- read.
function M.facts(image, options)
  local linux = image.linux
  local facts = { kernel = linux.release, cpus = #linux.cpus, problems = {} }
  local function note(part, problem)
    if problem then facts.problems[#facts.problems + 1] = part .. ": " .. tostring(problem) end
  end
  local fine, uptime = pcall(function() return linux.uptime end)
  if fine then facts.uptime = uptime else note("uptime", uptime) end

  local log, problem = linux:dmesg()
  note("log", problem)
  facts.alarms = {}
  for _, line in ipairs(log or {}) do
    if line.text:find "Kernel panic" then facts.panic = facts.panic or line.text end
    if is_alarm(line) then facts.alarms[#facts.alarms + 1] = line end
  end

  facts.hung, problem = linux:hung(options and options.seconds or 120)
  note("hung tasks", problem)
  for _, task in ipairs(facts.hung or {}) do
    -- No number of JSON: most are above 2^63.
    for _, call in ipairs(task.frames) do call.address = xs.hex(call.address) end
  end
  facts.memory, problem = linux:meminfo()
  note("memory", problem)

  local tasks
  tasks, problem = linux:tasks()
  note("tasks", problem)
  facts.tasks, facts.largest = #(tasks or {}), {}
  for _, task in ipairs(tasks or {}) do
    if task.rss > 0 then
      facts.largest[#facts.largest + 1] = { pid = task.pid, comm = task.comm, rss = task.rss }
    end
  end
  table.sort(facts.largest, function(a, b)
    if a.rss ~= b.rss then return a.rss > b.rss end
    return a.pid < b.pid
  end)
  for index = #facts.largest, 11, -1 do facts.largest[index] = nil end

  local mounts
  mounts, problem = linux:mounts()
  note("mounts", problem)
  facts.read_only = {}
  for _, mount in ipairs(mounts or {}) do
    if mount.access == "ro" and not virtual[mount.type] then
      facts.read_only[#facts.read_only + 1] = mount
    end
  end
  facts.disks, problem = linux:blockdevs()
  note("block devices", problem)
  return facts
end

if not xs.is_main() then return M end

local opts = xs.options {
  { name = "seconds", type = "number", default = 120, help = "How long a task waits that hangs." },
  { name = "domain", placeholder = "NAME", help = "A domain instead of an image." },
  { name = "json", type = "flag", help = "Print JSON." },
}
if (not img) == (not opts.domain) then xs.usage "expected an image, or --domain=NAME" end
local dom <close>, none = try(function() return opts.domain and linux.paused(opts.domain) end)
if none then
  xs.log.error("%s", none)
  return 1
end
local facts, problem = try(M.facts, dom or img, opts)
if not facts then
  xs.log.error("%s", problem)
  return 1
end
if opts.json then return print(xs.json(facts, { empty_list = true })) end

local function mib(bytes) return ("%.1f MiB"):format(bytes / 1048576) end

-- What a guest says must not steer the terminal.
local function plain(text) return (text:gsub("[%c\x7f]", "?")) end

print(("kernel %s, %d CPUs, up %.1f s, %d processes"):format(
  plain(facts.kernel), facts.cpus, facts.uptime or 0, facts.tasks))
if facts.memory then
  print(("memory %s, free %s"):format(
    mib(facts.memory.MemTotal or 0), mib(facts.memory.MemFree or 0)))
end
print(facts.panic and "PANIC: " .. plain(facts.panic) or "no panic")
print(("\nerrors in the log: %d"):format(#facts.alarms))
for index = math.max(1, #facts.alarms - 9), #facts.alarms do
  local line = facts.alarms[index]
  print(("  [%12.6f] %s"):format(line.time, plain(line.text)))
end
print(("\ntasks that hang: %d"):format(#(facts.hung or {})))
for index, task in ipairs(facts.hung or {}) do
  if index > 10 then break end
  print(("  %d %s for %.1f s"):format(task.pid or 0, plain(task.name or "?"), task.seconds))
  for depth, call in ipairs(task.frames) do
    if depth > 12 then break end
    print("    " .. plain(call.symbol or call.address))
  end
end
print "\nlargest processes"
for _, task in ipairs(facts.largest) do
  print(("  %10s %7d %s"):format(mib(task.rss), task.pid, plain(task.comm)))
end
if #(facts.disks or {}) > 0 then print "\ndisks" end
for _, disk in ipairs(facts.disks or {}) do
  print(("  %-10s %12s %s"):format(plain(disk.name), mib(disk.size), disk.access))
end
if #facts.read_only > 0 then print "\nmounted read-only" end
for _, mount in ipairs(facts.read_only) do
  print(("  %s (%s) on %s"):format(plain(mount.device), plain(mount.type), plain(mount.path)))
end
for _, problem in ipairs(facts.problems) do print("not all was read: " .. plain(problem)) end
