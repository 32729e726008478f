#!/usr/bin/env xensave-lua
-- for-xen - make an image that a given release of Xen restores
--
-- usage: xensave-lua run for-xen IMAGE RELEASE OUT [--lossy]
--
-- RELEASE is like 4.13 or 4.18.3. The stream gets the version that the release writes; then it is
-- checked whether the release restores the result, and why not. Where it does not, OUT is not kept.
-- --lossy leaves out what the older version cannot hold (the policies for CPUID and MSRs), and says so.
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

-- Converts `image` into the file `path`. Returns what the conversion did, and a list of what speaks
-- for and against a restore; nil and an error where there is no result.
function M.convert(image, release, path, lossy)
  local done, err = image:convert(path, {
    version = M.version(release), lossy = lossy or false, suits = release,
  })
  if not done then return nil, err end
  return done, done.reasons
end

if not xs.is_main() then return M end

local opts = xs.options {
  { name = "lossy", type = "flag", help = "Leave out what the result cannot hold." },
}
if not img or #arg ~= 2 then xs.usage "expected an image, a release and where to write" end
local done, reasons = M.convert(img, arg[1], arg[2], opts.lossy)
if not done then
  xs.log.error("%s", tostring(reasons))
  return 1
end
for _, note in ipairs(done.notes) do xs.log.warn("%s: %s", note.place, note.text) end
for _, reason in ipairs(reasons) do
  if reason.severity == "warning" then xs.log.warn("%s: %s", reason.subject, reason.text) end
end
xs.log.info("%s: %d records", arg[2], done.records_out)
