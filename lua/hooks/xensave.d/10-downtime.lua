-- 10-downtime.lua - guests stand still for half a second at most, or as little as can be had
-- For /etc/xen/xensave.d, on machines where xensave-lua is libxl's save helper. The file must be
-- root's, and nobody else's to write.
return {
  description = "short downtime for all guests",
  policy = "downtime-budget",
  opts = { downtime_ms = 500 },
}
