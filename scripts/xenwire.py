# The wire formats in Python, for the scripts that make images. Knows nothing of the Swift code and
# must stay so: its images test that code.
"""Builders of xl, libxl and libxc streams; see docs/specs in Xen and public/hvm/save.h.

All integers are little-endian but for the two stream headers. Nothing is checked: what is wrong is
written as wrong as it was asked for.
"""

import json
import re
import struct

PAGE = 4096

PV, HVM = 1, 2

# libxc records
END, PAGE_DATA, X86_PV_INFO, X86_PV_P2M_FRAMES = 0x00, 0x01, 0x02, 0x03
X86_PV_VCPU_BASIC, X86_PV_VCPU_EXTENDED, X86_PV_VCPU_XSAVE, SHARED_INFO = 0x04, 0x05, 0x06, 0x07
X86_TSC_INFO, HVM_CONTEXT, HVM_PARAMS, TOOLSTACK = 0x08, 0x09, 0x0A, 0x0B
X86_PV_VCPU_MSRS, VERIFY, CHECKPOINT, CHECKPOINT_DIRTY_PFN_LIST = 0x0C, 0x0D, 0x0E, 0x0F
STATIC_DATA_END, X86_CPUID_POLICY, X86_MSR_POLICY = 0x10, 0x11, 0x12
OPTIONAL = 0x80000000

# libxl records
LIBXC_CONTEXT, EMULATOR_XENSTORE_DATA, EMULATOR_CONTEXT = 0x01, 0x02, 0x03
CHECKPOINT_END, CHECKPOINT_STATE = 0x04, 0x05

# page types
NOTAB, L1TAB, L2TAB, L3TAB, L4TAB, PINNED = 0, 1, 2, 3, 4, 8
BROKEN, XALLOC, XTAB = 0xD, 0xE, 0xF

# HVM_PARAMS indices
STORE_PFN, IOREQ_PFN, BUFIOREQ_PFN, IDENT_PT, CONSOLE_PFN = 1, 5, 6, 12, 17


def u32(*values):
    return struct.pack(f"<{len(values)}I", *values)


def u64(*values):
    return struct.pack(f"<{len(values)}Q", *values)


def padded(body, byte=b"\0"):
    return body + byte * (-len(body) % 8)


# Containers and headers


def config_text(config):
    """The JSON that libxl writes: yajl's beautifier, four spaces, a blank line in what is empty."""
    text = json.dumps(config, indent=4, ensure_ascii=False)
    return re.sub(r"(?m)^( *)(.*)\{\}", r"\1\2{\n\n\1}", text) + "\n"


def domain_config(kind, name, memory_kib, vcpus=1, uuid="00000000-0000-4000-8000-000000000000"):
    guest = {HVM: "hvm", PV: "pv"}[kind]
    return {
        "c_info": {"type": guest, "name": name, "uuid": uuid, "run_hotplug_scripts": "True"},
        "b_info": {
            "max_vcpus": vcpus, "avail_vcpus": list(range(vcpus)), "max_memkb": memory_kib,
            "target_memkb": memory_kib, "video_memkb": 8192 if kind == HVM else 0,
            "sched_params": {"sched": "credit2", "weight": 256, "cap": 0}, "claim_mode": "True",
            f"type.{guest}": {}, "arch_arm": {}, "arch_x86": {"msr_relaxed": "False"},
        },
        "on_reboot": "restart", "on_crash": "preserve", "on_soft_reset": "soft_reset",
    }


XL_MAGIC = b"Xen saved domain, xl format\n \0 \r"


def xl_header(config, mandatory=3, optional=0, byteorder=0x01020304, data=None, data_length=None):
    """`config` is what the length counts, with its NUL; `data` replaces length and config."""
    data = u32(len(config)) + config if data is None else data
    data_length = len(data) if data_length is None else data_length
    return XL_MAGIC + u32(byteorder, mandatory, optional, data_length) + data


def libxl_header(ident=b"LibxlFmt", version=2, options=0):
    return ident + struct.pack(">II", version, options)


def image_header(marker=b"\xff" * 8, ident=b"XENF", version=3, options=0, reserved=(0, 0)):
    return marker + ident + struct.pack(">IHHI", version, options, *reserved)


def domain_header(kind, page_shift=12, reserved=0, xen=(4, 17)):
    return struct.pack("<IHHII", kind, page_shift, reserved, *xen)


def record(number, body=b"", length=None, padding=b"\0"):
    """One record of either layer; `length` lies about the body, `padding` fills it up."""
    return u32(number, len(body) if length is None else length) + padded(body, padding)


# Bodies that both guests have


def page_entries(pfns, kind=NOTAB):
    return u64(*(pfn | kind << 60 for pfn in pfns))


