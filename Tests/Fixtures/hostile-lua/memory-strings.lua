-- Strings larger than the memory, by every function that makes them.
local function attack()
  for _, f in ipairs {
    function() return ("x"):rep(1 << 33) end,
    function() local s = "x" while true do s = s .. s end end,
    function() return (("x"):rep(60000):gsub(".", ("y"):rep(60000))) end,
    function() local t = {} for i = 1, 1e6 do t[i] = ("x"):rep(60000) end return table.concat(t) end,
    function() return ("%99d"):rep(1e7):format() end,
    function() return string.pack(("c2147483647"):rep(9), "") end,
    function() return string.pack("c" .. (1 << 40), "x") end,
    function() return utf8.char(table.unpack({}, 1, 1e8)) end,
    function() return utf8.char(0x7fffffff):rep(1 << 40) end,
    function() return load(function() return "local x = 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' " end) end,
    function() return os.date(("%c"):rep(1e6)) end,
  } do pcall(f) end
  local all = {}
  while true do all[#all + 1] = ("x"):rep(100000) .. #all end
end
