// Processor generations by name: which features each of them has.
//
// Made by scripts/cpu-levels from libvirt's CPU map, the processors' manuals and the x86-64 psABI; to
// change a step, change it there.

extension CPUIDFeatures {
  /// All generations, each after the one that it is based on.
  static let steps: [Step] = [
    Step(
      "conroe", vendor: "GenuineIntel",
      source: "Conroe",
      adds: [
        "acpi", "apic", "clflush", "cmov", "cx8", "de", "fpu", "fxsr", "htt", "lahf_lm", "lm",
        "mca", "mce", "mmx", "msr", "mtrr", "nx", "pae", "pat", "pge", "pse", "pse36", "sep",
        "ss", "sse", "sse2", "sse3", "ssse3", "syscall", "tsc", "vme",
      ]),
    Step(
      "penryn", vendor: "GenuineIntel", after: "conroe",
      source: "Penryn",
      adds: [
        "cx16", "sse4_1",
      ]),
    Step(
      "nehalem", vendor: "GenuineIntel", after: "penryn",
      source: "Nehalem",
      adds: [
        "ibpb", "ibrsb", "l1d_flush", "popcnt", "rdtscp", "ssbd", "sse4_2", "stibp",
      ],
      optional: [
        "ibpb", "ibrsb", "l1d_flush", "ssbd", "stibp",
      ]),
    Step(
      "westmere", vendor: "GenuineIntel", after: "nehalem",
      source: "Westmere",
      adds: [
        "aesni", "page1gb", "pcid", "pclmulqdq",
      ]),
    Step(
      "sandybridge", vendor: "GenuineIntel", after: "westmere",
      source: "SandyBridge",
      adds: [
        "avx", "tsc_deadline", "x2apic", "xsave", "xsaveopt",
      ]),
    Step(
      "ivybridge", vendor: "GenuineIntel", after: "sandybridge",
      source: "IvyBridge",
      adds: [
        "erms", "f16c", "fsgsbase", "rdrand", "smep",
      ]),
    Step(
      "haswell", vendor: "GenuineIntel", after: "ivybridge",
      source: "Haswell",
      adds: [
        "abm", "avx2", "bmi1", "bmi2", "fma", "hle", "invpcid", "movbe", "rtm", "tsc_adjust",
      ],
      optional: [
        "hle", "rtm",
      ]),
    Step(
      "broadwell", vendor: "GenuineIntel", after: "haswell",
      source: "Broadwell",
      adds: [
        "3dnowprefetch", "adx", "rdseed", "smap",
      ]),
    Step(
      "skylake-client", vendor: "GenuineIntel", after: "broadwell",
      source: "Skylake-Client",
      adds: [
        "clflushopt", "mpx", "xgetbv1", "xsavec", "xsaves",
      ]),
    Step(
      "skylake-server", vendor: "GenuineIntel", after: "skylake-client",
      source: "Skylake-Server",
      adds: [
        "avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl", "clwb", "pku",
      ]),
    Step(
      "cascadelake", vendor: "GenuineIntel", after: "skylake-server",
      source: "Cascadelake-Server",
      adds: [
        "arch_caps", "avx512_vnni", "eibrs", "mds_no", "rdcl_no", "skip_l1dfl",
      ]),
    Step(
      "cooperlake", vendor: "GenuineIntel", after: "cascadelake",
      source: "Cooperlake",
      adds: [
        "avx512_bf16", "if_pschange_mc_no", "taa_no",
      ],
      drops: [
        "mpx"
      ]),
    Step(
      "icelake-server", vendor: "GenuineIntel", after: "cascadelake",
      source: "Icelake-Server",
      adds: [
        "avx512_bitalg", "avx512_ifma", "avx512_vbmi", "avx512_vbmi2", "avx512_vpopcntdq",
        "fsrm", "gfni", "if_pschange_mc_no", "la57", "rdpid", "sha", "taa_no", "umip", "vaes",
        "vpclmulqdq", "wbnoinvd",
      ],
      drops: [
        "mpx"
      ]),
    Step(
      "sapphirerapids", vendor: "GenuineIntel", after: "icelake-server",
      source: "SapphireRapids",
      adds: [
        "amx_bf16", "amx_int8", "amx_tile", "avx512_bf16", "avx512_fp16", "avx_vnni", "bld",
        "cet_ibt", "cet_ss", "cldemote", "fbsdp_no", "fsrcs", "fsrs", "fzrm", "its_no",
        "movdir64b", "movdiri", "psdp_no", "sbdr_ssdp_no", "serialize", "tsxldtrk", "xfd",
      ],
      optional: [
        "tsxldtrk"
      ]),
    Step(
      "graniterapids", vendor: "GenuineIntel", after: "sapphirerapids",
      source: "GraniteRapids",
      adds: [
        "amx_fp16", "mcdt_no", "pbrsb_no", "prefetchi",
      ]),
    Step(
      "diamondrapids", vendor: "GenuineIntel", after: "graniterapids",
      source: "DiamondRapids",
      adds: [
        "amx_complex", "avx_ifma", "avx_ne_convert", "avx_vnni_int8", "bhi_ctrl", "bhi_no",
        "cmpccxadd", "ddp_ctrl", "fdp_excp_only", "fred", "gds_no", "intel_psfd",
        "ipred_ctrl", "lam", "lkgs", "md_clear", "movrs", "no_fpu_sel", "rfds_no",
        "rrsba_ctrl", "wrmsrns",
      ],
      optional: [
        "bhi_ctrl", "ddp_ctrl", "intel_psfd", "ipred_ctrl", "rrsba_ctrl",
      ]),
    Step(
      "denverton", vendor: "GenuineIntel",
      source: "Denverton",
      adds: [
        "3dnowprefetch", "acpi", "aesni", "apic", "arch_caps", "clflush", "clflushopt",
        "cmov", "cx16", "cx8", "de", "erms", "fpu", "fsgsbase", "fxsr", "htt", "ibpb",
        "ibrsb", "l1d_flush", "lahf_lm", "lm", "mca", "mce", "mmx", "movbe", "mpx", "msr",
        "mtrr", "nx", "pae", "page1gb", "pat", "pclmulqdq", "pge", "popcnt", "pse", "pse36",
        "rdcl_no", "rdrand", "rdseed", "rdtscp", "sep", "sha", "skip_l1dfl", "smap", "smep",
        "ss", "ssbd", "sse", "sse2", "sse3", "sse4_1", "sse4_2", "ssse3", "stibp", "syscall",
        "tsc", "tsc_deadline", "vme", "x2apic", "xgetbv1", "xsave", "xsavec", "xsaveopt",
        "xsaves",
      ],
      optional: [
        "ibpb", "ibrsb", "l1d_flush", "ssbd", "stibp",
      ]),
    Step(
      "snowridge", vendor: "GenuineIntel", after: "denverton",
      source: "Snowridge",
      adds: [
        "cldemote", "clwb", "core_caps", "gfni", "movdir64b", "movdiri", "umip",
      ],
      drops: [
        "mpx"
      ]),
    Step(
      "sierraforest", vendor: "GenuineIntel", after: "snowridge",
      source: "SierraForest",
      adds: [
        "abm", "adx", "avx", "avx2", "avx_ifma", "avx_ne_convert", "avx_vnni",
        "avx_vnni_int8", "bhi_ctrl", "bld", "bmi1", "bmi2", "cet_ibt", "cet_ss", "cmpccxadd",
        "eibrs", "f16c", "fbsdp_no", "fma", "fsrm", "fsrs", "gds_no", "if_pschange_mc_no",
        "intel_psfd", "invpcid", "ipred_ctrl", "its_no", "lam", "mcdt_no", "mds_no",
        "pbrsb_no", "pcid", "pku", "psdp_no", "rdpid", "rfds_no", "rrsba_ctrl",
        "sbdr_ssdp_no", "serialize", "tsc_adjust", "vaes", "vpclmulqdq", "wbnoinvd",
      ],
      optional: [
        "bhi_ctrl", "intel_psfd", "ipred_ctrl", "rrsba_ctrl",
      ]),
    Step(
      "clearwaterforest", vendor: "GenuineIntel", after: "sierraforest",
      source: "ClearwaterForest",
      adds: [
        "avx_vnni_int16", "bhi_no", "ddp_ctrl", "prefetchi", "sha512", "sm3", "sm4",
      ],
      optional: [
        "ddp_ctrl"
      ]),
    Step(
      "opteron-g1", vendor: "AuthenticAMD",
      source: "Opteron_G1",
      adds: [
        "3dnow", "3dnowext", "apic", "clflush", "cmov", "cx8", "de", "ffxsr", "fpu", "fxsr",
        "htt", "lm", "mca", "mce", "mmx", "mmxext", "msr", "mtrr", "nx", "pae", "pat", "pge",
        "pse", "pse36", "sep", "sse", "sse2", "sse3", "syscall", "tsc", "vme",
      ]),
    Step(
      "opteron-g2", vendor: "AuthenticAMD", after: "opteron-g1",
      source: "Opteron_G2",
      adds: [
        "cr8_legacy", "cx16", "lahf_lm", "rdtscp", "svm",
      ]),
    Step(
      "opteron-g3", vendor: "AuthenticAMD", after: "opteron-g2",
      source: "Opteron_G3",
      adds: [
        "3dnowprefetch", "abm", "misalignsse", "page1gb", "popcnt", "sse4a",
      ]),
    Step(
      "opteron-g4", vendor: "AuthenticAMD", after: "opteron-g3",
      source: "Opteron_G4",
      adds: [
        "aesni", "avx", "dbext", "fma4", "ibpb", "pclmulqdq", "sse4_1", "sse4_2", "ssse3",
        "xop", "xsave", "xsaveopt",
      ],
      drops: [
        "3dnow", "3dnowext",
      ],
      optional: [
        "ibpb"
      ]),
    Step(
      "opteron-g5", vendor: "AuthenticAMD", after: "opteron-g4",
      source: "Opteron_G5",
      adds: [
        "bmi1", "f16c", "fma", "fsgsbase", "tbm",
      ]),
    Step(
      "zen", vendor: "AuthenticAMD", after: "opteron-g5",
      source: "EPYC",
      adds: [
        "adx", "avx2", "bmi2", "clflushopt", "clzero", "lfence_dispatch", "movbe", "osvw",
        "rdrand", "rdseed", "rstr_fp_err_ptrs", "sha", "smap", "smep", "xgetbv1", "xsavec",
        "xsaves",
      ],
      drops: [
        "fma4", "tbm", "xop",
      ]),
    Step(
      "dhyana", vendor: "HygonGenuine", after: "zen",
      source: "Dhyana",
      drops: [
        "aesni", "pclmulqdq", "sha",
      ]),
    Step(
      "zen2", vendor: "AuthenticAMD", after: "zen",
      source: "EPYC-Rome",
      adds: [
        "amd_ssbd", "amd_stibp", "clwb", "ibrs", "nscb", "rdpid", "stibp_always", "umip",
        "wbnoinvd",
      ],
      optional: [
        "amd_ssbd", "amd_stibp", "ibrs", "stibp_always",
      ]),
    Step(
      "zen3", vendor: "AuthenticAMD", after: "zen2",
      source: "EPYC-Milan",
      adds: [
        "erms", "fsrm", "invpcid", "no_nest_bp", "pcid", "pku", "psfd", "vaes", "vpclmulqdq",
      ],
      optional: [
        "psfd"
      ]),
    Step(
      "zen4", vendor: "AuthenticAMD", after: "zen3",
      source: "EPYC-Genoa",
      adds: [
        "auto_ibrs", "avx512_bf16", "avx512_bitalg", "avx512_ifma", "avx512_vbmi",
        "avx512_vbmi2", "avx512_vnni", "avx512_vpopcntdq", "avx512bw", "avx512cd", "avx512dq",
        "avx512f", "avx512vl", "fs_gs_ns", "gfni", "la57",
      ]),
    Step(
      "zen5", vendor: "AuthenticAMD", after: "zen4",
      source: "EPYC-Turin",
      adds: [
        "amd_prefetchi", "avx512_vp2intersect", "avx_vnni", "ibpb_brtype", "movdir64b",
        "movdiri", "sbpb", "srso_us_no",
      ],
      optional: [
        "ibpb_brtype", "sbpb",
      ]),
    Step(
      "x86-64-v1",
      source: "psABI",
      adds: [
        "cmov", "cx8", "fpu", "fxsr", "lm", "mmx", "sse", "sse2", "syscall",
      ]),
    Step(
      "x86-64-v2", after: "x86-64-v1",
      source: "psABI",
      adds: [
        "cx16", "lahf_lm", "popcnt", "sse3", "sse4_1", "sse4_2", "ssse3",
      ]),
    Step(
      "x86-64-v3", after: "x86-64-v2",
      source: "psABI",
      adds: [
        "abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "osxsave",
      ]),
    Step(
      "x86-64-v4", after: "x86-64-v3",
      source: "psABI",
      adds: [
        "avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl",
      ]),
  ]
}
