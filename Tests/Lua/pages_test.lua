-- Tests of selectors, page sets and batches.
local xs = require "xensave"
local t = require "xensave.testing"
local P = xs.pages

local function hvm(pages)
  return assert(xs.synth { pages = pages or { [0x20] = "secret", [0x21] = 7, [0x22] = 0 } }
    :save(t.path "hvm.img"))
end

-- A PV guest whose GDT is in page 0x20.
local function pv()
  local path = assert(xs.synth { guest = "x86_pv", pages = { [0x20] = 1, [0x30] = "abc" } }
    :save(t.path "pv0.img"))
  local out = t.path "pv.img"
  assert(xs.rewrite(path, out, { X86_PV_VCPU_BASIC = function(rec)
    rec.gdt_ents, rec.gdt_frames[1] = 16, 0x20
  end }))
  return out
end

-- Every page of an image with contents, by pfn.
local function contents(path)
  local out = {}
  for rec in t.open(path):records "PAGE_DATA" do
    for pfn, view in rec:each(P.has_data) do out[pfn] = view:bytes() end
  end
  return out
end

-- Runs `edit` on every batch; gives what it returned for the first, and the new contents.
local function edited(path, edit, options)
  local result
  local out = t.path "edited.img"
  assert(xs.rewrite(path, out, { PAGE_DATA = function(batch)
    local got = edit(batch)
    if result == nil then result = got end
  end }, options))
  return result, contents(out), out
end

t.test("selectors print themselves and parse what they print", function()
  local texts = {
    [P.pfn(0x10)] = "pfn = 0x10", [P.pfn(1, 0xff)] = "pfn in 0x1..0xff", [P.any] = "any",
    [P.has_data & ~P.zero] = "has_data and not zero",
    [P.type("L1TAB", "XTAB") | P.byte(3, 255)] = "type in {L1TAB, XTAB} or byte[0x3] = 0xff",
    [P.u64(8, 0xff, 7) - P.contains "a\"b"] = "u64[0x8] & 0xff = 0x7 minus contains \"a\\\"b\"",
    [P.pfns { 5, 1, 2 }] = "pfn in {0x1..0x2, 0x5}",
  }
  for selector, text in pairs(texts) do
    t.equal(tostring(selector), text)
    t.equal(P.parse(text) == selector, true, text)
  end
end)

t.test("selectors take sets and texts on either side", function()
  local set = P.set(1, 5)
  t.equal(tostring(set & P.zero), "pfn in {0x1..0x5} and zero")
  t.equal(tostring(P.zero | "pfn = 3"), "zero or pfn = 0x3")
  t.equal(tostring(~set), tostring(P.set(0, 0) | P.set(6, (1 << 52) - 1)))
end)

t.test("wrong selectors say what is wrong", function()
  t.raises("column 11 of 'pfn in 3..1': expected at least 0x3", P.parse, "pfn in 3..1")
  t.raises("no page type 'L1TABS' %(did you mean", P.type, "L1TABS")
  t.raises("expected an offset from 0 to 4088, got 4089", P.u64, 4089, 1)
  t.raises("expected an offset from 0 to 4095, got %-1", P.byte, -1, 1)
  t.raises("expected a share from 0 to 1", P.sample, 2)
  t.raises("expected 1 to 4096 bytes, got 0", P.contains, "")
  t.raises("expected 0..4503599627370495, got 4503599627370496", P.pfn, 1 << 52)
  t.raises("expected the first pfn before the last", P.pfn, 2, 1)
  t.raises("expected selectors or page sets, got Selector and number",
    function() return P.zero & 1 end)
  -- Trees that grow without end are refused, and quickly.
  t.raises("use sets of pfns", function()
    local s = P.zero
    for _ = 1, 64 do s = s | s end
  end)
  t.raises("use sets of pfns", function()
    local s = P.zero
    for _ = 1, 100000 do s = ~s end
  end)
end)

