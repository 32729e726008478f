-- downtime-budget - stops as soon as the guest would stand still no longer than it may
--
-- usage: xensave-lua policy test downtime-budget --trace FILE...
--
-- In a script:
--   dom:save(path, { policy = xs.load_policy "downtime-budget" { downtime_ms = 100 } })
--
-- Options: downtime_ms, how long the guest may stand still for its last pages; max_rounds, after
-- which it is stopped anyway; patience, rounds without a new least number of dirty pages after which
-- it is stopped too, because more of them would not help.
--
-- The time is that of sending what is dirty now at the bandwidth so far. The pages that the guest
-- dirties while it is asked to suspend come on top: leave room for them.
local xs = require "xensave"

local M = {
  name = "downtime-budget",
  opts = { downtime_ms = 300, max_rounds = 30, patience = 4 },
}

function M:on_start()
  self.least, self.stale = math.huge, 0
end

function M:precopy(s)
  local o = self.opts
  if s.iteration >= o.max_rounds then return "stop" end
  -- Nothing is known of the link before the first round.
  if s.iteration == 0 then return "continue" end
  if s.est_downtime and s.est_downtime * 1000 <= o.downtime_ms then return "stop" end
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
xs.usage "a policy is tried by: xensave-lua policy test downtime-budget --trace FILE"
