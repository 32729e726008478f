#!/usr/bin/env xensave-lua
-- holds - whether the memory of an image holds a text, a pattern, or pages of another image
--
-- usage: xensave-lua run holds IMAGE (--text=TEXT | --hex=BYTES | --regex=PATTERN | --pages-of=OTHER)
--                    [--limit=N]
--
-- One line of JSON: holds, count, and places: physical addresses, or PFNs with --pages-of (pages that
-- are not all zeros and have the contents of any page of the other image). Exit code 0 where
-- something was found, else 1. For many images:
--   xensave-lua each run holds {} --text='BEGIN RSA PRIVATE KEY' -- *.save
--
-- In a script: require "xensave.reports.holds".pages(img, other, 10)
local xs = require "xensave"
local P = xs.pages

local M = {}

-- The answer as a table.
function M.found(count, places)
  return { holds = count > 0, count = count, places = #places > 0 and places or nil }
end

-- Where bytes stand: encoding as img:search takes it.
function M.bytes(image, bytes, encoding, limit)
  local found = image:search(bytes, { encoding = encoding, limit = limit })
  local places = {}
  for index, address in ipairs(found) do places[index] = xs.hex(address) end
  return M.found(found.count, places)
end

-- Pages that another image has, too, wherever it has them.
function M.pages(image, other, limit)
  local set = image:select(P.hash_in(other) & P.has_data & ~P.zero)
  local places = {}
  for pfn in set:each() do
    if #places >= limit then break end
    places[#places + 1] = pfn
  end
  return M.found(#set, places)
end

if not xs.is_main() then return M end

local opts = xs.options {
  { name = "text", placeholder = "TEXT", help = "Text to look for." },
  { name = "hex", placeholder = "BYTES", help = "Bytes to look for, as hexadecimal digits." },
  { name = "regex", placeholder = "PATTERN", help = "A POSIX extended regular expression." },
  { name = "pages-of", placeholder = "OTHER", help = "An image whose pages to look for." },
  { name = "limit", type = "integer", default = 10, placeholder = "N",
    help = "At most so many places." },
}
if not img then xs.usage "expected an image" end
if opts.limit < 0 then xs.usage("--limit: expected 0 or more, got %d", opts.limit) end

local answer
if opts.text then
  answer = M.bytes(img, opts.text, "bytes", opts.limit)
elseif opts.hex then
  local digits = opts.hex:gsub("%s", "")
  if digits == "" or #digits % 2 ~= 0 or digits:find "%X" then
    xs.usage("--hex: expected pairs of hexadecimal digits, got '%s'", opts.hex)
  end
  local bytes = digits:gsub("%x%x", function(pair) return string.char(tonumber(pair, 16)) end)
  answer = M.bytes(img, bytes, "bytes", opts.limit)
elseif opts.regex then
  answer = M.bytes(img, opts.regex, "regex", opts.limit)
elseif opts.pages_of then
  local other <close> = assert(xs.open(opts.pages_of))
  answer = M.pages(img, other, opts.limit)
else
  xs.usage "expected --text, --hex, --regex or --pages-of"
end
print(xs.json(answer, { empty_list = true }))
return answer.holds and 0 or 1
