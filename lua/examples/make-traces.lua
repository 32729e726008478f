#!/usr/bin/env xensave-lua
-- make-traces - record ten saves of simulated domains, for trying policies
--
-- usage: xensave-lua run make-traces [--to=FOLDER] [--pages=N] [--link=1G] [--policy=NAME]
--
-- Each domain works as one kind of guest does: the same seed, the same trace. They are saved in
-- virtual time by a policy that continues for twelve rounds, so that a replay knows what would have
-- come later. `xensave-lua policy test give-up --trace FOLDER/*.trace --link 1G` tries a policy.
local xs = require "xensave"

-- Work by kind of guest, for a domain of p pages.
local function workloads(p)
  return {
    { "idle", {} },
    { "web", { { writes_per_s = 2000, hot_pages = p // 50, hot_percent = 90 } } },
    { "mail", {
      { seconds = 1, writes_per_s = 1000 },
      { seconds = 0.3, writes_per_s = 9000, hot_pages = p // 20, hot_percent = 50 },
    } },
    { "database", { { writes_per_s = 12000, hot_pages = p // 8, hot_percent = 85 } } },
    { "compile", {
      { seconds = 1.5, writes_per_s = 15000, zero_percent = 20 },
      { seconds = 0.7, writes_per_s = 500 },
    } },
    { "backup", { { writes_per_s = 500, burst_writes = p // 10, burst_ms = 900 } } },
    { "cache", { { writes_per_s = 10000 } } },
    { "counter", { { writes_per_s = 200000, hot_pages = 1500, hot_percent = 100 } } },
    { "calm-after-storm", {
      { seconds = 4, writes_per_s = 25000 }, { seconds = 60, writes_per_s = 300 },
    } },
    { "hopeless", { { writes_per_s = 60000 } } },
  }
end

local opts = xs.options {
  { name = "to", default = ".", placeholder = "FOLDER", help = "Where the traces go." },
  { name = "pages", type = "integer", default = 65536, help = "Pages of each domain." },
  { name = "link", default = "1G", help = "The link that they are saved over." },
  { name = "policy", default = "", help = "Who decides, for a line of a table; else twelve rounds are sent." },
}

for number, guest in ipairs(workloads(opts.pages)) do
  local name, workload = table.unpack(guest)
  local dom <close> = assert(xs.sim {
    name = name, pages = opts.pages, link = opts.link, workload = workload, seed = number,
    filled = 0, suspend_ms = 5,
  })
  -- Nobody keeps the image: it goes to a reader, not to a file.
  local result = assert(dom:migrate("cat >/dev/null", {
    unchecked = true,
    -- However busy this machine is: the same trace.
    deadline_ms = 600000,
    policy = opts.policy ~= "" and opts.policy
      or function(s) return s.iteration >= 12 and "stop" or "continue" end,
  }))
  local path = ("%s/%s.trace"):format(opts.to, name)
  assert(result.trace:save(path))
  if opts.policy == "" then
    print(path)
  else
    print(("| %s | %s | %d | %.1f MiB | %.2f ms | %.2f s |"):format(
      name, opts.policy, result.rounds, result.pages / 256, result.downtime * 1000, result.total))
  end
  dom:destroy()
end
