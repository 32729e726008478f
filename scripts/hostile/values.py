# Rows 7 and 8: page entries, padding and reserved fields.

import xenwire as wire

from .base import (
    HVM_PAGES, HVM_PFNS, PARAMS, bad, good, hvm, libxl, pv, warn, xl)


def cases():
    yield from entry_cases()
    yield from reserved_cases()


def with_entry(entry, has_data=True):
    """An image whose PAGE_DATA has one entry more."""
    entries = wire.page_entries(HVM_PFNS) + wire.u64(entry)
    pages = HVM_PAGES + bytes(wire.PAGE if has_data else 0)
    return hvm().record("PAGE_DATA", wire.page_data(entries, pages))


def entry_cases():
    for kind in (5, 6, 7, 8):
        for has_data in (False, True):
            name = f"07-type-{kind}-{'with' if has_data else 'without'}-page.libxc"
            yield bad(name, "PAGE_DATA", with_entry(kind << 60 | 4, has_data))
    # Only the converter of Xen 4.2 to 4.5 streams writes XALLOC.
    yield warn("07-type-e.libxc", "XALLOC", with_entry(wire.XALLOC << 60 | 4, False))
    for kind in (wire.BROKEN, wire.XTAB):
        yield good(f"07-type-{kind:x}.libxc", with_entry(kind << 60 | 4, False), "streams.md 4.5")
    for bit in (52, 59):
        yield warn(f"07-reserved-bit-{bit}.libxc", "PAGE_DATA", with_entry(1 << bit | 4))
    yield bad("07-pfn-2-to-40.libxc", "PAGE_DATA", with_entry(1 << 40))
    yield bad("07-pfn-2-to-52-less-1.libxc", "PAGE_DATA", with_entry((1 << 52) - 1), "2, 6.7")
    yield warn("07-duplicate-pfn.libxc", "PAGE_DATA", with_entry(3), "6.7; 2 rejects")
    again = wire.record(wire.PAGE_DATA, wire.page_data(wire.page_entries([3]), bytes(wire.PAGE)))
    yield good("07-same-pfn-in-next-record.libxc", hvm().after("PAGE_DATA", again),
               "streams.md 4.5")
    beyond = wire.page_data(wire.page_entries([8]), bytes(wire.PAGE))
    yield bad("07-pv-pfn-beyond-end.libxc", "PAGE_DATA", pv().after(
        "PAGE_DATA", wire.record(wire.PAGE_DATA, beyond)), "streams.md P5")


def reserved_cases():
    entries = wire.page_entries(HVM_PFNS)
    hvm_bodies = {
        "PAGE_DATA": wire.page_data(entries, HVM_PAGES, reserved=1),
        "X86_TSC_INFO": wire.tsc_info(reserved=1),
        "HVM_PARAMS": wire.hvm_params(PARAMS, reserved=0x80000000),
    }
    pv_bodies = {
        "X86_PV_INFO": bytes([8, 4, 1]) + bytes(5),
        "X86_PV_VCPU_BASIC": wire.vcpu(wire.vcpu_basic(4, 0), reserved=1),
        "X86_PV_VCPU_EXTENDED": wire.vcpu(wire.vcpu_extended(0), reserved=1),
        "X86_PV_VCPU_XSAVE": wire.vcpu(wire.vcpu_xsave(), reserved=1),
    }
    for image, bodies in ((hvm(), hvm_bodies), (pv(), pv_bodies)):
        for name, body in bodies.items():
            yield warn(f"08-{name.lower()}-reserved.libxc", name, image.record(name, body))
    short = wire.vcpu(wire.vcpu_extended(0)[:61])
    yield good("08-padding-zero.libxc", pv().record("X86_PV_VCPU_EXTENDED", short))
    yield warn("08-padding.libxc", "padding", pv().record(
        "X86_PV_VCPU_EXTENDED", short, padding=b"\1"))
    yield warn("08-padding.libxl", "padding", libxl().record(
        "EMULATOR_CONTEXT", wire.emulator(wire.qemu_state()), padding=b"\xff"))
