-- Tests of scripts, for `xensave-lua test`: each *_test.lua file calls t.test for its tests.
--
--   local t = require "xensave.testing"
--   t.test("name", function() t.equal(1 + 1, 2) end)
local xs = require "xensave"

-- results: one row for each test that ran: test, passed, and of a failed one message and traceback.
local M = { passed = 0, failed = 0, results = {} }
local folder, file, wanted, mode
local opened = {}

-- Called by the program before a test file runs. new_mode: "quiet" prints failures only, "silent"
-- nothing.
function M.begin(new_folder, new_file, new_wanted, new_mode)
  folder, file, wanted, mode = new_folder, new_file, new_wanted, new_mode
end

-- A path in a folder of this test file's own, which is removed afterwards.
function M.path(name) return folder .. "/" .. name end

-- An open image; it is closed at the end of the test.
function M.open(path)
  local image = assert(xs.open(path))
  opened[#opened + 1] = image
  return image
end

-- The module or filter of a script beside the test file, or shipped: what it gives to `require`.
function M.script(name)
  local own = (file:match "^(.*/)" or "./") .. name .. ".lua"
  local chunk, err = loadfile(own)
  if not chunk then error(err, 2) end
  return chunk(name, own)
end

-- Runs a script as the command line would, with these words as its arguments; gives its result.
function M.run(path, ...)
  local before = arg
  arg = { [0] = path, ... }
  local ok, result = pcall(assert(loadfile(path)), ...)
  arg = before
  if not ok then error(result, 0) end
  return result
end

-- Passes an image through a filter and gives the result, open. Options as for xs.rewrite.
function M.rewrite(path, filter, options)
  local out = M.path(("out%d.img"):format(#opened + 1))
  assert(xs.rewrite(path, out, filter, options))
  return M.open(out)
end

local function same(a, b)
  if a == b then return true end
  if type(a) ~= "table" or type(b) ~= "table" then return false end
  for key, value in pairs(a) do
    if not same(value, b[key]) then return false end
  end
  for key in pairs(b) do
    if a[key] == nil then return false end
  end
  return true
end

-- Raises unless both are the same; tables are compared by what is in them.
function M.equal(got, expected, what)
  if not same(got, expected) then
    error(("%sexpected %s, got %s"):format(what and what .. ": " or "", xs.repr(expected),
      xs.repr(got)), 2)
  end
end

-- Raises unless a text has a match of a pattern in it.
function M.match(text, pattern)
  if not tostring(text):find(pattern) then
    error(("expected a match of %s in %s"):format(xs.repr(pattern), xs.repr(tostring(text))), 2)
  end
end

-- Raises unless the function raises an error whose message matches the pattern. Gives the error.
function M.raises(pattern, f, ...)
  local ok, err = pcall(f, ...)
  if ok then error("expected an error that matches " .. xs.repr(pattern), 2) end
  if not tostring(err):find(pattern) then
    error(("expected an error that matches %s, got %s"):format(xs.repr(pattern), tostring(err)), 2)
  end
  return err
end

-- Runs one test at once; the others run whatever becomes of it.
function M.test(name, body)
  if wanted ~= "" and not name:find(wanted, 1, true) then return end
  local ok, err = xpcall(body, function(err)
    return { text = tostring(err), traceback = debug.traceback("", 2) }
  end)
  for _, image in ipairs(opened) do image:close() end
  opened = {}
  local row = { test = name, passed = ok }
  M.results[#M.results + 1] = row
  if ok then
    M.passed = M.passed + 1
    if mode == "" then print(("ok   %s: %s"):format(file, name)) end
  else
    M.failed = M.failed + 1
    row.message, row.traceback = err.text, err.traceback:match "^%s*(.*)$"
    if mode ~= "silent" then
      print(("FAIL %s: %s\n     %s%s"):format(file, name, err.text, err.traceback))
    end
  end
end

return M
