-- frugal - sends the fewest bytes with which the guest stands still no longer than it may
--
-- usage: xensave-lua policy test frugal --trace FILE...
--
-- In a script:
--   dom:save(path, { policy = xs.load_policy "frugal" { downtime_ms = 1000 } })
--
-- Options: downtime_ms, how long the guest may stand still; hits and window, in how many of the last rounds a
-- page has to be dirty to wait for the end; gain, by how much a round must make the rest smaller; max_rounds.
--
-- Every round that is not needed costs bytes, so it stops at the first moment at which the rest is within the
-- downtime. Pages that are dirty round after round are sent once at the start and once at the end.
local xs = require "xensave"

local M = {
  name = "frugal",
  opts = { downtime_ms = 1000, hits = 2, window = 3, gain = 0.1, max_rounds = 20 },
}

function M:on_start() self.last = math.huge end

function M:precopy(s)
  local o = self.opts
  if s.iteration >= o.max_rounds then return "stop" end
  local how = { "continue", skip = true }
  if s.iteration == 0 then return how end
  local left = s.est_downtime
  if left and left * 1000 <= o.downtime_ms then return "stop" end
  local size = s.dirty_count and s.dirty_count + s.deferred
  if size then
    if size > self.last * (1 - o.gain) then return "stop" end
    self.last = size
    -- What waits must fit into the downtime: else it would only make it longer.
    local hot = s.hot and s.hot[o.hits] or 0
    if s.bandwidth > 0 and hot > 0 and hot / s.bandwidth * 1000 <= o.downtime_ms / 2 then
      how.defer = { o.hits, o.window }
    end
  end
  return how
end

-- In a sandbox there is no such thing as a main script.
if not xs.is_main or not xs.is_main() then return M end

xs.options {}
xs.usage "a policy is tried by: xensave-lua policy test frugal --trace FILE"
