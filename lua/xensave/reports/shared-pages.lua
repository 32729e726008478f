#!/usr/bin/env xensave-lua
-- shared-pages - what images would take together if each page was kept once
--
-- usage: xensave-lua run shared-pages IMAGE OTHER... [--top=N] [--json]
--
-- Pages with contents, the different ones among them, zeros, and what sharing saves; then the pages
-- that most images have. All images are read once; different pages need up to 128 bytes of memory each.
--
-- In a script: require "xensave.reports.shared-pages".facts(img, { other, another })
local xs = require "xensave"

local M = {}

-- `top`: how many of the pages that are there most often.
function M.facts(image, others, top)
  local found = image:dedupe { with = others }
  return {
    images = 1 + #others, pages = found.pages, distinct = found.distinct, zero = found.zero,
    bytes = found.pages * 4096, shared_bytes = found.distinct * 4096,
    saved = found.pages > 0 and 1 - found.distinct / found.pages or 0,
    top = found:top(top or 0),
  }
end

if not xs.is_main() then return M end

local opts = xs.options {
  { name = "top", type = "integer", default = 5, placeholder = "N",
    help = "So many of the pages that are there most often." },
  { name = "json", type = "flag", help = "Print JSON." },
}
if not img then xs.usage "expected an image" end
if opts.top < 0 then xs.usage("--top: expected 0 or more, got %d", opts.top) end
local names, others = { img.path }, {}
-- The objects of a store that a prefix or pattern names; each image once.
local seen = { [img.path] = true }
for _, word in ipairs(arg) do
  local paths = word:match "^s3://.*[/*]" and word:match "[/*]$" and assert(xs.glob(word)) or { word }
  for _, path in ipairs(paths) do
    if not seen[path] or path == word then
      seen[path] = true
      names[#names + 1], others[#others + 1] = path, assert(xs.open(path))
    end
  end
end
local facts = M.facts(img, others, opts.top)
for _, row in ipairs(facts.top) do row.image = names[row.image] or row.image end
for _, other in ipairs(others) do other:close() end
if opts.json then return print(xs.json(facts)) end

local function mib(bytes) return ("%.1f MiB"):format(bytes / 1048576) end
print(("%d images, %d pages with contents (%s), %d different (%s): sharing saves %.1f %%"):format(
  facts.images, facts.pages, mib(facts.bytes), facts.distinct, mib(facts.shared_bytes),
  100 * facts.saved))
print(("%d pages are zeros"):format(facts.zero))
for _, row in ipairs(facts.top) do
  print(("%8d times %s"):format(
    row.count, row.zero and "zeros" or ("PFN %#x of %s"):format(row.first_pfn, row.image)))
end
