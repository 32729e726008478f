-- total-time - has the whole save over within a budget, with what downtime that takes
--
-- usage: xensave-lua policy test total-time --trace FILE...
--
-- In a script:
--   dom:save(path, { policy = xs.load_policy "total-time" { total_s = 30 } })
--
-- Options: total_s, how long all of it may take; downtime_ms, below which there is no need to continue;
-- patience, rounds without a new least number of dirty pages after which more would not help;
-- max_rounds, after which the guest is stopped anyway.
--
-- Before a round it asks whether there is time for that round and for a last one after it, which
-- will be as long as what the guest dirties meanwhile. If there is not, this round is the last live
-- one; the guest is stopped after it.
local xs = require "xensave"

local M = { name = "total-time", opts = { total_s = 60, downtime_ms = 50, patience = 5, max_rounds = 100 } }

function M:on_start()
  self.least, self.stale = math.huge, 0
end

function M:precopy(s)
  local o = self.opts
  if s.iteration >= o.max_rounds then return "stop" end
  if s.iteration == 0 then return "continue" end
  if s.est_downtime and s.est_downtime * 1000 <= o.downtime_ms then return "stop" end
  -- Where nobody knows how much is dirty, the next round is taken to be as long as the one before.
  local round, last = s.est_downtime or s.round_time, 0
  -- What the guest will have dirtied by the end of this round, sent after it.
  if s.bandwidth > 0 then last = math.min(s.dirty_rate * round, s.max_pages) / s.bandwidth end
  if s.elapsed + round + last >= o.total_s then return "stop" end
  if s.dirty_count and s.dirty_count < self.least then
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
