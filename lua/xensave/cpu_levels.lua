--- Levels of CPU features by name, for xensave.cpuid: which features each generation added.
---
--- A named level takes away what came after it in its family, and nothing else: what a family does
--- not mention stays. Sources: x86-64 psABI (microarchitecture levels); the feature lists that Intel
--- and AMD publish with each generation.
local M = {}

-- Each step of a family has all of the steps before it.
local FAMILIES = {
  {
    { "x86-64-v1" },
    { "x86-64-v2", "cx16", "lahf_lm", "popcnt", "sse3", "ssse3", "sse4_1", "sse4_2" },
    { "x86-64-v3", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe" },
    { "x86-64-v4", "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl" },
  },
  {
    { "nehalem" },
    { "westmere", "aesni", "pclmulqdq" },
    { "sandybridge", "avx", "xsaveopt", "tsc_deadline" },
    { "ivybridge", "f16c", "rdrand", "fsgsbase", "smep", "erms" },
    { "haswell", "avx2", "bmi1", "bmi2", "fma", "movbe", "invpcid", "abm", "hle", "rtm" },
    { "broadwell", "adx", "rdseed", "smap", "3dnowprefetch" },
    {
      "skylake-server", "avx512f", "avx512dq", "avx512cd", "avx512bw", "avx512vl", "clflushopt",
      "clwb", "mpx", "pku", "xsavec", "xgetbv1", "xsaves",
    },
    { "cascadelake", "avx512_vnni" },
    {
      "icelake-server", "avx512_ifma", "avx512_vbmi", "avx512_vbmi2", "avx512_bitalg",
      "avx512_vpopcntdq", "gfni", "vaes", "vpclmulqdq", "sha", "umip", "rdpid", "la57", "fsrm",
    },
    {
      "sapphirerapids", "amx_tile", "amx_bf16", "amx_int8", "avx512_fp16", "avx512_bf16", "avx_vnni",
      "waitpkg", "cet_ss", "cet_ibt",
    },
  },
  {
    { "zen" },
    { "zen2", "clwb", "umip", "rdpid" },
    { "zen3", "vaes", "vpclmulqdq", "pku", "invpcid", "erms", "fsrm", "cet_ss" },
    {
      "zen4", "avx512f", "avx512dq", "avx512cd", "avx512bw", "avx512vl", "avx512_ifma",
      "avx512_vbmi", "avx512_vbmi2", "avx512_vnni", "avx512_bitalg", "avx512_vpopcntdq",
      "avx512_bf16", "gfni", "la57",
    },
  },
}

-- What is of no use, or refused by Xen, without another feature. Intel SDM volume 1, chapter 13;
-- Xen: xen/tools/gen-cpuid.py.
M.needs = {
  { "sse4_1", "sse4_2" },
  { "xsave", "xsaveopt", "xsavec", "xgetbv1", "xsaves", "avx", "mpx", "pku", "amx_tile", "lwp" },
  { "avx", "fma", "fma4", "xop", "f16c", "avx2", "vaes", "vpclmulqdq", "avx512f" },
  { "avx2", "avx_vnni", "avx_ifma", "avx_vnni_int8", "avx_ne_convert", "avx_vnni_int16", "avx512f" },
  {
    "avx512f", "avx512dq", "avx512_ifma", "avx512pf", "avx512er", "avx512cd", "avx512bw", "avx512vl",
    "avx512_4vnniw", "avx512_4fmaps", "avx512_vpopcntdq", "avx512_vnni",
  },
  {
    "avx512bw", "avx512_vbmi", "avx512_vbmi2", "avx512_bitalg", "avx512_bf16", "avx512_fp16",
    "avx512_vp2intersect",
  },
  { "amx_tile", "amx_bf16", "amx_int8", "amx_fp16", "amx_complex" },
}

--- The names of all levels.
function M.names()
  local names = {}
  for _, family in ipairs(FAMILIES) do
    for _, step in ipairs(family) do names[#names + 1] = step[1] end
  end
  return names
end

--- The features that a level of this name lacks, or nil.
function M.lacks(name)
  for _, family in ipairs(FAMILIES) do
    local lacks
    for _, step in ipairs(family) do
      if lacks then table.move(step, 2, #step, #lacks + 1, lacks) end
      if step[1] == name then lacks = {} end
    end
    if lacks then return M.with_dependents(lacks) end
  end
end

--- A list of features with all that depend on them.
function M.with_dependents(features)
  local seen, out = {}, {}
  local function add(name)
    if seen[name] then return end
    seen[name], out[#out + 1] = true, name
    for _, row in ipairs(M.needs) do
      if row[1] == name then
        for i = 2, #row do add(row[i]) end
      end
    end
  end
  for _, name in ipairs(features) do add(name) end
  return out
end

return M
