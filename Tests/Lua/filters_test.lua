-- Tests of the shipped filters.
local xs = require "xensave"
local t = require "xensave.testing"

local function image(options)
  return assert(xs.synth(options or {}):save(t.path "in.img"))
end

t.test("strip drops records by name and number", function()
  local strip = require "xensave.filters.strip"
  for _, name in ipairs { "VERIFY", "0xd", "13" } do
    local path = assert(xs.synth {}:add(xs.record "VERIFY"):save(t.path "verify.img"))
    local out = t.rewrite(path, strip.filter { name }, { unchecked = true })
    t.equal(out:first "VERIFY", nil)
    t.equal(#out, #t.open(path) - 1)
  end
end)

t.test("strip refuses unknown names and leaves the other layer alone", function()
  local strip = require "xensave.filters.strip"
  t.raises("did you mean 'TOOLSTACK'", strip.filter, { "TOLSTACK" })
  -- 4 is X86_PV_VCPU_BASIC and CHECKPOINT_END, 3 X86_PV_P2M_FRAMES and EMULATOR_CONTEXT.
  local out = t.rewrite(image(), strip.filter { "3" })
  t.equal(out:first("EMULATOR_CONTEXT").layer, "libxl")
  out = t.rewrite(image(), strip.filter({ "3" }, { layer = "libxl" }), { unchecked = true })
  t.equal(out:first "EMULATOR_CONTEXT", nil)
end)

t.test("what cannot be restored is not written", function()
  local strip = require "xensave.filters.strip"
  local _, err = xs.rewrite(image(), t.path "bad.img", strip.filter { "HVM_CONTEXT" })
  t.equal(err.code, "rejected")
  t.equal(xs.glob(t.path "bad.img"), {})
end)

t.test("rename sets name and UUID", function()
  local rename = require "xensave.filters.rename"
  local uuid = "0A0B0C0D-0000-4000-8000-000000000002"
  local out = t.rewrite(image(), rename.filter("web-2", { uuid = uuid }))
  t.equal(out.config.c_info.name, "web-2")
  t.equal(out.config.c_info.uuid, uuid:lower())
  t.equal(out.config.c_info.type, "hvm")
end)

t.test("rename refuses bad names and images without one", function()
  local rename = require "xensave.filters.rename"
  t.raises("expected a name", rename.filter, "a b")
  t.raises("expected a UUID", rename.filter, "a", { uuid = "7" })
  local bare = image { layer = "libxc" }
  t.raises("no xl header", xs.rewrite, bare, nil, rename.filter "web")
end)

t.test("set-version changes the domain header and nothing else", function()
  local set_version = require "xensave.filters.set-version"
  local path = image { guest = "x86_pv" }
  local report = assert(xs.rewrite(path, t.path "out.img", set_version.filter(4, 18)))
  t.equal({ report.headers_changed, report.changed, report.dropped }, { 1, 0, 0 })
  local out = t.open(t.path "out.img")
  t.equal({ out.domain_header.xen_major, out.domain_header.xen_minor }, { 4, 18 })
end)

local function with_devices()
  return image {
    config = {
      disks = {
        { vdev = "xvda", pdev_path = "/dev/old/a", format = "raw" },
        { vdev = "xvdb", pdev_path = "/dev/old/b" },
      },
      nics = { { mac = "00:16:3e:00:00:01", bridge = "br0" }, { bridge = "br1" } },
    },
  }
end

t.test("retarget sets disks, bridges and addresses", function()
  local retarget = require "xensave.filters.retarget"
  local out = t.rewrite(with_devices(), retarget.filter {
    disks = { xvdb = "/dev/new/b" }, bridges = { br0 = "lan" },
    macs = { [1] = "00:16:3e:00:00:09" },
  })
  local config = out.config
  t.equal(config.disks[1].pdev_path, "/dev/old/a")
  t.equal(config.disks[1].format, "raw")
  t.equal(config.disks[2].pdev_path, "/dev/new/b")
  t.equal({ config.nics[1].bridge, config.nics[2].bridge }, { "lan", "br1" })
  t.equal({ config.nics[1].mac, config.nics[2].mac }, { "00:16:3e:00:00:01", "00:16:3e:00:00:09" })
  out = t.rewrite(with_devices(), retarget.filter { bridges = { ["*"] = "lan" } })
  t.equal({ out.config.nics[1].bridge, out.config.nics[2].bridge }, { "lan", "lan" })
end)

t.test("retarget refuses what the domain does not have", function()
  local retarget = require "xensave.filters.retarget"
  local path = with_devices()
  t.raises("no disk 'xvdz'", xs.rewrite, path, nil, retarget.filter { disks = { xvdz = "/x" } })
  t.raises("no bridge 'br7'", xs.rewrite, path, nil, retarget.filter { bridges = { br7 = "x" } })
  t.raises("no network card 5", xs.rewrite, path, nil, retarget.filter { macs = { [5] = "x" } })
  t.raises("no disk", xs.rewrite, image(), nil, retarget.filter { disks = { xvda = "/x" } })
end)

t.test("a chain passes on what its stages write", function()
  local seen = {}
  local chain = xs.chain(
    { X86_TSC_INFO = function(rec)
      rec.khz = 7
      return rec, xs.record("VERIFY")
    end },
    function(rec)
      if rec.type == "X86_TSC_INFO" or rec.type == "VERIFY" then
        seen[#seen + 1] = rec.type .. (rec.type == "VERIFY" and "" or rec.khz)
      end
      if rec.type == "VERIFY" then return false end
    end,
    { finish = function() seen[#seen + 1] = "finish" end })
  local out = t.rewrite(image(), chain)
  t.equal(seen, { "X86_TSC_INFO7", "VERIFY", "finish" })
  t.equal(out:first("X86_TSC_INFO").khz, 7)
  t.equal(out:first "VERIFY", nil)
  t.raises("expected a filter", xs.chain, 1)
end)
