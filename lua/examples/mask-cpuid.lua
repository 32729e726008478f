#!/usr/bin/env xensave-lua
-- Take features away from what CPUID tells the guest, so that it restores on an older host.
-- usage: xensave-lua mask-cpuid.lua IMAGE LEAF[.SUBLEAF]:REGISTER:MASK... (-o OUT | ...)
-- Clears the bits of MASK, for example 7.0:b:0x20 (AVX2) or 0x80000001:d:0x08000000 (RDTSCP).
local xs = require "xensave"

local wanted = {}
for _, word in ipairs(arg) do
  local leaf, subleaf, register, mask = word:match "^(%w+)%.?(%w*):([abcd]):(%w+)$"
  leaf, mask = tonumber(leaf), tonumber(mask)
  if not leaf or not mask then
    xs.usage("expected LEAF[.SUBLEAF]:REGISTER:MASK, got %s", word)
  end
  wanted[#wanted + 1] = {
    leaf = leaf, subleaf = subleaf ~= "" and tonumber(subleaf) or nil,
    register = register, mask = mask,
  }
end
if #wanted == 0 then xs.usage "expected at least one LEAF:REGISTER:MASK" end

local has_policy = false
return {
  name = "mask-cpuid",
  X86_CPUID_POLICY = function(rec)
    has_policy = true
    for _, w in ipairs(wanted) do
      for leaf in rec:each() do
        if leaf.leaf == w.leaf and (not w.subleaf or leaf.subleaf == w.subleaf) then
          leaf[w.register] = leaf[w.register] & ~w.mask & 0xffffffff
        end
      end
    end
  end,
  finish = function()
    if not has_policy then error("the image has no CPUID policy (streams of version 2 have none)", 0) end
  end,
}