def page_data(entries, pages=b"", count=None, reserved=0):
    """`entries` and `pages` are bytes."""
    return u32(len(entries) // 8 if count is None else count, reserved) + entries + pages


def tsc_info(reserved=0):
    return struct.pack("<IIQII", 0, 2_596_097, 79_333_777_815, 1, reserved)


def cpuid_policy():
    """Leaves 0 to 0xd, the hypervisor's and the extended ones, as for a plain AMD machine."""
    none = 0xFFFFFFFF
    vendor = struct.unpack("<3I", b"AuthcAMDenti")
    leaves = [(0, none, 0xD, *vendor), (1, none, 0x800F12, 0x10800, 0xF6F83203, 0x178BFBFF)]
    leaves += [(leaf, none, 0, 0, 0, 0) for leaf in (2, 3)] + [(4, 0, 0, 0, 0, 0)]
    leaves += [(leaf, none, 0, 0, 0, 0) for leaf in (5, 6)] + [(7, 0, 0, 0x9C01A9, 0, 0)]
    leaves += [(leaf, none, 0, 0, 0, 0) for leaf in (8, 9, 10)] + [(11, 0, 0, 0, 0, 0)]
    leaves += [(12, none, 0, 0, 0, 0), (13, 0, 3, 576, 576, 0), (13, 1, 0, 0, 0, 0)]
    leaves += [(0x40000000, none, 0, 0, 0, 0), (0x40000100, none, 0, 0, 0, 0)]
    leaves += [(0x80000000, none, 0x80000008, *vendor)]
    leaves += [(0x80000000 + leaf, none, 0, 0, 0, 0) for leaf in range(1, 8)]
    leaves += [(0x80000008, none, 0x3030, 0, 0, 0)]
    return b"".join(u32(*leaf) for leaf in leaves)


def msr_policy():
    return u32(0xCE, 0) + u64(1 << 31)


# HVM


def hvm_entry(number, instance, body, length=None):
    return struct.pack("<HHI", number, instance, len(body) if length is None else length) + body


def hvm_header(magic=0x54381286, version=1):
    return hvm_entry(1, 0, u32(magic, version) + u64(2**64 - 1) + u32(0x800F12, 0))


def fxsave():
    area = bytearray(512)
    struct.pack_into("<H", area, 0, 0x37F)
    struct.pack_into("<I", area, 24, 0x1F80)
    return bytes(area)


def hvm_cpu(vcpu):
    """A CPU in 32-bit protected mode with flat segments, at 1 MiB, interrupts off."""
    body = bytearray(fxsave() + bytes(520))
    for offset, value in ((640, 0x100000), (648, 2), (656, 0x11), (720, 0xFFFF0FF0), (728, 0x400)):
        struct.pack_into("<Q", body, offset, value)
    for segment, (selector, rights) in enumerate([(8, 0xC9B)] + [(16, 0xC93)] * 5):
        struct.pack_into("<I", body, 736 + 4 * segment, selector)
        struct.pack_into("<I", body, 768 + 4 * segment, 0xFFFFFFFF)
        struct.pack_into("<I", body, 888 + 4 * segment, rights)
    struct.pack_into("<I", body, 792, 0x67)
    struct.pack_into("<II", body, 912, 0x8B, 0x10082)
    struct.pack_into("<I", body, 1024, 1)
    return hvm_entry(2, vcpu, bytes(body))


def hvm_end():
    return hvm_entry(0, 0, b"")


def hvm_context(vcpus=1):
    cpus = b"".join(hvm_cpu(vcpu) for vcpu in range(vcpus))
    adjusts = b"".join(hvm_entry(19, vcpu, u64(0)) for vcpu in range(vcpus))
    return hvm_header() + cpus + adjusts + hvm_end()


def hvm_params(pairs, count=None, reserved=0):
    count = len(pairs) if count is None else count
    return u32(count, reserved) + b"".join(u64(*pair) for pair in pairs)


def qemu_state():
    """A QEVM stream, version 3, without any device."""
    return b"QEVM" + struct.pack(">I", 3) + b"\0"


def emulator(body=b"", number=2, index=0):
    return u32(number, index) + body


# PV, 64-bit


def p2m_frames(pfns, start, end):
    return u32(start, end) + u64(*pfns)


def vcpu(body, number=0, reserved=0):
    return u32(number, reserved) + body


def vcpu_basic(start_info_pfn, cr3_pfn):
    """vcpu_guest_context of a 64-bit guest, 5168 bytes."""
    body = bytearray(fxsave() + bytes(4656))
    struct.pack_into("<Q", body, 512, 1 << 2 | 1 << 5)  # in kernel, online
    struct.pack_into("<Q", body, 616, start_info_pfn)  # edx
    struct.pack_into("<Q", body, 5008, cr3_pfn << 12)
    return bytes(body)


def vcpu_extended(number):
    return u32(number, 64) + bytes(56)


def vcpu_xsave():
    return u64(3, 3) + fxsave() + u64(3) + bytes(56)


def shared_info(page_count):
    page = bytearray(PAGE)
    struct.pack_into("<Q", page, 3088, page_count)
    return bytes(page)


def start_info(page_count, store_pfn, console_pfn, cr3_pfn):
    page = bytearray(PAGE)
    struct.pack_into("<32sQ", page, 0, b"xen-3.0-x86_64", page_count)
    for offset, value in ((56, store_pfn), (72, console_pfn), (96, 4)):
        struct.pack_into("<Q", page, offset, value)
    struct.pack_into("<Q", page, 88, 0xFFFF800000000000 | cr3_pfn << 12)
    return bytes(page)
