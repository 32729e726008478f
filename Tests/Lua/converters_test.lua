-- Tests of the shipped converters.
local xs = require "xensave"
local t = require "xensave.testing"
local for_xen = require "xensave.converters.for-xen"

local function image(options) return t.open(xs.synth(options):save(t.path "in.img")) end

t.test("releases have their versions", function()
  t.equal(for_xen.version "4.6", 2)
  t.equal(for_xen.version "4.13", 2)
  t.equal(for_xen.version "4.14", 3)
  t.equal(for_xen.version "4.18.3", 3)
  t.equal(for_xen.version "4.13.5", 2)
  t.equal(pcall(for_xen.version, "4.13."), false)
  t.equal(for_xen.version "5.0", 3)
  t.equal(pcall(for_xen.version, "4.5"), false)
  t.equal(pcall(for_xen.version, "new"), false)
end)

t.test("makes version 2 for an older release", function()
  local out = t.path "out.img"
  local done = assert(for_xen.convert(image { guest = "x86_pv" }, "4.13", out, true))
  t.equal(done.octets_out > 0, true)
  t.equal(t.open(out).version, 2)
end)

t.test("keeps nothing where the release does not restore it", function()
  local out = t.path "refused.img"
  local done, reason = for_xen.convert(image { guest = "x86_pv" }, "4.13", out, false)
  t.equal(done, nil)
  t.equal(reason ~= nil, true)
  t.equal(io.open(out), nil)
end)
