-- builtin - what Xen does by itself: stops below 50 dirty pages, or after 5 rounds
--
-- usage: xensave-lua policy test builtin --trace FILE...
--
-- In a script:
--   dom:save(path, { policy = "builtin" })
--
-- The same decisions as simple_precopy_policy in Xen's tools/libs/guest/xg_sr_save.c, which is also
-- what answers for a policy that fails. Like Xen it is asked twice a round: before it is sent, and
-- after it, when nobody knows how much is dirty.
local xs = require "xensave"

local M = { name = "builtin", both_phases = true, opts = { max_dirty = 50, max_rounds = 5 } }

function M:precopy(s)
  if s.dirty_count and s.dirty_count < self.opts.max_dirty then return "stop" end
  if s.iteration >= self.opts.max_rounds then return "stop" end
  return "continue"
end

-- In a sandbox there is no such thing as a main script.
if not xs.is_main or not xs.is_main() then return M end

xs.options {}
xs.usage "a policy is tried by: xensave-lua policy test builtin --trace FILE"
