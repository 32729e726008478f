-- 30-night.lua - big guests that may take their time, by name and by pattern
-- For /etc/xen/xensave.d. Of several files that have a policy for a guest the first decides, by the
-- order of their names; filters of all of them apply.
return {
  description = "data bases and build machines leave at night, gently",
  match = { pattern = { "^db%d+$", "^build%-" } },
  policy = function(s)
    if s.phase == "before" and s.dirty_count < 200 then return "stop" end
    if s.iteration >= 20 then return "abort", "it does not come to rest" end
    return "continue"
  end,
}
