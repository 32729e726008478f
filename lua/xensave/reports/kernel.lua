#!/usr/bin/env xensave-lua
-- kernel - which Linux kernel a guest runs
--
-- usage: xensave-lua run kernel IMAGE [--is=PATTERN]
--
-- One line of JSON: name (of the domain), kernel, uptime (seconds) and cpus; or problem, where no
-- Linux kernel was found. --is takes a Lua pattern ("^6%.1%."): exit code 0 where the kernel is one of
-- those, else 1. For many images:
--   xensave-lua each run kernel -- *.save
--
-- In a script: require "xensave.reports.kernel".facts(img)
local xs = require "xensave"
local description = require "xensave.description"
local try = require "xensave.linux".try

local M = {}

-- What is known of an image's kernel.
function M.facts(image)
  local facts = { name = description.name(image) }
  local _
  _, facts.problem = try(function()
    local linux = image.linux
    facts.kernel, facts.cpus = linux.release, #linux.cpus
  end)
  if facts.kernel then
    -- Kernels that say nothing of their clock are kernels all the same.
    pcall(function() facts.uptime = image.linux.uptime end)
  end
  return facts
end

if not xs.is_main() then return M end

local opts = xs.options {
  { name = "is", placeholder = "PATTERN", help = "Which kernels, as a Lua pattern." },
}
if not img then xs.usage "expected an image" end
if opts.is then
  local fine, problem = pcall(string.find, "", opts.is)
  if not fine then xs.usage("--is: %s", problem) end
end
local facts = M.facts(img)
print(xs.json(facts))
if not facts.kernel then return 1 end
return (not opts.is or facts.kernel:find(opts.is)) and 0 or 1
