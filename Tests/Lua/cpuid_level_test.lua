-- Tests of the shipped filter cpuid-level.
local xs = require "xensave"
local t = require "xensave.testing"
local cpuid = require "xensave.cpuid"
local filter = require "xensave.filters.cpuid-level".filter

local function image() return t.open(xs.synth { guest = "x86_hvm" }:save(t.path "in.img")) end

t.test("takes single features away and leaves the others", function()
  local before = image()
  local names = before.cpuid:features()
  t.equal(#names > 1, true)
  local after = t.rewrite(before.path, filter(before, nil, { names[1] }))
  t.equal(after.cpuid:has(names[1]), false)
  t.equal(after.cpuid:has(names[#names]), true)
end)

t.test("a level and features together take both away", function()
  local before = image()
  local names = before.cpuid:features()
  local level = cpuid.without(before, names[2])
  local after = t.rewrite(before.path, filter(before, level, { names[1] }))
  t.equal(after.cpuid:has(names[1]), false)
  t.equal(after.cpuid:has(names[2]), false)
end)
