-- night-batch - by day keeps the downtime short, by night is done soon
--
-- usage: xensave-lua policy test night-batch --trace FILE...
--
-- In a script:
--   dom:save(path, { policy = xs.load_policy "night-batch" { from = 23, to = 5 } })
--
-- Options: from and to, the hours of local time between which it is night; day_ms and night_ms, how
-- long the guest may stand still by day and by night; day_rounds and night_rounds, after which it is
-- stopped anyway; patience, rounds without a new least number of dirty pages, likewise.
--
-- Many guests in a row are sooner moved if each gets few rounds; by night nobody minds that they
-- stand still for a moment. A save that continues into the night is treated as one of the night.
local xs = require "xensave"

local M = {
  name = "night-batch",
  opts = {
    from = 22, to = 6, day_ms = 100, night_ms = 3000, day_rounds = 30, night_rounds = 3,
    patience = 4,
  },
}

function M:on_start()
  self.least, self.stale = math.huge, 0
end

-- Whether an hour is in the night.
function M:is_night(hour)
  local from, to = self.opts.from, self.opts.to
  if from <= to then return hour >= from and hour < to end
  return hour >= from or hour < to
end

function M:precopy(s)
  local when = self:is_night(s.hour) and "night" or "day"
  if s.iteration >= self.opts[when .. "_rounds"] then return "stop" end
  if s.iteration == 0 then return "continue" end
  if s.est_downtime and s.est_downtime * 1000 <= self.opts[when .. "_ms"] then return "stop" end
  if s.dirty_count and s.dirty_count < self.least then
    self.least, self.stale = s.dirty_count, 0
  else
    self.stale = self.stale + 1
  end
  if self.stale >= self.opts.patience then return "stop" end
  return "continue"
end

-- In a sandbox there is no such thing as a main script.
if not xs.is_main or not xs.is_main() then return M end

xs.options {}
xs.usage "a policy is tried by: xensave-lua policy test night-batch --trace FILE"
