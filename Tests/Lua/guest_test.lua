-- Tests of types of one's own, and of a real Linux guest: what its kernel says in two ways is the same.
--
-- XENSAVE_TEST_GUEST names an image of a Linux guest; without it the second part is not run.
local xs = require "xensave"
local t = require "xensave.testing"

t.test("a declared type is what string.pack writes", function()
  local T = xs.struct [[
    struct pair { u16 key; be32 value; };
    u32 magic; u64 next; char name[16]; struct pair pairs[2]; double ratio; s8 last
  ]]
  local bytes = string.pack("!8<I4I8c16I2!4>I4<!4I2>I4!8<d<i1", 0xdeadbeef, 1 << 40, "hello", 1, 2, 3, 4,
    0.5, -7)
  -- As C, string.pack aligns to the size of each; the pairs are aligned to 4.
  t.equal(T:offset "next", 8)
  t.equal(T:offset "pairs[1].value", 44)
  t.equal(T.size, 64)
  t.equal(T.members, { "magic", "next", "name", "pairs", "ratio", "last" })
  local value = T:at(bytes .. ("\0"):rep(64 - #bytes), 0)
  t.equal(value.magic, 0xdeadbeef)
  t.equal(value.next, 1 << 40)
  t.equal(value.name, "hello")
  t.equal(value.pairs[1].key, 3)
  t.equal(value.pairs[1].value, 4)
  t.equal(value.ratio, 0.5)
  t.equal(value.last, -7)
  t.equal(#value.pairs, 2)
end)

t.test("pointers are followed in the same memory, and lists of values are read", function()
  local T = xs.struct "struct node { u32 id; struct node *next; }"
  local bytes = string.pack("<I4xxxxI8I4xxxxI8", 1, 16, 2, 0)
  t.equal(T(bytes, 0).next.id, 2)
  local both = T:at(bytes, 0, 2)
  t.equal(#both, 2)
  t.equal(both[2].id, 2)
  t.raises("expected 16 bytes from 17 on, got a string of 32", T.at, T, bytes, 17)
  t.raises("is after its 32 bytes", function() return T(bytes, 0).next[5000].id end)
  t.raises("struct node has no member idx", function() return T(bytes, 0).idx end)
end)

t.test("memory of an image, by physical and by virtual addresses", function()
  local img <close> = assert(xs.open "Tests/Fixtures/pv-4m-1v-tiny.xlsave")
  local T = xs.struct("u8 first[16]", { packed = true })
  local rip = img.vcpu[0].rip
  local virtual = T(img.vcpu[0], rip)
  local physical = T(img, img.vcpu[0]:translate(rip).physical)
  local view = img.vcpu[0]:virtual(rip, 16)
  for index = 0, 15 do
    t.equal(virtual.first[index], view:u8(index))
    t.equal(physical.first[index], view:u8(index))
  end
end)

t.test("options and wrong declarations", function()
  t.equal(xs.struct("u8 a; long b; void *c", { pointer = 4 }).size, 12)
  t.equal(xs.struct("u8 a; long b", { packed = true }).size, 9)
  t.equal(xs.struct("u16 a", { endian = "big" })("\x12\x34", 0).a, 0x1234)
  t.raises("xs.struct: line 2, column 1: there is no type 'u33' %(did you mean u32%?%)", xs.struct,
    "u8 a;\nu33 b")
  t.raises("endian: expected", xs.struct, "u8 a", { endian = "middle" })
  t.raises("pointer: expected 4 or 8", xs.struct, "u8 a", { pointer = 5 })
  t.raises("no option 'pack'", xs.struct, "u8 a", { pack = true })
  t.raises("expected an Image", xs.struct("u8 a").at, xs.struct "u8 a", {}, 0)
end)

local path = os.getenv "XENSAVE_TEST_GUEST"
if not path then return end

local function with_guest(name, body)
  t.test("a real guest: " .. name, function()
    local img <close> = assert(xs.open(path))
    body(img.linux, img)
  end)
end

with_guest("threads are those of the table of numbers", function(linux)
  local known = {}
  for _, task in ipairs(linux:threads()) do
    if task.pid ~= 0 then known[task.pid] = task.comm end
  end
  local entries, problem = linux.symbol.init_pid_ns.idr:xarray_ "struct pid"
  t.equal(problem, nil)
  for _, entry in ipairs(entries) do
    local tasks = entry.value.tasks[0]:hlist_("struct task_struct", "pid_links[0]")
    t.equal(#tasks, 1)
    t.equal(tasks[1].pid, entry.first)
    t.equal(tasks[1].comm, known[entry.first])
    known[entry.first] = nil
  end
  t.equal(next(known), nil)
end)

with_guest("areas of the kernel are in order, and do not overlap", function(linux)
  local root = linux:cast("struct rb_root", linux.symbol.vmap_area_root)
  local areas, problem = root:rbtree_("struct vmap_area", "rb_node")
  t.equal(problem, nil)
  assert(#areas > 10)
  for index = 2, #areas do assert(not math.ult(areas[index].va_start, areas[index - 1].va_end)) end
end)

with_guest("a process's areas are those of its tree", function(linux)
  local task = linux:task(1)
  local maps = task:maps()
  local entries, problem = task.mm.mm_mt:maple_ "struct vm_area_struct"
  t.equal(problem, nil)
  t.equal(#entries, #maps)
  for index, entry in ipairs(entries) do
    t.equal(entry.first, maps[index].start)
    t.equal(entry.last + 1, maps[index]["end"])
    t.equal(entry.value.vm_start, entry.first)
  end
end)

with_guest("a declared type sees what the kernel's type does", function(linux)
  local T = xs.struct "void *next, *prev"
  local head = linux.symbol.init_task.tasks
  t.equal(T(linux, head.address_).next.value_, head.next.value_)
end)

with_guest("a domain that is paused says what its image does", function(linux, img)
  local dom <close> = assert(xs.sim { from = path, pages = 1 << 18 })
  assert(dom:pause())
  local live = dom.linux
  t.equal(live.release, linux.release)
  for _, question in ipairs { "dmesg", "modules", "mounts", "netdevs", "blockdevs", "meminfo" } do
    t.equal(live[question](live), linux[question](linux), question)
  end
  local found = require "xensave.reports.compare-guests".differences(img, dom)
  t.equal(found, {})
end)
