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

t.test("makes version 2 for an older release, and says what that cannot hold", function()
  local out = t.path "out.img"
  local done = assert(for_xen.convert(image { guest = "x86_pv" }, "4.13", out))
  t.equal(done.octets_out > 0, true)
  t.equal(t.open(out).version, 2)
  local actions = {}
  for _, change in ipairs(done.changes) do actions[#actions + 1] = change.action end
  t.equal(table.concat(actions, " "), "set dropped dropped")
  t.equal(done.losses, 2)
end)

t.test("an image lists beforehand what is done", function()
  local img = image { guest = "x86_hvm" }
  local ok, reasons, changes = img:compat "4.13"
  t.equal(ok, false)
  t.equal(#reasons > 0, true)
  local done = assert(img:for_xen("4.13", t.path "hvm.img"))
  t.equal(#done.changes, #changes)
  for index, change in ipairs(changes) do
    t.equal(done.changes[index].place, change.place)
    t.equal(done.changes[index].text, change.text)
  end
  t.equal((t.open(t.path "hvm.img"):compat "4.13"), true)
end)

t.test("for_xen refuses what no release is", function()
  local img = image { guest = "x86_pv" }
  for _, release in ipairs { "4.5", "4.99", "new" } do
    t.equal(pcall(img.for_xen, img, release, t.path "no.img"), false)
  end
  local ok, err = pcall(img.for_xen, img, "4.17", t.path "no.img", { host = "{}" })
  t.equal(ok, false)
  t.equal(tostring(err):find("xensave%-lua host") ~= nil, true)
  t.equal(pcall(img.for_xen, img, "4.17", t.path "no.img", { loss = true }), false)
  t.equal(io.open(t.path "no.img"), nil)
end)

t.test("for_xen fits an image to a host", function()
  local img = image { guest = "x86_hvm" }
  local host = [[{"format": "xensave-host-1", "origin": "xen", "xen": "4.17.7", "memory_bytes": "0x1000",
    "hvm": {"leaves": [], "msrs": []}}]]
  local done, err = img:for_xen("4.17", t.path "small.img", { host = host })
  t.equal(done, nil)
  t.equal(tostring(err):find "memory" ~= nil, true)
end)
