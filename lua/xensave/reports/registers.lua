#!/usr/bin/env xensave-lua
-- registers - the registers of every vCPU
--
-- usage: xensave-lua run registers IMAGE [--vcpu=N] [--json]
--
-- Of HVM and PVH guests they are in HVM_CONTEXT (entries CPU), of PV guests in X86_PV_VCPU_BASIC (of draft B:
-- VCPU_CONTEXT).
-- JSON has them as text in hexadecimal: they are unsigned values of 64 bits.
--
-- In a script: require "xensave.reports.registers".vcpus(img)[0].rip
local xs = require "xensave"

local M = {}

local general = {
  "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13",
  "r14", "r15", "rip", "rflags",
}
local control = { "cr0", "cr2", "cr3", "cr4" }

-- The registers that both kinds of guest have, in the order in which they are printed.
M.names = {}
for _, list in ipairs { general, control } do
  for _, name in ipairs(list) do M.names[#M.names + 1] = name end
end

-- Tables of registers, by vCPU from 0.
function M.vcpus(image)
  local out = {}
  if image.guest == "x86_hvm" then
    local context = image:first "HVM_CONTEXT"
    if not context then error("the image has no HVM_CONTEXT", 0) end
    for cpu in context:each "CPU" do
      local registers = {}
      for _, name in ipairs(M.names) do registers[name] = cpu[name] end
      out[cpu.instance] = registers
    end
    return out
  end
  local function take(rec)
    local registers, there = {}, {}
    for _, name in ipairs(rec.user_regs:names()) do there[name] = true end
    -- A 32-bit guest has eax and no r8.
    for _, name in ipairs(general) do
      local narrow = name:gsub("^r(%a)", "e%1")
      local found = there[name] and name or there[narrow] and narrow
      if found then registers[name] = rec.user_regs[found] end
    end
    for _, number in ipairs { 0, 2, 3, 4 } do
      registers["cr" .. number] = rec.ctrlreg[number + 1]
    end
    out[rec.vcpu_id] = registers
  end
  for _, type in ipairs { "X86_PV_VCPU_BASIC", "VCPU_CONTEXT" } do
    for rec in image:records(type) do take(rec) end
  end
  return out
end

if not xs.is_main() then return M end

local opts = xs.options {
  { name = "vcpu", type = "integer", help = "Only this vCPU." },
  { name = "json", type = "flag", help = "Print JSON." },
}
if not img then xs.usage "expected an image" end
local vcpus = M.vcpus(img)
if not next(vcpus) then error("the image has no vCPU with registers", 0) end
if opts.vcpu and not vcpus[opts.vcpu] then
  error(("the image has no vCPU %d"):format(opts.vcpu), 0)
end

if opts.json then
  local out = {}
  for number, registers in pairs(vcpus) do
    local texts = {}
    for name, value in pairs(registers) do texts[name] = xs.hex(value) end
    if not opts.vcpu or opts.vcpu == number then out["vcpu" .. number] = texts end
  end
  return print(xs.json(out))
end

for number, registers in xs.sorted(vcpus) do
  if not opts.vcpu or opts.vcpu == number then
    print("vcpu " .. number)
    local line = {}
    for _, name in ipairs(M.names) do
      if registers[name] then
        line[#line + 1] = ("%-6s %s"):format(name, xs.hex(registers[name], 16))
      end
      if #line == 3 then
        print("  " .. table.concat(line, "  "))
        line = {}
      end
    end
    if #line > 0 then print("  " .. table.concat(line, "  ")) end
  end
end
