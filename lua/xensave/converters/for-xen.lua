#!/usr/bin/env xensave-lua
-- for-xen - make an image that a given release of Xen restores
--
-- usage: xensave-lua run for-xen IMAGE RELEASE OUT [--lossy] [--host=FILE]
--
-- The same as `xensave-lua convert IMAGE --for-xen RELEASE -o OUT`. RELEASE is like 4.13 or 4.18.3. The
-- stream gets the version that the release writes; what it cannot hold is leveled, cut or dropped, and
-- refused by name where the guest needs it. Each change is logged. Then it is checked whether the
-- release restores the result: where it does not, OUT is not kept.
-- --lossy leaves out what the guest could miss, and says so. --host also fits it to a host: FILE is what
-- `xensave-lua host` prints there.
--
-- In a script: require "xensave.converters.for-xen".convert(img, "4.13", "out.img", true)
local xs = require "xensave"

local M = {}

-- The version of the libxc stream that a release writes.
function M.version(release)
  local major, minor = release:gsub("^(%d+%.%d+)%.%d+$", "%1"):match "^(%d+)%.(%d+)$"
  if not major then error(("expected a release such as 4.13, got '%s'"):format(release), 0) end
  major, minor = tonumber(major), tonumber(minor)
  if major < 4 or major == 4 and minor < 6 then
    error(("Xen %s reads legacy streams only"):format(release), 0)
  end
  return (major > 4 or minor >= 14) and 3 or 2
end

-- Converts `image` into the file `path`. Returns what the conversion did (`changes` lists it), and what
-- speaks for and against a restore of the result; nil and an error where there is no result. `host` is
-- the text that `xensave-lua host` prints on the destination.
function M.convert(image, release, path, lossy, host)
  M.version(release)
  local done, err = image:for_xen(release, path, { lossy = lossy or false, host = host })
  if not done then return nil, err end
  local result <close> = assert(xs.open(path))
  return done, select(2, result:compat(release))
end

if not xs.is_main() then return M end

local opts = xs.options {
  { name = "lossy", type = "flag", help = "Leave out what the guest could miss." },
  { name = "host", placeholder = "FILE", help = "A host that is to restore it." },
}
if not img or #arg ~= 2 then xs.usage "expected an image, a release and where to write" end
local known, wrong = pcall(M.version, arg[1])
if not known then xs.usage("%s", tostring(wrong)) end
local host
if opts.host then
  local file = assert(io.open(opts.host, "rb"))
  host = file:read "a"
  file:close()
end
local done, reasons = M.convert(img, arg[1], arg[2], opts.lossy, host)
if not done then
  xs.log.error("%s", tostring(reasons))
  return 1
end
for _, change in ipairs(done.changes) do
  (change.loss and xs.log.warn or xs.log.info)("%s: %s", change.place, change.text)
end
for _, note in ipairs(done.notes) do xs.log.warn("%s: %s", note.place, note.text) end
for _, reason in ipairs(reasons) do
  if reason.severity == "warning" then xs.log.warn("%s: %s", reason.subject, reason.text) end
end
xs.log.info("%s: %d records", arg[2], done.records_out)
