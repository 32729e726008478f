-- converge - ends within a downtime and a total time; slows the guest down where nothing else helps
--
-- usage: xensave-lua policy test converge --trace FILE...
--
-- In a script:
--   dom:save(path, { policy = xs.load_policy "converge" { downtime_ms = 300, total_s = 120 } })
--
-- Options: downtime_ms, how long the guest may stand still; total_s, how long all of it may take;
-- max_throttle, how much of its processors the guest may lose at most, in percent (0: nothing); step, by how
-- much that grows at a time; gain, by how much a round must make the rest smaller (0.2: by a fifth) not to be
-- followed by a slower guest; max_rounds.
--
-- Pages that are dirty again when their turn comes are left out, which costs nothing. Where rounds stop getting
-- smaller, the guest is slowed down step by step; it has its processors back when it stands still. Where not
-- even that helps, it is stopped when the total time would be over: then the downtime is what it is. After
-- the first round, as soon as something is known of the link and the guest, the log says where that is to be expected.
local xs = require "xensave"

local M = {
  name = "converge",
  opts = {
    downtime_ms = 300, total_s = 120, max_throttle = 90, step = 15, gain = 0.2, max_rounds = 60,
  },
}

function M:on_start()
  self.last, self.throttle, self.stale, self.warned = math.huge, 0, 0, false
end

-- Why the promise will not be kept, as far as one round shows it; nil where it may be. A guest that is slowed
-- down as far as it may be dirties pages so much slower, and each round leaves that share of the one before.
function M:doubt(s)
  local o, left = self.opts, s.est_downtime
  if not left or s.bandwidth <= 0 then return nil end
  local rest = o.total_s - s.elapsed
  if rest <= left then
    return ("one round over all pages took %.1f s of %g s"):format(s.elapsed, o.total_s)
  end
  if left * 1000 <= o.downtime_ms then return nil end
  local share = s.dirty_rate * (1 - o.max_throttle / 100) / s.bandwidth
  if share >= 1 then
    return ("%.0f pages are dirtied a second and %.0f are sent: without %d %% of its processors, too, rounds do not "
      .. "get smaller"):format(s.dirty_rate, s.bandwidth, o.max_throttle)
  end
  -- Rounds of left, left * share, ... until one fits into the downtime.
  local needed = (left - o.downtime_ms / 1000) / (1 - share)
  if needed > rest then
    return ("the rounds until little enough is left would take %.1f s, and %.1f s are left"):format(needed, rest)
  end
end

function M:precopy(s)
  local o = self.opts
  if s.iteration >= o.max_rounds then return "stop" end
  if s.iteration == 0 then return { "continue", skip = true } end
  local left = s.est_downtime
  if s.iteration == 1 then
    local doubt = self:doubt(s)
    if doubt then
      self.warned = true
      xs.log.warn("the guest may stand still for longer than %g ms, or all of it take longer than %g s: %s",
        o.downtime_ms, o.total_s, doubt)
    end
  end
  -- What the guest dirties while the last live round is sent comes after it: some room for that, where there
  -- is hope for it.
  local room = self.stale > 1 and 1 or 0.8
  if left and left * 1000 <= room * o.downtime_ms then return "stop" end
  local round = left or s.round_time
  if s.elapsed + 2 * round >= o.total_s then return "stop" end
  local size = (s.dirty_count or 0) + s.deferred
  if left and size > self.last * (1 - o.gain) then
    self.throttle = math.min(o.max_throttle, self.throttle + o.step)
    self.stale = self.stale + 1
    if self.throttle >= o.max_throttle and self.stale > 4 and not self.warned then
      self.warned = true
      xs.log.warn("%.0f ms are left after round %d, and rounds do not get smaller: it will take longer than %d ms",
        left * 1000, s.iteration, o.downtime_ms)
    end
    -- Slowed down as far as it may be, and still as dirty: more rounds would only send more.
    if self.stale > 8 then return "stop" end
  else
    self.stale = 0
  end
  if left then self.last = size end
  return { "continue", skip = true, throttle = self.throttle }
end

-- In a sandbox there is no such thing as a main script.
if not xs.is_main or not xs.is_main() then return M end

xs.options {}
xs.usage "a policy is tried by: xensave-lua policy test converge --trace FILE"
