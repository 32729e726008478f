-- What verify, compat and a simulated restore say of images.
--
--   xensave-lua verdicts.lua ANY-IMAGE RELEASE GUEST IMAGE...
--
-- Prints one line an image: its path; ok or bad, and the errors' rules; yes or no, and the first reason
-- against; ok or bad, and the error. Fields are apart by tabs.
local xs = require "xensave"
local release, guest = arg[1], arg[2]

local function line(...)
  local words = {}
  for _, word in ipairs { ... } do words[#words + 1] = (word:gsub("[%c]", " ")) end
  print(table.concat(words, "\t"))
end

for index = 3, #arg do
  local path = arg[index]
  local verification, failure = xs.verify(path, { pages = true })
  local rules, seen = {}, {}
  for _, finding in ipairs(verification or {}) do
    if finding.severity == "error" and not seen[finding.rule] then
      seen[finding.rule] = true
      rules[#rules + 1] = finding.rule
    end
  end
  local image, unreadable = xs.open(path)
  local fits, against = false, tostring(unreadable)
  if image then
    local ok, answer, reasons = pcall(image.compat, image, release)
    fits, against = ok and answer, ok and "" or tostring(answer)
    for _, reason in ipairs(ok and reasons or {}) do
      if reason.severity == "error" and against == "" then
        against = reason.subject .. ": " .. reason.text
      end
    end
    image:close()
  end
  local domain = xs.sim { blank = true, guest = guest, pages = guest == "x86_hvm" and 0x100000 or 0x1000 }
  local ok, restored, error = pcall(domain.restore, domain, path)
  local is_restored = ok and restored ~= nil
  line(path, verification and verification.ok and "ok" or "bad",
    verification and table.concat(rules, ",") or tostring(failure),
    fits and "yes" or "no", against,
    is_restored and "ok" or "bad", is_restored and "" or tostring(ok and error or restored))
  domain:close()
end
