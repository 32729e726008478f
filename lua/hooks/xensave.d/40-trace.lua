-- 40-trace.lua - records what each migration did, for `xensave-lua policy test --trace FILE`
-- For /etc/xen/xensave.d. Make the folder first, as root: mkdir -p -m 755 /var/log/xen/xensave
-- %n is the guest's name, %i its number, %t the time in UTC. A save that fails leaves its trace too;
-- where the folder is missing there is a warning in xl's log, and no trace.
return {
  description = "a trace of every live save",
  trace = "/var/log/xen/xensave/%n-%t.trace",
}
