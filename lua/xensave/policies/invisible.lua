-- invisible - has the guest stand still for as short as can be
--
-- usage: xensave-lua policy test invisible --trace FILE...
--
-- In a script:
--   dom:save(path, { policy = xs.load_policy "invisible" })
--
-- Options: downtime_ms, with which it is content; patience, rounds without a new least number of dirty pages
-- after which it waits for the next low; near, how near to the least that has to be (1.1: a tenth above it);
-- max_rounds.
--
-- It does not slow the guest down. Rounds continue as long as they make the rest smaller; then it waits for a
-- moment in which the guest dirties as little as it ever did, and stops there. Pages that change seldom go
-- first, so that those that change often have time to change before their turn, and are left out.
local xs = require "xensave"

local M = {
  name = "invisible",
  opts = { downtime_ms = 0.1, patience = 3, near = 1.1, max_rounds = 30 },
}

function M:on_start() self.least, self.stale = math.huge, 0 end

function M:precopy(s)
  local o = self.opts
  local how = { "continue", skip = true, order = "cold_first" }
  if s.iteration >= o.max_rounds then return "stop" end
  if s.iteration == 0 then return how end
  if s.est_downtime and s.est_downtime * 1000 <= o.downtime_ms then return "stop" end
  local size = s.dirty_count and s.dirty_count + s.deferred
  if size and size < 0.95 * self.least then
    self.least, self.stale = size, 0
  else
    self.stale = self.stale + 1
    if self.stale >= o.patience and size and size <= self.least * o.near then return "stop" end
    if self.stale >= 3 * o.patience then return "stop" end
  end
  return how
end

-- In a sandbox there is no such thing as a main script.
if not xs.is_main or not xs.is_main() then return M end

xs.options {}
xs.usage "a policy is tried by: xensave-lua policy test invisible --trace FILE"
