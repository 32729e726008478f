-- total-time - has the whole save over within a budget, with what downtime that takes
--
-- usage: xensave-lua policy test total-time --trace FILE...
--
-- In a script:
--   dom:save(path, { policy = xs.load_policy "total-time" { total_s = 30 } })
--
-- Options: total_s, how long all of it may take; downtime_ms, below which there is no need to go on;
-- patience, rounds without a new least number of dirty pages after which more would not help.
--
-- Before a round it asks whether there is time for that round and for a last one behind it, which
-- will be as long as what the guest dirties meanwhile. If there is not, this round is the last live
-- one; the guest is stopped behind it.
local xs = require "xensave"

local M = { name = "total-time", opts = { total_s = 60, downtime_ms = 50, patience = 5 } }

function M:on_start()
  self.least, self.stale = math.huge, 0
end

function M:precopy(s)
  local o = self.opts
  if not s.est_downtime then return "continue" end
  if s.est_downtime * 1000 <= o.downtime_ms then return "stop" end
  local round = s.est_downtime
  -- What the guest will have dirtied by the end of this round, sent behind it.
  local last = math.min(s.dirty_rate * round, s.max_pages) / s.bandwidth
  if s.elapsed + round + last >= o.total_s then return "stop" end
  if s.dirty_count < self.least then
    self.least, self.stale = s.dirty_count, 0
  else
    self.stale = self.stale + 1
  end
  if self.stale >= o.patience then return "stop" end
  return "continue"
end

-- In a sandbox there is no such thing as a main script.
if not xs.is_main or not xs.is_main() then return M end

xs.options {}
xs.usage "a policy is tried by: xensave-lua policy test total-time --trace FILE"
