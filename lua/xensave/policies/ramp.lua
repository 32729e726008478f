-- ramp - asks for a short downtime at first, and for less with every round
--
-- usage: xensave-lua policy test ramp --trace FILE...
--
-- In a script:
--   dom:save(path, { policy = xs.load_policy "ramp" { first_ms = 20, growth = 1.5 } })
--
-- Options: first_ms, how long the guest may stand still after the first round; growth, by which that is
-- multiplied after each further one; most_ms, where it ends growing; max_rounds.
--
-- No budget has to be known beforehand: a guest that is nearly idle stands still for milliseconds, and a busy
-- one is moved all the same, after as many rounds as it takes for the budget to meet what is left.
local xs = require "xensave"

local M = { name = "ramp", opts = { first_ms = 20, growth = 1.5, most_ms = 5000, max_rounds = 30 } }

function M:precopy(s)
  local o = self.opts
  if s.iteration >= o.max_rounds then return "stop" end
  if s.iteration > 0 and s.est_downtime then
    local budget = math.min(o.most_ms, o.first_ms * o.growth ^ (s.iteration - 1))
    if s.est_downtime * 1000 <= budget then return "stop" end
  end
  return { "continue", skip = true }
end

-- In a sandbox there is no such thing as a main script.
if not xs.is_main or not xs.is_main() then return M end

xs.options {}
xs.usage "a policy is tried by: xensave-lua policy test ramp --trace FILE"
