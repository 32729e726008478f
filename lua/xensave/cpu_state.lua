--- What vCPUs have turned on of the processor, held against a CPUID policy, for xensave.cpuid.
local xs = require "xensave"

local M = {}

-- State of a vCPU that Xen refuses where the policy has none of the features. Xen:
-- xen/arch/x86/hvm/hvm.c, hvm_cr4_guest_valid_bits and hvm_efer_valid; msr.c, guest_wrmsr.
local CR4 = {
  { 0, "VME", "vme" }, { 1, "PVI", "vme" }, { 2, "TSD", "tsc" }, { 3, "DE", "de" },
  { 4, "PSE", "pse" }, { 5, "PAE", "pae" }, { 6, "MCE", "mce", "mca" }, { 7, "PGE", "pge" },
  { 9, "OSFXSR", "fxsr" }, { 10, "OSXMMEXCPT", "sse" }, { 11, "UMIP", "umip" },
  { 13, "VMXE", "vmx" }, { 16, "FSGSBASE", "fsgsbase" }, { 17, "PCIDE", "pcid" },
  { 18, "OSXSAVE", "xsave" }, { 20, "SMEP", "smep" }, { 21, "SMAP", "smap" },
  { 22, "PKE", "pku" }, { 23, "CET", "cet_ss", "cet_ibt" }, { 24, "PKS", "pks" },
  { 27, "LASS", "lass" },
}
local EFER = {
  { 0, "SCE", "syscall" }, { 8, "LME", "lm" }, { 10, "LMA", "lm" }, { 11, "NXE", "nx" },
  { 12, "SVME", "svm" }, { 14, "FFXSE", "ffxsr" }, { 21, "AIBRSE", "auto_ibrs" },
}
local MSRS = {
  [0x48] = { "SPEC_CTRL", "ibrsb", "ibrs" }, [0x6e1] = { "PKRS", "pks" },
  [0xd90] = { "BNDCFGS", "mpx" }, [0xda0] = { "XSS", "xsaves" },
  [0xc0000103] = { "TSC_AUX", "rdtscp", "rdpid" }, [0xc001011f] = { "VIRT_SPEC_CTRL", "virt_ssbd" },
  [0xc0011027] = { "DR0_ADDRESS_MASK", "dbext" }, [0xc0011019] = { "DR1_ADDRESS_MASK", "dbext" },
  [0xc001101a] = { "DR2_ADDRESS_MASK", "dbext" }, [0xc001101b] = { "DR3_ADDRESS_MASK", "dbext" },
}
-- Bits of SPEC_CTRL that need more than the register.
local SPEC_CTRL = {
  { 2, "SSBD", "ssbd", "amd_ssbd" }, { 3, "IPRED_DIS_U", "ipred_ctrl" },
  { 4, "IPRED_DIS_S", "ipred_ctrl" }, { 5, "RRSBA_DIS_U", "rrsba_ctrl" },
  { 6, "RRSBA_DIS_S", "rrsba_ctrl" }, { 7, "PSFD", "intel_psfd", "psfd" },
  { 10, "BHI_DIS_S", "bhi_ctrl" },
}

-- The leaf of a policy record that holds a feature's bit, or nil.
local function holder(rec, bit)
  for leaf in rec:each() do
    if leaf.leaf == bit.leaf and (leaf.subleaf == bit.subleaf or leaf.subleaf == 0xffffffff) then
      return leaf
    end
  end
end

-- Whether a policy record lacks all of these features. What it does not mention it does not lack:
-- that is for the destination to say.
local function lacks_all(rec, features, first)
  for i = first, #features do
    local ok, bit = pcall(xs.cpuid.bit, features[i])
    local leaf = ok and bit.leaf and holder(rec, bit)
    if not leaf or leaf[bit.register] & bit.mask ~= 0 then return false end
  end
  return true
end

local function add_bits(out, rec, value, rows, where)
  for _, row in ipairs(rows) do
    if value & (1 << row[1]) ~= 0 and lacks_all(rec, row, 3) then
      out[#out + 1] = where .. row[2]
    end
  end
end

local function add_msr(out, rec, index, value, vcpu)
  local row = MSRS[index]
  if not row then return end
  if lacks_all(rec, row, 2) then
    out[#out + 1] = ("vCPU %d: %s"):format(vcpu, row[1])
  elseif index == 0x48 then
    add_bits(out, rec, value, SPEC_CTRL, ("vCPU %d: SPEC_CTRL."):format(vcpu))
  end
end

--- The state that vCPUs have in use and that a policy record lacks the features for: a list of
--- texts such as "vCPU 0: CR4.SMEP". `state` is HVM_CONTEXT or X86_PV_VCPU_MSRS; others have none.
function M.in_use(state, policy)
  local out = {}
  if state.type == "HVM_CONTEXT" then
    for cpu in state:each "CPU" do
      add_bits(out, policy, cpu.cr4, CR4, ("vCPU %d: CR4."):format(cpu.instance))
      add_bits(out, policy, cpu.msr_efer, EFER, ("vCPU %d: EFER."):format(cpu.instance))
    end
    for entry in state:each "CPU_MSR" do
      for i = 0, entry.count - 1 do
        add_msr(out, policy, entry.msr[i].index, entry.msr[i].val, entry.instance)
      end
    end
  elseif state.type == "X86_PV_VCPU_MSRS" then
    for msr in state:each() do add_msr(out, policy, msr.index, msr.value, state.vcpu_id) end
  end
  return out
end

return M
