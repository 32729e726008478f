#!/usr/bin/env xensave-lua
-- restores-on - whether an image restores on a release of Xen, and on a host's processors
--
-- usage: xensave-lua run restores-on IMAGE --xen=RELEASE [--named=LEVEL | --from=FILE | --like=OTHER]
--
-- One line of JSON: restores, and reasons where it does not. A level is what the hosts' processors have, as
-- `run cpuid-level` takes it. Exit code 0 where it restores, else 1. For many images:
--   xensave-lua each run restores-on {} --xen=4.17 --named=zen2 -- *.save
--
-- In a script: require "xensave.reports.restores-on".answer(img, "4.17", level)
local xs = require "xensave"
local cpuid = require "xensave.cpuid"

local M = {}

-- The answer as a table; `level` as xensave.cpuid makes it, or nil.
function M.answer(image, release, level)
  local restores, reasons = image:compat(release)
  local against = {}
  for _, reason in ipairs(reasons) do
    if reason.severity == "error" then
      against[#against + 1] = reason.subject .. ": " .. reason.text
    end
  end
  if level then
    local fits, missing = cpuid.check(image, level, release)
    restores = restores and fits
    table.move(missing, 1, #missing, #against + 1, against)
  end
  return { xen = release, restores = restores, reasons = #against > 0 and against or nil }
end

if not xs.is_main() then return M end

local opts = xs.options {
  { name = "xen", placeholder = "RELEASE", required = true, help = "The hosts' release of Xen." },
  { name = "named", placeholder = "LEVEL",
    help = "A level by name: " .. table.concat(cpuid.names(), ", ") .. "." },
  { name = "from", placeholder = "FILE", help = "A file with what a host's processor has." },
  { name = "like", placeholder = "OTHER", help = "An image that was saved on such a host." },
}
if not img then xs.usage "expected an image" end

local level
if opts.like then
  local other <close> = assert(xs.open(opts.like))
  level = cpuid.of_image(other)
elseif opts.from then
  level = assert(cpuid.of_file(opts.from, img.guest))
elseif opts.named then
  local fine, found = pcall(cpuid.named, opts.named)
  if not fine then xs.usage("%s", tostring(found.message or found)) end
  level = found
end
local answer = M.answer(img, opts.xen, level)
print(xs.json(answer, { empty_list = true }))
return answer.restores and 0 or 1
