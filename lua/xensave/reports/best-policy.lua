#!/usr/bin/env xensave-lua
-- best-policy - which policy each guest would have done best with, by the traces of its saves
--
-- usage: xensave-lua run best-policy --traces=PATTERN [--link=RATE] [--policies=NAME,NAME]
--                    [--max-ms=MS] [--json]
--
-- Replays each trace with each policy in virtual time. The best has the least downtime, or, with
-- --max-ms, the fewest bytes among those that stop the guest for no longer. A save that does not end
-- well is never the best.
--
-- In a script: require "xensave.reports.best-policy".row(path, { "builtin", "frugal" }, { link = "1G" })
local xs = require "xensave"

local M = {}

M.policies = {
  "builtin", "bandwidth-aware", "converge", "downtime-budget", "frugal", "give-up", "invisible", "ramp",
  "total-time",
}

-- Whether `a` is better than `b`.
local function better(a, b, limit)
  if not b then return true end
  local fits, other = a.downtime_ms <= limit, b.downtime_ms <= limit
  if fits ~= other then return fits end
  if fits and limit < math.huge then return a.bytes < b.bytes end
  if a.downtime_ms ~= b.downtime_ms then return a.downtime_ms < b.downtime_ms end
  return a.bytes < b.bytes
end

-- The results of a trace by policy, and the name of the best (nil where no save ended well).
function M.row(path, policies, options)
  local trace = assert(xs.sim.trace(path))
  local row = { trace = path, results = {} }
  local limit = options and options.max_ms or math.huge
  for _, name in ipairs(policies or M.policies) do
    local result = assert(xs.sim.replay(trace, name, { link = options and options.link }))
    row.results[name] = {
      outcome = result.outcome, downtime_ms = result.downtime_ms, bytes = result.bytes,
      total_s = result.total_s, rounds = result.rounds,
    }
    local best = row.best and row.results[row.best]
    if result.outcome == "complete" and better(row.results[name], best, limit) then
      row.best = name
    end
  end
  return row
end

if not xs.is_main() then return M end

local opts = xs.options {
  { name = "traces", placeholder = "PATTERN", required = true, help = "Which traces: '*.trace', or s3://BUCKET/PREFIX/." },
  { name = "link", default = "10G", placeholder = "RATE", help = "How fast the link is." },
  { name = "policies", placeholder = "NAME,NAME", help = "These only." },
  { name = "max-ms", type = "number", placeholder = "MS",
    help = "The longest downtime: then the fewest bytes are best." },
  { name = "json", type = "flag", help = "Print JSON, a line a trace." },
}
local traces = assert(xs.glob(opts.traces))
if #traces == 0 then xs.usage("--traces: no file is called '%s'", opts.traces) end
local policies
if opts.policies then
  policies = {}
  for name in opts.policies:gmatch "[^,]+" do policies[#policies + 1] = name end
end
local lines = {}
for _, path in ipairs(traces) do
  local row = M.row(path, policies, { link = opts.link, max_ms = opts.max_ms })
  if opts.json then
    print(xs.json(row, { empty_list = true }))
  else
    local best = row.best and row.results[row.best]
    lines[#lines + 1] = {
      path:match "[^/]*$", row.best or "none",
      best and ("%.1f"):format(best.downtime_ms) or "", best and ("%.1f"):format(best.bytes / 1048576) or "",
    }
  end
end
if not opts.json then
  xs.table(lines, { header = { "trace", "policy", "downtime ms", "MiB" } })
end
