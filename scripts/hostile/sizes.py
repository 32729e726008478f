# Rows 4 and 6: lengths and counts, alone and against each other.

import xenwire as wire

from .base import HVM_PAGES, HVM_PFNS, PARAMS, bad, good, hvm, libxl, note, pv, warn

LENGTHS = (0x7FFFFFFF, 0x80000000, *range(0xFFFFFFF8, 0x100000000))


def cases():
    for length in (0x08000001, *LENGTHS):
        lying = hvm().record("HVM_CONTEXT", wire.hvm_context(), length=length)
        yield bad(f"04-length-{length:08x}.libxc", "128 MiB", lying)
    for length in LENGTHS:
        lying = libxl().record(
            "EMULATOR_CONTEXT", wire.emulator(wire.qemu_state()), length=length)
        yield bad(f"04-length-{length:08x}.libxl", "EMULATOR_CONTEXT", lying)
    lying = hvm().record("HVM_CONTEXT", wire.hvm_context(), length=0x08000000)
    yield bad("04-length-08000000-truncated.libxc", "truncated", lying)
    yield from page_data_cases()
    yield from hvm_cases()
    yield from pv_cases()


def page_data_cases():
    entries = wire.page_entries(HVM_PFNS)

    def image(body):
        return hvm().record("PAGE_DATA", body)

    yield bad("06-count-0-no-entries.libxc", "PAGE_DATA", image(wire.page_data(b"")))
    # 0x20000004 entries of 8 bytes are 32 bytes to whoever multiplies in 32 bits.
    for count in (0, 1, 3, 5, 0x20000000, 0x20000004, 0x80000000, 0xFFFFFFFF):
        body = wire.page_data(entries, HVM_PAGES, count=count)
        yield bad(f"06-count-{count:08x}.libxc", "PAGE_DATA", image(body))
    yield bad("06-page-missing.libxc", "PAGE_DATA", image(
        wire.page_data(entries, HVM_PAGES[wire.PAGE:])))
    yield bad("06-page-too-many.libxc", "PAGE_DATA", image(
        wire.page_data(entries, HVM_PAGES + bytes(wire.PAGE))))
    yield bad("06-half-page-too-many.libxc", "PAGE_DATA", image(
        wire.page_data(entries, HVM_PAGES + bytes(2048))))
    yield bad("06-page-of-xtab.libxc", "PAGE_DATA", image(
        wire.page_data(wire.page_entries(HVM_PFNS, wire.XTAB), HVM_PAGES)))
    for length in (0, 4, 7):
        yield bad(f"06-page-data-length-{length}.libxc", "PAGE_DATA", image(bytes(length)))


def hvm_cases():
    params = wire.hvm_params(PARAMS)
    # 0x10000004 pairs of 16 bytes are 64 bytes to whoever multiplies in 32 bits.
    for count in (0, 3, 5, 0x10000004, 0xFFFFFFFF):
        image = hvm().record("HVM_PARAMS", wire.hvm_params(PARAMS, count=count))
        yield bad(f"06-params-count-{count:08x}.libxc", "HVM_PARAMS", image)
    for length in (0, 7, len(params) - 1):
        image = hvm().record("HVM_PARAMS", params[:length])
        yield bad(f"06-params-length-{length}.libxc", "HVM_PARAMS", image)
    # Xen 4.6 to 4.8 wrote these.
    yield warn("11-params-empty.libxc", "HVM_PARAMS",
               hvm().record("HVM_PARAMS", wire.hvm_params([])))
    yield note("11-params-empty-and-full.libxc", "HVM_PARAMS", hvm().before(
        "HVM_PARAMS", wire.record(wire.HVM_PARAMS, wire.hvm_params([]))))
    yield warn("06-params-twice.libxc", "HVM_PARAMS", hvm().before(
        "HVM_PARAMS", wire.record(wire.HVM_PARAMS, wire.hvm_params(PARAMS[:1]))), "legacy.md 3.1")
    wrong_lengths = {
        "X86_TSC_INFO": (0, 23, 25, 32), "X86_CPUID_POLICY": (0, 23, 25),
        "X86_MSR_POLICY": (0, 15, 17), "HVM_CONTEXT": (0,),
        "STATIC_DATA_END": (8,), "END": (8,),
    }
    for name, lengths in wrong_lengths.items():
        for length in lengths:
            image = hvm().record(name, bytes(length))
            # Xen passes over what stands in an end.
            row, verdict = ("09", warn) if name.endswith("END") else ("06", bad)
            yield verdict(f"{row}-{name.lower()}-length-{length}.libxc", name, image)


def pv_cases():
    yield good("06-good-pv.libxc", pv())
    yield good("06-good-pv-v2.libxc", pv(version=2))
    wrong_bodies = {
        "X86_PV_INFO": {
            "length-7": bytes([8, 4]) + bytes(5), "width-5": bytes([5, 4]) + bytes(6),
            "width-8-levels-3": bytes([8, 3]) + bytes(6),
            "width-4-levels-4": bytes([4, 4]) + bytes(6),
        },
        "X86_PV_P2M_FRAMES": {
            "length-7": bytes(7), "start-behind-end": wire.p2m_frames([7], 8, 7),
            "too-many": wire.p2m_frames([7, 7], 0, 7), "too-few": wire.p2m_frames([], 0, 7),
            "end-ffffffff": wire.p2m_frames([7], 0, 0xFFFFFFFF),
            "pfn-beyond-end": wire.p2m_frames([8], 0, 7),
        },
        "X86_PV_VCPU_BASIC": {
            "length-7": bytes(7), "32-bit": wire.vcpu(bytes(2800)),
            "5167": wire.vcpu(wire.vcpu_basic(4, 0)[:-1]),
            "vcpu-ffffffff": wire.vcpu(wire.vcpu_basic(4, 0), 0xFFFFFFFF),
            "empty": wire.vcpu(b""), "start-info-beyond-end": wire.vcpu(wire.vcpu_basic(8, 0)),
            "cr3-beyond-end": wire.vcpu(wire.vcpu_basic(4, 8)),
        },
        "X86_PV_VCPU_EXTENDED": {"length-129": wire.vcpu(wire.vcpu_extended(0) + bytes(65))},
        "X86_PV_VCPU_XSAVE": {"length-15": wire.vcpu(bytes(15))},
        "SHARED_INFO": {"length-0": b"", "length-4095": bytes(4095), "length-4097": bytes(4097)},
    }
    for name, bodies in wrong_bodies.items():
        for what, body in bodies.items():
            yield bad(f"06-{name.lower()}-{what}.libxc", name, pv().record(name, body))
    msrs = wire.record(wire.X86_PV_VCPU_MSRS, wire.vcpu(bytes(15)))
    yield bad("06-x86_pv_vcpu_msrs-length-15.libxc", "X86_PV_VCPU_MSRS", pv().before("END", msrs))
    # Xen 4.6 to 4.8 wrote these.
    for name in ("X86_PV_VCPU_EXTENDED", "X86_PV_VCPU_XSAVE"):
        yield note(f"11-{name.lower()}-empty.libxc", name, pv().record(name, wire.vcpu(b"")))
    msrs = wire.record(wire.X86_PV_VCPU_MSRS, wire.vcpu(b""))
    yield note("11-x86_pv_vcpu_msrs-empty.libxc", "X86_PV_VCPU_MSRS", pv().before("END", msrs))
