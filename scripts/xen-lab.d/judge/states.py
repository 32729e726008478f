"""Where fields lie in the state of Xen's guests, and the values that are worth trying.

From xen/include/public/arch-x86/hvm/save.h, xen-x86_64.h and public/hvm/params.h.
"""
CONTEXT_NAMES = {
    0: "END", 1: "HEADER", 2: "CPU", 3: "PIC", 4: "IOAPIC", 5: "LAPIC", 6: "LAPIC_REGS", 7: "PCI_IRQ",
    8: "ISA_IRQ", 9: "PCI_LINK", 10: "PIT", 11: "RTC", 12: "HPET", 13: "PMTIMER", 14: "MTRR",
    15: "VIRIDIAN_DOMAIN", 16: "CPU_XSAVE", 17: "VIRIDIAN_VCPU", 18: "VMCE_VCPU", 19: "TSC_ADJUST",
    20: "CPU_MSR",
}
# Of those that the tiny guests may lack.
CONTEXT_LENGTHS = {3: 8, 4: 400, 7: 16, 8: 8, 9: 8, 10: 56, 11: 24, 12: 1048, 13: 8, 15: 32, 16: 600,
                   17: 216, 18: 32, 19: 8, 20: 24}
PARAM_COUNT = 39

HOLE, NEGATIVE = 0x0000_8000_0000_0000, 0xFFFF_8000_0000_0000
ADDRESSES = (HOLE, HOLE - 1, NEGATIVE, NEGATIVE - 1, 0xFFFF_8800_0000_0000, 1 << 63, 0xFFFF_8300_0000_0000)


def row(name, offset, size=8, values=()):
    return name, offset, size, values


CPU_FIELDS = (
    [row(name, 512 + 8 * i) for i, name in enumerate(
        "rax rbx rcx rdx rbp rsi rdi rsp r8 r9 r10 r11 r12 r13 r14 r15".split())][::4]
    + [row("rip", 640, 8, ADDRESSES), row("rflags", 648, 8, (0, 2, 0x200, 1 << 17, 1 << 32)),
       row("cr2", 664)]
    + 3 * [row("cr0", 656, 8, (0, 0x10, 0x11, 1, 0x80000011, 0x60000010, 0x80000010, 0x31, 0x40011))]
    + 2 * [row("cr3", 672, 8, (1 << 36, 1 << 48, 1 << 52, 0x1000, 1 << 40))]
    + 3 * [row("cr4", 680, 8, [1 << bit for bit in range(28)])]
    + 3 * [row("efer", 992, 8, [1 << bit for bit in range(16)] + [0x500, 0x501, 0xD01])]
    + [row(f"dr{number}", 688 + 8 * number, 8, ADDRESSES) for number in range(4)]
    + [row("dr6", 720, 8, (1 << 32, 0xFFFF0FF0, 0)), row("dr7", 728, 8, (1 << 32, 0x400, 0))]
    + [row(f"{name}_sel", 736 + 4 * i, 4) for i, name in enumerate(
        "cs ds es fs gs ss tr ldtr".split())]
    + [row(f"limit[{i}]", 768 + 4 * i, 4) for i in range(10)][::3]
    + [row(f"base[{i}]", 808 + 8 * i, 8, ADDRESSES) for i in range(10)][::2]
    + [row(f"{name}_arbytes", 888 + 4 * i, 4, (0, 0x10000, 0xC9B, 0x8B, 0x82)) for i, name in enumerate(
        "cs ds es fs gs ss tr ldtr".split())]
    + [row("sysenter_cs", 920), row("sysenter_esp", 928, 8, ADDRESSES),
       row("sysenter_eip", 936, 8, ADDRESSES), row("shadow_gs", 944, 8, ADDRESSES),
       row("msr_flags", 952), row("msr_lstar", 960, 8, ADDRESSES), row("msr_star", 968),
       row("msr_cstar", 976, 8, ADDRESSES), row("msr_syscall_mask", 984),
       row("tsc_aux", 1000, 8, (1 << 32, 1)), row("tsc", 1008)]
    + 2 * [row("pending_event", 1016, 4, (0x80000000, 0x80000100, 0x80000300, 0x80000700, 0x80001000,
                                          0x80000B0D, 0x80000202, 0x80000306))]
    + [row("error_code", 1020, 4), row("flags", 1024, 4, (0, 2, 3, 1 << 31)), row("pad0", 1028, 4),
       row("fpu mxcsr", 24, 4, (0, 0xFFFFFFFF)), row("fpu fcw", 0, 2), row("fpu byte", 300, 1)])

