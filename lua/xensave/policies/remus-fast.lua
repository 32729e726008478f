-- remus-fast - is in the checkpoints of xl remus soon, and does not send hot pages before them
--
-- usage: xensave-lua policy test remus-fast --trace FILE...
--
-- In /etc/xen/xensave.d/remus.lua:
--   return { match = { name = "db1" }, policy = "remus-fast" }
--
-- Options: downtime_ms, how long the guest may stand still before its first checkpoint; max_rounds, after which
-- it is taken anyway.
--
-- A guest is not protected before its first checkpoint, and stands still for every one of them: what a live
-- round more would save, the second checkpoint sends again. So there are few rounds, pages that are dirty
-- again are left to the checkpoint, and those that were dirty in two rounds, too.
local xs = require "xensave"

local M = { name = "remus-fast", opts = { downtime_ms = 500, max_rounds = 3 } }

function M:precopy(s)
  local o = self.opts
  if s.iteration >= o.max_rounds then return "stop" end
  if s.iteration > 0 and s.est_downtime and s.est_downtime * 1000 <= o.downtime_ms then return "stop" end
  return { "continue", skip = true, defer = { 2, 3 } }
end

-- In a sandbox there is no such thing as a main script.
if not xs.is_main or not xs.is_main() then return M end

xs.options {}
xs.usage "a policy is tried by: xensave-lua policy test remus-fast --trace FILE"
