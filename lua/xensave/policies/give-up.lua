-- give-up - gives up while the guest still runs if it could not be moved within a downtime
--
-- usage: xensave-lua policy test give-up --trace FILE...
--
-- In a script:
--   dom:save(path, { policy = xs.load_policy "give-up" { downtime_ms = 300 } })
--
-- Options: downtime_ms, the longest that the guest may stand still; patience, rounds without a new
-- least number of dirty pages after which it is hopeless; max_rounds; max_ratio, how many times the
-- guest's memory may be sent.
--
-- For guests that had better stay than stand still: where downtime-budget stops the guest all the
-- same, this one aborts. The guest runs on here, and nothing has happened to it.
local xs = require "xensave"

local M = {
  name = "give-up",
  opts = { downtime_ms = 300, patience = 3, max_rounds = 30, max_ratio = 3 },
}

function M:on_start()
  self.least, self.stale = math.huge, 0
end

function M:precopy(s)
  local o = self.opts
  if s.est_downtime and s.est_downtime * 1000 <= o.downtime_ms then return "stop" end
  if s.iteration == 0 then return "continue" end
  if s.dirty_count and s.dirty_count < self.least then
    self.least, self.stale = s.dirty_count, 0
  else
    self.stale = self.stale + 1
  end
  if self.stale >= o.patience then
    local left = s.est_downtime and ("%d of them are left, %.0f ms")
      :format(s.dirty_count, s.est_downtime * 1000) or "nobody knows how many are left"
    return "abort", ("pages are dirtied faster than they are sent (%s)"):format(left)
  end
  if s.iteration >= o.max_rounds then
    return "abort", ("%d rounds were not enough"):format(s.iteration)
  end
  if s.total_written > o.max_ratio * s.max_pages then
    return "abort", ("the memory was sent %.1f times"):format(s.total_written / s.max_pages)
  end
  return "continue"
end

-- In a sandbox there is no such thing as a main script.
if not xs.is_main or not xs.is_main() then return M end

xs.options {}
xs.usage "a policy is tried by: xensave-lua policy test give-up --trace FILE"
