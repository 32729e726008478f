#!/usr/bin/env xensave-lua
-- pages - what the guest's memory holds: types, zeros, duplicates, entropy, rewritten pages
--
-- usage: xensave-lua run pages IMAGE [--top=COUNT] [--find=TEXT]... [--json]
--
-- Counts the last occurrence of each page, as a restore would see it. Reads all contents.
--
-- In a script: require "xensave.reports.pages".facts(img)
local xs = require "xensave"
local P = xs.pages

local M = {}

local type_names = {
  "NOTAB", "L1TAB", "L2TAB", "L3TAB", "L4TAB", "L1TAB_PIN", "L2TAB_PIN", "L3TAB_PIN", "L4TAB_PIN",
  "BROKEN", "XALLOC", "XTAB",
}

-- The facts as a table: pages, data, zero, distinct, types (by name), entropy (as img:entropy gives
-- it), top (the most frequent contents). options.top: how many of these (10).
function M.facts(image, options)
  local selectors = { pages = P.any, data = P.has_data, zero = P.zero }
  for _, name in ipairs(type_names) do
    local ok, selector = pcall(P.type, name)
    if ok then selectors["type " .. name] = selector end
  end
  local counts = image:count(selectors)
  local duplicates = image:dedupe()
  local facts = {
    pages = counts.pages, data = counts.data, zero = counts.zero, types = {},
    distinct = duplicates.distinct, entropy = image:entropy(),
    top = duplicates:top(options and options.top or 10),
  }
  for name, count in pairs(counts) do
    local page_type = name:match "^type (.+)$"
    if page_type and count > 0 then facts.types[page_type] = count end
  end
  return facts
end

if not xs.is_main() then return M end

local opts = xs.options {
  { name = "top", type = "integer", default = 10,
    help = "How many of the most frequent contents." },
  { name = "find", type = "list", help = "Where a text stands, as UTF-8 and as UTF-16.",
    placeholder = "TEXT" },
  { name = "json", type = "flag", help = "Print JSON." },
}
if not img then xs.usage "expected an image" end
if opts.top < 0 then xs.usage("--top: expected 0 or more, got %d", opts.top) end
local facts = M.facts(img, { top = opts.top })
for _, text in ipairs(opts.find or {}) do
  facts.found = facts.found or {}
  facts.found[text] = {
    utf8 = img:search(text, { limit = 100 }),
    utf16 = img:search(text, { limit = 100, encoding = "utf16" }),
  }
end
if opts.json then
  for _, found in pairs(facts.found or {}) do
    for encoding, list in pairs(found) do
      found[encoding] = { count = list.count, addresses = { table.unpack(list) } }
    end
  end
  return print(xs.json(facts))
end

local function share(count)
  return facts.data > 0 and ("%.1f %%"):format(100 * count / facts.data) or ""
end
local rows = { { "pages", facts.pages, "" }, { "with contents", facts.data, "" },
  { "zero", facts.zero, share(facts.zero) }, { "distinct", facts.distinct, share(facts.distinct) },
  { "entropy, bits a byte", ("%.2f"):format(facts.entropy.mean), "" } }
for name, count in xs.sorted(facts.types) do rows[#rows + 1] = { name, count, "" } end
xs.table(rows)
if #facts.top > 0 then print() end
for _, group in ipairs(facts.top) do
  print(("%8d copies  first at page %s%s"):format(group.count, xs.hex(group.first_pfn),
    group.zero and "  (zero)" or ""))
end
for text, found in xs.sorted(facts.found or {}) do
  for encoding, list in xs.sorted(found) do
    print(("\n%q as %s: %d times"):format(text, encoding, list.count))
    for _, address in ipairs(list) do print("  " .. xs.hex(address)) end
  end
end
