-- bandwidth-aware - continues only while another round is worth its time on the link
--
-- usage: xensave-lua policy test bandwidth-aware --trace FILE...
--
-- In a script:
--   dom:save(path, { policy = xs.load_policy "bandwidth-aware" { min_gain = 0.3 } })
--
-- Options: min_gain, by how much a round must make the rest smaller (0.2: by a fifth); downtime_ms,
-- with which it is content; max_rounds.
--
-- A round of d pages over a link of b pages a second takes d / b seconds, in which the guest dirties
-- r * d / b pages: the rest shrinks by r / b. Where the guest dirties as fast as the link sends,
-- rounds cost bandwidth and gain nothing, and it is stopped at once instead of after five of them.
local xs = require "xensave"

local M = {
  name = "bandwidth-aware",
  opts = { min_gain = 0.2, downtime_ms = 20, max_rounds = 30 },
}

function M:precopy(s)
  local o = self.opts
  if s.iteration >= o.max_rounds then return "stop" end
  if not s.est_downtime then return "continue" end
  if s.est_downtime * 1000 <= o.downtime_ms then return "stop" end
  -- The hot set bounds what is dirtied: a round has never left more than was found before it.
  local left = math.min(s.dirty_rate_raw / s.bandwidth, 1)
  if 1 - left < o.min_gain then return "stop" end
  return "continue"
end

-- In a sandbox there is no such thing as a main script.
if not xs.is_main or not xs.is_main() then return M end

xs.options {}
xs.usage "a policy is tried by: xensave-lua policy test bandwidth-aware --trace FILE"