# (register, offset, bit, (leaf, subleaf, register of it, bit) that it needs)
STATE_BITS = [
    ("cr4", 680, 0, (1, 0, 3, 1)), ("cr4", 680, 2, (1, 0, 3, 4)), ("cr4", 680, 3, (1, 0, 3, 2)),
    ("cr4", 680, 4, (1, 0, 3, 3)), ("cr4", 680, 5, (1, 0, 3, 6)), ("cr4", 680, 6, (1, 0, 3, 7)),
    ("cr4", 680, 7, (1, 0, 3, 13)), ("cr4", 680, 8, None), ("cr4", 680, 9, (1, 0, 3, 24)),
    ("cr4", 680, 10, (1, 0, 3, 25)), ("cr4", 680, 11, (7, 0, 2, 2)), ("cr4", 680, 12, (7, 0, 2, 16)),
    ("cr4", 680, 13, (1, 0, 2, 5)), ("cr4", 680, 16, (7, 0, 1, 0)), ("cr4", 680, 17, (1, 0, 2, 17)),
    ("cr4", 680, 18, (1, 0, 2, 26)), ("cr4", 680, 20, (7, 0, 1, 7)), ("cr4", 680, 21, (7, 0, 1, 20)),
    ("cr4", 680, 22, (7, 0, 2, 3)), ("cr4", 680, 23, (7, 0, 2, 7)), ("cr4", 680, 24, (7, 0, 2, 31)),
    ("efer", 992, 0, (0x80000001, 0, 3, 11)), ("efer", 992, 8, (0x80000001, 0, 3, 29)),
    ("efer", 992, 11, (0x80000001, 0, 3, 20)), ("efer", 992, 12, (0x80000001, 0, 2, 2)),
    ("efer", 992, 13, None), ("efer", 992, 14, (0x80000001, 0, 3, 25)),
    ("efer", 992, 15, None), ("efer", 992, 21, (0x80000021, 0, 0, 8)),
]

XSAVE_FIELDS = [("xcr0", 8, 8), ("xcr0_accum", 16, 8), ("xstate_bv", 536, 8), ("xcomp_bv", 544, 8),
                ("reserved", 552, 8), ("reserved", 592, 8), ("xfeature_mask", 0, 8), ("mxcsr", 48, 4)]

PV_FIELDS = (
    2 * [row("flags", 512, 8, (0, 1, 4, 0x24, 0x20, 0x25, 1 << 32))]
    + [row("rip", 648, 8, ADDRESSES), row("rsp", 672, 8, ADDRESSES), row("rflags", 664, 8, (0, 0x3000, 0x200, 1 << 17)),
       row("cs", 656, 2, (0, 0xE033, 0xE030, 0xE008)), row("ss", 680, 2, (0, 0xE02B, 0xE010)),
       row("ds", 696, 2), row("fs", 704, 2), row("gs", 712, 2), row("es", 688, 2),
       row("saved_upcall_mask", 660, 1), row("error_code", 640, 4), row("entry_vector", 644, 4, (0x100,)),
       row("rax", 600), row("rdx", 616, 8, (0, 0x57, 0x5C, 0x10, 0x3FF, 0x400, 1 << 52))]
    + 2 * [row("cr3", 5008, 8, (0, 0x10 << 12, 0x5B << 12, 0x400 << 12, 0x57 << 12, 1 << 52))]
    + 2 * [row("user cr3", 4992, 8, (1, 0x5C << 12 | 1, 0x5C001, 0x10 << 12 | 1, 0x400 << 12 | 1, 0x5C000))]
    + [row("cr0", 4984), row("cr4", 5016, 8, (1 << 5, 0x20, 0x660, 1 << 20, 1 << 2, 1 << 18, 1 << 16)),
       row("trap[0].vector", 720, 1), row("trap[0].flags", 721, 1), row("trap[3].cs", 722 + 48, 2),
       row("trap[0].address", 728, 8, ADDRESSES), row("trap[200].address", 728 + 3200, 8, ADDRESSES),
       row("trap[200].cs", 722 + 3200, 2, (0xE008, 0xE033, 1)),
       row("ldt_base", 4816, 8, (1, 0x1000, HOLE, 0xFFFF_8300_0000_0000)),
       row("ldt_ents", 4824, 8, (1, 8192, 8193)), row("ldt_ents", 4824, 8, (1, 512)),
       row("gdt_frames[0]", 4832, 8, (0, 0x10, 0x5C, 0x400)), row("gdt_frames[1]", 4840),
       row("gdt_ents", 4960, 8, (0, 1, 511, 512, 513, 7168, 7169)),
       row("gdt_ents", 4960, 8, (1, 7168)),
       row("kernel_ss", 4968, 8, (0, 0xE02B, 0xE010, 3)), row("kernel_sp", 4976, 8, ADDRESSES)]
    + [row(f"debugreg[{i}]", 5048 + 8 * i, 8, ADDRESSES) for i in (0, 3)]
    + [row("debugreg[6]", 5096, 8, (1 << 32, 0xFFFF0FF0)), row("debugreg[7]", 5104, 8, (1 << 32, 0x400, 1, 0x2000)),
       row("debugreg[4]", 5080), row("debugreg[5]", 5088),
       row("event_callback_eip", 5112, 8, ADDRESSES), row("failsafe_callback_eip", 5120, 8, ADDRESSES),
       row("syscall_callback_eip", 5128, 8, ADDRESSES),
       row("vm_assist", 5136, 8, [1 << bit for bit in (0, 1, 2, 3, 4, 5, 6, 31, 32, 33)]),
       row("fs_base", 5144, 8, ADDRESSES), row("gs_base_kernel", 5152, 8, ADDRESSES),
       row("gs_base_user", 5160, 8, ADDRESSES), row("fpu mxcsr", 24, 4, (0, 0xFFFFFFFF, 0x1F80)),
       row("fpu fcw", 0, 2), row("fpu byte", 400, 1)])
