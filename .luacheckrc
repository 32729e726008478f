-- Settings of luacheck for lua/ and Tests/Lua.
std = "lua54"
max_line_length = 110
read_globals = { "img" }
globals = { "arg" }
files["lua/meta"] = { ignore = { ".*" }, max_line_length = false }
