-- Chunks that nest deeply.
local function attack()
  for _, piece in ipairs { { "(", ")" }, { "{", "}" }, { "not ", "" }, { "function() return ", " end" },
    { "do ", " end" }, { "a[", "]" }, { "f(", ")" }, { "- ", "" }, { "1 .. ", "" } } do
    local open, close = piece[1], piece[2]
    local ok = load("return " .. open:rep(200000) .. "1" .. close:rep(200000))
    ok = ok or load(open:rep(200000) .. close:rep(200000))
    assert(open == "- " or not ok or true)
  end
  error("refused")
end
