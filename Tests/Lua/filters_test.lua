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

local function macs_of(img)
  local out = {}
  for _, card in img.config.nics:each() do out[#out + 1] = card.mac end
  return out
end

t.test("clone makes another domain of one", function()
  local clone = require "xensave.filters.clone"
  local id = {}
  for i = 1, 16 do id[i] = i end
  local path = image { config = {
    nics = { { mac = "00:16:3e:00:00:01" }, { mac = "00:16:3e:00:00:02" } },
    disks = { { vdev = "xvda", pdev_path = "/dev/vg/web1" } },
  } }
  local img = t.open(path)
  img.config.b_info["type.hvm"] = { ms_vm_genid = id }
  assert(img:save(t.path "with-id.img"))
  local old = t.open(t.path "with-id.img")
  local out = t.rewrite(t.path "with-id.img", clone.filter "web2")
  t.equal(out.config.c_info.name, "web2")
  assert(out.config.c_info.uuid:match "^%x+%-%x+%-4%x%x%x%-[89ab]%x%x%x%-%x+$")
  assert(out.config.c_info.uuid ~= old.config.c_info.uuid)
  local macs = macs_of(out)
  t.equal(#macs, 2)
  assert(macs[1] ~= macs[2])
  for number, mac in ipairs(macs) do
    assert(mac:match "^00:16:3e:[0-7]%x:%x%x:%x%x$", mac)
    assert(mac ~= macs_of(old)[number])
  end
  local same = true
  for i, byte in out.config.b_info["type.hvm"].ms_vm_genid:each() do
    if byte ~= id[i] then same = false end
  end
  t.equal(same, false)
  t.equal(#out.config.b_info["type.hvm"].ms_vm_genid, 16)
  t.equal(out.config.disks[1].pdev_path, "/dev/vg/web1")
end)

t.test("clone takes what it is told, and refuses what is none", function()
  local clone = require "xensave.filters.clone"
  local path = image { config = { nics = { { mac = "00:16:3e:00:00:01" } } } }
  local uuid = "0A0B0C0D-0000-4000-8000-000000000002"
  local out = t.rewrite(path, clone.filter("web2", { uuid = uuid, macs = { "00:16:3e:00:00:07" } }))
  t.equal(out.config.c_info.uuid, uuid:lower())
  t.equal(macs_of(out), { "00:16:3e:00:00:07" })
  t.raises("2 addresses, and the domain has 1", xs.rewrite, path, nil,
    clone.filter("web2", { macs = { "00:16:3e:00:00:07", "00:16:3e:00:00:08" } }))
  t.raises("expected a name", clone.filter, "a b")
  t.raises("expected a UUID", clone.filter, "a", { uuid = "7" })
  t.raises("expected a MAC address", clone.filter, "a", { macs = { "7" } })
  -- A guest without a generation ID gets none.
  t.equal(out.config.b_info["type.hvm"] and out.config.b_info["type.hvm"].ms_vm_genid, nil)
end)

t.test("clone sets the clocks forward", function()
  local clone = require "xensave.filters.clone"
  local path = image()
  local before = t.open(path):first("X86_TSC_INFO").nsec
  local out = t.rewrite(path, clone.filter("web2", { forward = 3600 }))
  t.equal(out:first("X86_TSC_INFO").nsec, before + 3600 * 1000000000)
  for _, wrong in ipairs { -1, 1.5, "7", 1 << 40 } do
    t.raises("expected 0 to 3155760000 seconds", clone.filter, "a", { forward = wrong })
  end
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
        { vdev = "xvda", pdev_path = "/dev/old/a", format = "raw", readwrite = 1 },
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

local scrub = require "xensave.filters.scrub"
local P = xs.pages

local function page(path, pfn)
  local view = t.open(path):page(pfn)
  return view and view:bytes()
end

local function with_secrets()
  return image { pages = {
    [0x20] = "key=secret;secret", [0x21] = ("x"):rep(4094) .. "se", [0x22] = "cret", [0x23] = 7,
    [0x24] = "k\0e\0y\0",
  } }
end

t.test("scrub fills pages by number, text and selector", function()
  local path, out = with_secrets(), t.path "scrubbed.img"
  local function run(options)
    return assert(xs.rewrite(path, out, scrub.filter(options)))
  end
  run { pages = P.pfn(0x23) }
  t.equal({ page(out, 0x23):find "[^\0]", page(out, 0x20):sub(1, 4) }, { nil, "key=" })
  run { contains = { "secret" }, octet = 0x2a }
  t.equal(page(out, 0x20), ("*"):rep(4096))
  t.equal(page(out, 0x21):sub(1, 2), "xx")
  run { utf16 = { "key" } }
  t.equal({ page(out, 0x24):find "[^\0]", page(out, 0x20):sub(1, 3) }, { nil, "key" })
  run { pages = P.set(0x23), drop = true }
  t.equal(page(out, 0x23), nil)
  t.equal(xs.verify(out).ok, true)
end)

t.test("scrub erases texts only", function()
  local path, out = with_secrets(), t.path "erased.img"
  assert(xs.rewrite(path, out, scrub.filter { contains = { "secret" }, erase = true }))
  t.equal(page(out, 0x20):sub(1, 17), "key=\0\0\0\0\0\0;\0\0\0\0\0\0")
  t.equal(page(out, 0x23), ("\7"):rep(4096))
  assert(xs.rewrite(path, out, scrub.filter { contains = { "x" }, erase = true, octet = 0x78 }))
  t.equal(page(out, 0x21), page(path, 0x21))
  t.raises("nothing is chosen", scrub.filter, {})
  t.raises("erase needs texts", scrub.filter, { erase = true, pages = P.any })
end)

t.test("scrub fails closed on what a PV guest needs", function()
  local path = image { guest = "x86_pv" }
  t.raises("page 0x1 cannot be filled", xs.rewrite, path, t.path "no.img",
    scrub.filter { pages = P.any })
  t.equal(xs.glob(t.path "no.img"), {})
end)

-- A guest without paging whose kernel has 24 pages in 3 sections; those at 8..11 and 17 are free.
local function linux_guest(change)
  local function map(pages)
    local out = {}
    for index = 0, 7 do
      local order = pages[index]
      out[index + 1] = ("<I8I8I8I8I8I8i4i4I8"):rep(1):pack(0, 0, 0, 0, 0, order or 0,
        order and -129 or -1, order and 0 or 1, 0):sub(1, 64)
    end
    return table.concat(out)
  end
  local text = ([[OSRELEASE=6.1.0-test
PAGESIZE=4096
SYMBOL(swapper_pg_dir)=ffffffff82a10000
SYMBOL(mem_section)=1b000
SIZE(mem_section)=16
OFFSET(mem_section.section_mem_map)=0
NUMBER(SECTION_SIZE_BITS)=15
SIZE(page)=64
OFFSET(page._refcount)=52
OFFSET(page._mapcount)=48
OFFSET(page.private)=40
NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=-129
]])
  if change then text = change(text) end
  return image { pages = {
    [0x8] = 1, [0x9] = 2, [0xb] = 3, [0xc] = 4, [0x11] = 5,
    [0x1a] = text, [0x1b] = ("<I8"):pack(0x1c000),
    -- Sections 0 and 1 have a map, 2 has one too; each is encoded relative to page 0.
    [0x1c] = ("<I8I8I8I8I8I8"):pack(0x1d000 | 3, 0, (0x1d200 - 64 * 8) | 3, 0,
      (0x1d400 - 64 * 16) | 3, 0),
    [0x1d] = map {} .. map { [0] = 2 } .. map { [1] = 0 },
  } }
end

t.test("free pages of a Linux guest", function()
  local linux = require "xensave.linux"
  local path = linux_guest()
  local guest = t.open(path)
  t.equal(linux.vmcoreinfo(guest).OSRELEASE, "6.1.0-test")
  t.equal(linux.free_pages(guest) == P.set { 8, 9, 10, 11, 17 }, true)
  local out = t.path "freed.img"
  assert(xs.rewrite(path, out, scrub.filter { pages = P.pfns(linux.free_pages(guest)) }))
  for pfn = 8, 17 do
    t.equal(page(out, pfn):byte(), pfn == 12 and 4 or 0, xs.hex(pfn))
  end
  -- Damage is told, and nothing is guessed.
  t.raises("no VMCOREINFO", linux.free_pages, t.open(image()))
  t.raises("VMCOREINFO has no SIZE%(mem_section%)", linux.free_pages,
    t.open(linux_guest(function(text) return (text:gsub("SIZE%(mem_section%)", "SIZE(x)")) end)))
  t.raises("no vCPU maps the kernel's data", linux.free_pages,
    t.open(linux_guest(function(text) return (text:gsub("=1b000", "=7fffff000")) end)))
end)

t.test("chains in chains have a limit", function()
  local function nothing() end
  local chain = xs.chain(nothing)
  t.raises("64", function()
    for _ = 1, 200000 do chain = xs.chain(chain) end
  end)
  t.raises("1000", function()
    chain = xs.chain(nothing)
    for _ = 1, 40 do chain = xs.chain(chain, chain) end
  end)
  local out = t.rewrite(image(), xs.chain(xs.chain(nothing, nothing), nothing))
  t.equal(#out, #t.open(image()))
end)
