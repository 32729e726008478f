#!/usr/bin/env xensave-lua
-- scrub - overwrite the contents of chosen pages with zeros
--
-- usage: xensave-lua run scrub IMAGE [--pages=FIRST..LAST]... [--set=FILE] [--contains=TEXT]...
--                    [--utf16=TEXT]... [--where=EXPR] [--free] [--with=OCTET] [--erase] [--drop]
--                    (-o OUT | --in-place | --dry-run)
--
-- Pages that any of the options name are scrubbed. --set reads a file of lines 0x100..0x1ff; --free
-- takes the pages that a Linux guest's allocator calls free (its kernel has to have VMCOREINFO).
-- --erase overwrites only the occurrences of the texts, and leaves the rest of their pages alone.
-- --drop leaves the pages out of the image: the guest's memory is undefined there.
--
-- Page tables, p2m, GDT and start info of a PV guest are never scrubbed: the filter fails if it is
-- asked to, and nothing is written.
--
-- In a script: require "xensave.filters.scrub".filter { pages = xs.pages.set(0x100, 0x1ff) }
local xs = require "xensave"
local P = xs.pages

local M = {}

-- UTF-8 text as UTF-16, little-endian.
local function utf16(text)
  local out = {}
  for _, code in utf8.codes(text) do
    if code >= 0x10000 then
      code = code - 0x10000
      out[#out + 1] = ("<I2I2"):pack(0xd800 | code >> 10, 0xdc00 | code & 0x3ff)
    else
      out[#out + 1] = ("<I2"):pack(code)
    end
  end
  return table.concat(out)
end

-- Overwrites every occurrence of the texts in the pages that have one; gives how many.
local function erase(batch, texts, byte)
  local count = 0
  for _, text in ipairs(texts) do
    local blank = string.char(byte):rep(#text)
    for _, view in batch:each(P.contains(text)) do
      local at = view:find(text)
      while at do
        view:put(at, blank)
        count = count + 1
        at = view:find(text, at + (blank == text and 1 or 0))
      end
    end
  end
  return count
end

-- A filter. options.pages: a selector or set; options.contains: a list of texts; options.utf16: the
-- same as UTF-16; options.octet: what to fill with (0); options.erase: only the texts themselves;
-- options.drop: leave the pages out.
function M.filter(options)
  local texts = {}
  for _, text in ipairs(options.contains or {}) do texts[#texts + 1] = text end
  for _, text in ipairs(options.utf16 or {}) do texts[#texts + 1] = utf16(text) end
  local chosen = options.pages
  if not options.erase then
    for _, text in ipairs(texts) do
      local found = P.contains(text)
      chosen = chosen and chosen | found or found
    end
  elseif #texts == 0 then
    error("scrub: erase needs texts", 2)
  end
  if not chosen and not options.erase then error("scrub: nothing is chosen", 2) end
  local byte = options.octet or 0
  -- What is as it should be already does not count, and is not written.
  local what = chosen
    and (options.drop and P.any & chosen or (byte == 0 and P.has_data & ~P.zero & chosen
      or P.has_data & chosen))
  local pages, places = 0, 0
  return {
    name = "scrub",
    PAGE_DATA = function(batch)
      if what then
        pages = pages + (options.drop and batch:drop(what) or batch:fill(what, byte))
      end
      if options.erase then places = places + erase(batch, texts, byte) end
    end,
    finish = function()
      if what then
        xs.log.info("%s %d pages%s", options.drop and "dropped" or "scrubbed", pages,
          pages == 0 and ": none of those chosen is there with contents to overwrite" or "")
      end
      if options.erase then xs.log.info("erased %d occurrences", places) end
    end,
  }
end

if not xs.is_main() then return M end

local opts = xs.options {
  { name = "pages", type = "list", placeholder = "FIRST..LAST", help = "Pages by number." },
  { name = "set", type = "string", placeholder = "FILE", help = "Pages that a file lists." },
  { name = "contains", type = "list", placeholder = "TEXT", help = "Pages with a text in them." },
  { name = "utf16", type = "list", placeholder = "TEXT", help = "The same, as UTF-16." },
  { name = "where", type = "string", placeholder = "EXPR", help = "Pages by a selector." },
  { name = "free", type = "flag", help = "Pages that a Linux guest calls free." },
  { name = "with", type = "integer", default = 0, placeholder = "OCTET",
    help = "Fill with this byte." },
  { name = "erase", type = "flag", help = "Overwrite only the texts." },
  { name = "drop", type = "flag", help = "Leave the pages out." },
}
if not img then xs.usage "expected an image" end

local chosen
local function also(more) chosen = chosen and chosen | more or more end
for _, range in ipairs(opts.pages or {}) do
  local first, last = range:match "^([^.]+)%.%.([^.]+)$"
  local ok, selector = pcall(P.pfn, first or range, last)
  if not ok then xs.usage("--pages: expected FIRST..LAST, got %s", range) end
  also(selector)
end
if opts.set then also(P.pfns(assert(P.load(opts.set)))) end
if opts.where then
  local ok, selector = pcall(P.parse, opts.where)
  if not ok then xs.usage("--where: %s", selector) end
  also(selector)
end
if opts.free then also(P.pfns(require "xensave.linux".free_pages(img)) & P.type "NOTAB") end
local texts = #(opts.contains or {}) + #(opts.utf16 or {})
if not chosen and texts == 0 then xs.usage "expected pages or texts" end
if opts.erase and texts == 0 then xs.usage "--erase: expected --contains or --utf16" end
if opts.with < 0 or opts.with > 255 then xs.usage("--with: expected 0 to 255, got %d", opts.with) end
return M.filter {
  pages = chosen, contains = opts.contains, utf16 = opts.utf16, octet = opts.with,
  erase = opts.erase, drop = opts.drop,
}