t.test("sets", function()
  local a, b = P.set(0x10, 0x1f), P.set { 0x18, 0x40, 0x41 }
  t.equal({ #a, #b, #(a | b), #(a & b), #(a - b), #P.set() }, { 16, 3, 18, 1, 15, 0 })
  local ranges = {}
  for first, last in (a | b):ranges() do ranges[#ranges + 1] = { first, last } end
  t.equal(ranges, { { 0x10, 0x1f }, { 0x40, 0x41 } })
  local pfns = {}
  for pfn in (b - a):each() do pfns[#pfns + 1] = pfn end
  t.equal(pfns, { 0x40, 0x41 })
  t.equal({ a:has(0x1f), a:has(0x20), a:has(-1), b:first(), b:last(), P.set():first() },
    { true, false, false, 0x18, 0x41, nil })
  t.equal(a == P.set(0x10, 0x1f), true)
  t.equal(tostring(b), "3 pages {0x18, 0x40..0x41}")
  local path = assert((a | b):save(t.path "set.txt"))
  t.equal(P.load(path) == (a | b), true)
  local none, err = P.load(t.path "absent")
  t.equal({ none, err.code }, { nil, "enoent" })
  t.raises("line 2: expected a pfn", P.set, "0x10\nx\n")
  t.raises("element 2: expected a pfn, got string", P.set, { 1, "x" })
end)

t.test("batches select without an edit", function()
  local seen = P.set()
  local image = t.open(hvm())
  for rec in image:records "PAGE_DATA" do
    seen = seen | rec:select(P.has_data & ~P.zero)
    t.equal(rec.count, #rec.pfn)
    t.raises("is only read here", rec.fill, rec, P.any, 0)
    for pfn, view in rec:each(P.contains "secret") do
      t.equal({ pfn, view:address() }, { 0x20, 0x20000 })
      t.raises("cannot be written: the record is only read", view.u8, view, 0, 1)
    end
  end
  t.equal(tostring(seen), "2 pages {0x20..0x21}")
  t.raises("has no pages", function() image:first "HVM_PARAMS":select(P.any) end)
end)

t.test("fill, and explain after a run", function()
  local secret = P.pfn(0x20, 0x2f) & P.has_data & ~P.zero
  local count, pages = edited(hvm(), function(batch) return batch:fill(secret, 0) end)
  t.equal(count, 2)
  t.equal(pages[0x20], ("\0"):rep(4096))
  t.match(secret:explain(),
    "1%. pfn in 0x20%.%.0x2f %(entries%): 3 of %d+ pages, %d+%.%d ns a page")
  t.match(secret:explain(), "3%. zero %(contents%): 1 of 3 pages")
end)

t.test("each edit sees those before it", function()
  local _, pages = edited(hvm(), function(batch)
    t.equal(#batch:select(P.pfn(0x20, 0x22) & P.zero), 1)
    t.equal(batch:fill(P.contains "secret", 0), 1)
    t.equal(#batch:select(P.pfn(0x20, 0x22) & P.zero), 2)
    local before = batch.count
    t.equal(batch:drop(P.pfn(0x22)), 1)
    t.equal(batch:drop(P.pfn(0x22)), 0)
    t.equal({ batch.count, #batch.pfn, batch.length }, { before - 1, before - 1,
      8 + 8 * (before - 1) + 4096 * (before - 1) })
    t.equal(batch:fill(P.pfn(0x20), 9), 1)
    for pfn, view in batch:each(P.byte(0, 9)) do
      t.equal(pfn, 0x20)
      view:u8(1, 8)
    end
    t.equal(#batch:select(P.byte(1, 8)), 1)
  end)
  t.equal(pages[0x20], "\9\8" .. ("\9"):rep(4094))
  t.equal(pages[0x22], nil)
end)

t.test("keep, retype and columns fix count and length", function()
  local _, pages, out = edited(hvm(), function(batch)
    batch:keep(P.pfn(0x1e, 0x22) | P.pfn(0xfeff8, 0xfefff))
    batch:retype(P.pfn(0x21), "BROKEN")
    batch.pftype[1] = "XTAB"
    t.equal({ batch.pfn[1], batch.pftype[1], batch.pftype[4], batch.pfn[99] },
      { 0x1e, "XTAB", "BROKEN" })
    batch.pfn[2] = 0x100
  end)
  t.equal(xs.verify(out).ok, true)
  t.equal({ pages[0x1e], pages[0x21], pages[0x1f] }, {})
  t.equal(pages[0x20]:sub(1, 6), "secret")
  t.equal(pages[0x100], ("\0"):rep(4096))
  local batch = t.open(out):first "PAGE_DATA"
  t.equal(batch.count, 13)
  t.equal(batch.length, 8 + 8 * 13 + 4096 * 11)
end)

t.test("copies from another image and from bytes", function()
  local golden = t.open(assert(xs.synth { pages = { [0x20] = "golden" } }
    :save(t.path "golden.img")))
  local _, pages = edited(hvm(), function(batch)
    batch:copy(P.pfn(0x20), golden)
    batch:copy_pages(P.pfn(0x21), ("x"):rep(4096))
    t.raises("has no contents of it", batch.copy, batch, P.pfn(0x22), golden)
    local copy = batch:copy()
    t.match(copy.body:bytes(), "golden")
    t.match(batch:payload(), "golden")
  end)
  t.equal(pages[0x20]:sub(1, 6), "golden")
  t.equal(pages[0x21], ("x"):rep(4096))
end)

t.test("a chain's stages see the edits before them", function()
  local seen = {}
  local chain = xs.chain(
    { PAGE_DATA = function(batch) batch:fill(P.pfn(0x20), 1) batch:drop(P.pfn(0)) end },
    { PAGE_DATA = function(batch)
      seen = { #batch:select(P.byte(0, 1)), batch.pfn[1] }
      batch:fill(P.pfn(0x21), 2)
    end })
  local out = t.path "chained.img"
  assert(xs.rewrite(hvm(), out, chain))
  local pages = contents(out)
  t.equal(seen, { 1, 1 })
  t.equal({ pages[0], pages[0x20]:byte(), pages[0x21]:byte() }, { nil, 1, 2 })
end)

t.test("views read and write like the record's", function()
  local _, pages = edited(hvm(), function(batch)
    for _, view in batch:each(P.pfn(0x20)) do
      t.equal({ #view, view:u8(0), view:u16(0), view:be():u16(0), view:i8(0) },
        { 4096, 0x73, 0x6573, 0x7365, 0x73 })
      t.equal({ view:find "cret", view:find("s", 1), view:find "" }, { 2, nil, 0 })
      t.equal({ view:unpack("<I2I1", 1) }, { 0x6365, 0x72, 4 })
      t.equal({ view:equal("secret" .. ("\0"):rep(4090)), view:iszero() }, { true, false })
      local rest = view:sub(6)
      t.equal({ #rest, rest:iszero(), rest:address() }, { 4090, true, 0x20006 })
      t.match(view:hexdump(), "^00020000  73 65 63 72 65 74 00 00  .*|secret%.")
      t.match(view:sub(0, 3):hexdump { width = 2, base = 0x10 }, "^00000010.*\n00000012")
      t.equal(view:entropy() > 0, true)
      view:put(4, "EF")
      view:be():u32(8, 0x01020304)
      view:i64(16, -2)
      view:sub(4090):fill(0xee)
      -- Writes beyond a view, and values that do not fit.
      for _, call in ipairs {
        function() view:u8(4096, 0) end, function() view:u64(4089, 0) end,
        function() view:u32(-1, 0) end, function() view:put(4095, "ab") end,
        function() rest:put(4090, "x") end, function() view:u64(math.maxinteger, 1) end,
      } do
        t.raises("outside this view", call)
      end
      t.raises("expected a value of 8 bits, got 256", view.u8, view, 0, 256)
      t.raises("from 0 to 255", view.fill, view, -1)
      t.raises("expected a View before the ':'", view.u8, 1, 0)
      t.raises("expected a View before the ':'", view.u8, batch, 0)
      t.raises("no member 'u9'", function() return view.u9 end)
    end
  end)
  t.equal(pages[0x20], "secrEF\0\0\1\2\3\4\0\0\0\0\xfe" .. ("\xff"):rep(7)
    .. ("\0"):rep(4066) .. ("\xee"):rep(6))
end)

t.test("views and loops do not outlive their record", function()
  local image = t.open(hvm())
  local kept, loop, record
  local isDone = false
  for rec in image:records() do
    if isDone then break end
    if rec.type == "PAGE_DATA" then
      record, loop = rec, rec:each(P.any)
      local _, view = loop()
      kept = view
      t.equal(kept:iszero(), true)
    elseif kept then
      t.raises("stale view", kept.u8, kept, 0)
      t.raises("stale view", kept.sub, kept, 0)
      t.raises("stale view", kept.hexdump, kept)
      t.raises("stale view", kept.hash, kept)
      t.raises("stale loop", loop)
      t.raises("stale record", record.select, record, P.any)
      t.raises("stale record", record.each, record, P.any)
      t.match(tostring(kept), "^stale view of 4096 bytes")
      isDone = true
    end
  end
  -- The same of a filter, whose last record is gone after it.
  local views = {}
  assert(xs.rewrite(hvm(), nil, { PAGE_DATA = function(batch)
    for pfn, view in batch:each(P.any) do views[pfn] = view end
  end }))
  t.raises("stale view", views[0x20].bytes, views[0x20])
end)

t.test("loops end early and fail like any other", function()
  local path = hvm()
  local before = contents(path)
  local _, pages = edited(path, function(batch)
    for pfn, view in batch:each(P.any) do
      view:u8(0, 0)
      if pfn >= 0 then break end
    end
    pcall(function()
      for _ in batch:each(P.any) do error "inside" end
    end)
    for a in batch:each(P.pfn(0x20, 0x21)) do
      for b, view in batch:each(P.pfn(0x20, 0x21)) do
        if a ~= b then view:u8(100, a) end
      end
    end
  end)
  t.equal({ pages[0x20]:byte(101), pages[0x21]:byte(101) }, { 0x21, 0x20 })
  t.equal(pages[0x22], before[0x22])
  -- An error that nothing catches writes nothing.
  t.raises("inside", xs.rewrite, path, t.path "none.img", { PAGE_DATA = function(batch)
    for _, view in batch:each(P.any) do
      view:u8(0, 1)
      error "inside"
    end
  end })
  t.equal(xs.glob(t.path "none.img"), {})
end)

t.test("what a PV guest's restore needs is not edited", function()
  local path = pv()
  local function refused(pattern, edit)
    t.raises(pattern, xs.rewrite, path, t.path "pv-none.img", { PAGE_DATA = edit })
    t.equal(xs.glob(t.path "pv-none.img"), {})
  end
  refused("page 0x1 cannot be filled: it is a page table %(L4TAB%)",
    function(b) b:fill(P.has_data & P.pfn(1, 4), 0) end)
  refused("page 0x5 cannot be dropped: it is the start info page",
    function(b) b:drop(P.pfn(5)) end)
  refused("page 0x8 cannot become BROKEN: it is a part of the p2m table",
    function(b) b:retype(P.pfn(8), "BROKEN") end)
  refused("page 0x20 cannot be filled: it holds the GDT of vCPU 0",
    function(b) b:fill(P.pfn(0x20, 0x30), 0) end)
  refused("page 0x1 cannot be dropped", function(b) b:keep(P.pfn(0x30)) end)
  refused("page 0x30 cannot become L1TAB: only what was a page table",
    function(b) b:retype(P.pfn(0x30), "L1TAB") end)
  refused("page 0x8 cannot become page 0x400", function(b) b.pfn[9] = 0x400 end)
  refused("page 0x30 cannot become page 0x8", function(b) b.pfn[0x31] = 8 end)
  refused("page 0x2 cannot become NOTAB", function(b) b.pftype[3] = "NOTAB" end)
  for _, pfn in ipairs { 1, 5, 8, 0x20 } do
    refused(("page %#x: it"):format(pfn), function(b)
      for _, view in b:each(P.pfn(pfn)) do view:u8(0, 1) end
    end)
  end
  -- What is not needed may change; a refusal that a script catches has changed nothing.
  local _, pages = edited(path, function(b)
    t.equal(pcall(b.fill, b, P.any, 0), false)
    t.equal(b:fill(P.pfn(0x30), 5), 1)
    for _, view in b:each(P.pfn(0x18)) do view:u8(0, 1) end
  end)
  t.equal({ pages[0x30]:byte(), pages[0x18]:byte(), pages[0x20]:byte() }, { 5, 1, 1 })
end)

t.test("a pfn table is written beside the edits in one way only", function()
  t.raises("written beside the page edits", xs.rewrite, hvm(), nil, { PAGE_DATA = function(b)
    b:fill(P.pfn(0x20), 0)
    b.body:u64(8, 77)
    b:fill(P.pfn(0x21), 0)
  end })
end)

t.test("an image's own records are changed by their columns", function()
  local image = t.open(hvm())
  local batch = image:first "PAGE_DATA"
  batch.pfn[1] = 0x200
  t.equal(image:first("PAGE_DATA").pfn[1], 0x200)
  t.raises("one has a page in the stream", function() batch.pftype[1] = "XTAB" end)
end)

-- An image whose pages came twice: 0x20 with "old", then with "new".
local function live()
  local path = assert(xs.synth { pages = { [0x20] = "new", [0x21] = 7, [0x22] = 7 } }
    :save(t.path "once.img"))
  local out = t.path "live.img"
  assert(xs.rewrite(path, out, { PAGE_DATA = function(batch)
    local second = batch:copy()
    for _, view in batch:each(P.pfn(0x20)) do view:put(0, "old") end
    return batch, second
  end }))
  return out
end

t.test("images count, select and go over their pages", function()
  local image = t.open(live())
  local n = image:count { all = P.any, seven = P.byte(9, 7), zero = P.zero, one = "pfn = 0x20" }
  t.equal(n, { all = 43, seven = 2, zero = 40, one = 1 })
  t.equal({ image:count(), image:count(P.zero) }, { 43, 40 })
  t.equal(image:select(P.has_data & ~P.zero) == P.set(0x20, 0x22), true)
  t.equal(#(image:select(P.any) - image:select(P.zero)), 3)
  t.raises("count: a: expected a selector, got number", image.count, image, { a = 1 })
  local seen, kept = {}, nil
  for pfn, view in image:each(P.pfn(0x20, 0x22)) do
    seen[#seen + 1] = { pfn, view:bytes(0, 3) }
    t.raises("it is a copy of what is in the image", view.u8, view, 0, 1)
    kept = view
  end
  t.equal(seen, { { 0x20, "new" }, { 0x21, "\7\7\7" }, { 0x22, "\7\7\7" } })
  t.raises("stale view", kept.u8, kept, 0)
  for _ in image:each(P.pfn(0x999)) do error "there is no such page" end
end)

t.test("images find duplicates", function()
  local image = t.open(live())
  local found = image:dedupe()
  t.equal({ found.pages, found.distinct, found.zero }, { 43, 3, 40 })
  t.equal(found:top(1), { { count = 40, first_pfn = 0, image = 1, zero = true } })
  t.equal(found:top()[2], { count = 2, first_pfn = 0x21, image = 1, zero = false })
  t.equal(tostring(found), "3 distinct of 43 pages")
  local both = image:dedupe { with = { t.open(hvm()) }, verify = true }
  t.equal({ both.pages, both.distinct }, { 86, 4 })
  t.raises("did you mean 'with'", image.dedupe, image, { wit = {} })
end)

t.test("images show pages and their history", function()
  local image = t.open(live())
  t.equal(image:page(0x20):bytes(0, 3), "new")
  t.equal({ image:page(0x20, { version = 1 }):bytes(0, 3),
    image:page(0x20, { version = 2 }):bytes(0, 3) }, { "old", "new" })
  local history = image:history(0x20)
  t.equal({ #history, history[1].last, history[2].last, history[2].round },
    { 2, false, true, 1 })
  t.equal(image:history(0x999), {})
  local function none(pattern, ...)
    local view, err = image:page(...)
    t.equal({ view, err.code }, { nil, "not_found" })
    t.match(err, pattern)
  end
  none("page 0x999 is not in the image", 0x999)
  none("page 0x10000000000000 is not in the image", 1 << 52)
  none("page 0xfffffffffffff is not in the image", (1 << 52) - 1)
  none("page 0x20 is 2 times in the stream, not 3", 0x20, { version = 3 })
  -- Views of copies stay, whatever becomes of the image.
  local view = image:page(0x20)
  image:close()
  collectgarbage()
  t.equal(view:bytes(0, 3), "new")
end)

t.test("images search their memory", function()
  local image = t.open(assert(xs.synth { pages = {
    [0x20] = ("x"):rep(4094) .. "ab", [0x21] = "cdab\0cd", [0x30] = "a\0b\0\xfc\0",
  } }:save(t.path "text.img")))
  t.equal(image:search("abcd"), { 0x20ffe, count = 1 })
  t.equal(image:search("cd", { limit = 1 }), { 0x21000, count = 2 })
  t.equal(image:search("b\xc3\xbc", { encoding = "utf16" }), { 0x30002, count = 1 })
  t.equal(image:search("ab", { where = P.pfn(0x21) }), { 0x21002, count = 1 })
  t.raises("did you mean 'limit'", image.search, image, "a", { limt = 1 })
  t.raises("expected text in UTF%-8", image.search, image, "\xff", { encoding = "utf16" })
  t.raises("expected 1 to 4096 bytes", image.search, image, "")
  t.equal(image:search("b?c[[:alpha:]]", { encoding = "regex", limit = 1 }), { 0x20fff, count = 2 })
  t.raises("regular expression", image.search, image, "a[", { encoding = "regex" })
  t.raises("bytes\", \"utf16\" or \"regex", image.search, image, "a", { encoding = "latin1" })
  -- The vCPU's paging is off: its addresses are physical ones.
  local vcpu = image.vcpu[0]
  t.equal(vcpu:virtual(0x20ffe, 4):bytes(), "abcd")
  t.equal(vcpu:translate(0x20ffe).physical, 0x20ffe)
  local entropy = image:entropy(P.pfn(0x20, 0x22))
  t.equal({ entropy.count, entropy.most < 1, #entropy.histogram }, { 2, true, 9 })
  t.equal(image:entropy(P.pfn(0)), { count = 1, mean = 0, least = 0, most = 0,
    histogram = { 1, 0, 0, 0, 0, 0, 0, 0, 0 } })
end)

t.test("images read guest memory", function()
  local image = t.open(pv())
  t.equal(image:physical(0x30000, 3):bytes(), "abc")
  t.equal(image:physical(0x2ffff, 3):bytes(), "\0ab")
  local view, err = image:physical(1 << 50, 1)
  t.equal({ view, err.code }, { nil, "not_found" })
  t.raises("expected 1..67108864, got 67108865", image.physical, image, 0, (64 << 20) + 1)
  -- The synthetic guest's tables map its pages from 0 on, 512 of them.
  local vcpu = image.vcpu[0]
  t.equal(vcpu:virtual(0x30000, 3):bytes(), "abc")
  t.equal(vcpu:translate(0x30001),
    { physical = 0x30001, page_size = 4096, writable = true, user = true })
  view, err = vcpu:virtual(0x200000, 1)
  t.equal({ view, err.code }, { nil, "not_found" })
  t.match(err, "not present: entry 1 of the level 2 table is 0x0")
  t.match(select(2, vcpu:virtual(1 << 47, 1)), "is not canonical")
  t.equal(vcpu:search("abc"), { 0x30000, count = 1, complete = true })
  t.equal(vcpu:search("abc", { first = 0x30001 }), { count = 0, complete = true })
  t.raises("expected first below last", vcpu.search, vcpu, "a", { first = 2, last = 1 })
  local mapped = 0
  for m in vcpu:mappings() do mapped = mapped + m.count end
  t.equal(mapped, 0x31 * 4096)
end)

t.test("a page table that refers to itself ends like any other", function()
  local path = assert(xs.synth { guest = "x86_pv" }:save(t.path "loop0.img"))
  local out = t.path "loop.img"
  -- Every entry of the top table is the top table: written as bytes, which no rule looks at.
  assert(xs.rewrite(path, out, { PAGE_DATA = function(batch)
    local copy = batch:copy()
    local at = 8 + 8 * batch.count + 4096
    for index = 0, 511 do copy.body:u64(at + 8 * index, 1 << 12 | 0x67) end
    return copy
  end }, { unchecked = true }))
  local vcpu = t.open(out).vcpu[0]
  t.equal(vcpu:translate(0x1234).physical, 0x1234)
  local count = 0
  for _ in vcpu:mappings(100) do count = count + 1 end
  t.equal(count, 16) -- mappings of one page are kept 16 times at most
  t.equal(type(vcpu:search("xen-3.0").count), "number")
end)

t.test("images compare their pages", function()
  local a, b = t.open(hvm()), t.open(live())
  local runs = {}
  for d in a:diff_pages(b) do runs[#runs + 1] = d end
  t.equal(runs, {
    { first = 0x20, last = 0x20, count = 1, kind = "contents" },
    { first = 0x22, last = 0x22, count = 1, kind = "contents" },
  })
  local _, _, out = edited(hvm(), function(batch)
    batch:drop(P.pfn(0, 3))
    batch:retype(P.pfn(0x10), "BROKEN")
  end)
  runs = {}
  for d in a:diff_pages(t.open(out)) do runs[#runs + 1] = d.kind .. d.first .. "+" .. d.count end
  t.equal(runs, { "only_in_first0+4", "type16+1" })
end)

t.test("images become other files", function()
  local image, small = t.open(live()), t.path "small.img"
  local done = assert(image:compact(small))
  t.equal({ done.pages, done.dropped }, { 43, 43 })
  local compact = t.open(small)
  t.equal(compact:page(0x20):bytes(0, 3), "new")
  t.equal(assert(image:delta(t.path "delta", compact)).changed_pages, 0)
  assert(image:apply(t.path "back.img", t.path "delta"))
  t.equal(t.open(t.path "back.img"):page(0x20):bytes(0, 3), "new")
  local none, err = compact:apply(t.path "none.img", t.path "delta")
  t.equal({ none, xs.glob(t.path "none.img") }, { nil, {} })
  t.equal(err.code, "invalid")
  t.equal(assert(compact:export(t.path "raw", "raw")).pages, 43)
  t.raises("did you mean 'raw'", compact.export, compact, t.path "x", "rav")
  t.equal(image:compact(t.path "absent/x") == nil, true)
  t.raises("the output is one of the inputs", image.delta, image, small, compact)
end)

t.test("hashes", function()
  local image = t.open(hvm())
  local hash = image:page(0x20):hash()
  t.equal(image:select(P.hash_in { hash }) == P.set(0x20), true)
  t.equal(t.open(live()):count(P.hash_in(image) & ~P.zero), 2)
  t.raises("element 1: expected a hash", P.hash_in, { "x" })
end)
