# Rows 9, 10 and 16: which records there are, in which order, and what is behind the last one.

import xenwire as wire

from .base import bad, good, hvm, libxl, note, pv, warn, xl


def cases():
    yield from static_cases()
    yield from hvm_cases()
    yield from pv_cases()
    yield from unknown_cases()
    yield from trailing_cases()


def static_cases():
    end = wire.record(wire.STATIC_DATA_END)
    yield bad("09-static-data-end-missing.libxc", "STATIC_DATA_END",
              hvm().drop("STATIC_DATA_END"), "2, 6.9")
    yield bad("09-static-data-end-twice.libxc", "STATIC_DATA_END",
              hvm().after("STATIC_DATA_END", end), "2, 6.9")
    yield bad("09-static-data-end-late.libxc", "STATIC_DATA_END",
              hvm().move("STATIC_DATA_END", before="X86_TSC_INFO"))
    # Xen 4.14 and later take them.
    yield warn("09-static-data-end-in-v2.libxc", "STATIC_DATA_END",
               hvm(version=2).before("PAGE_DATA", end))
    yield warn("09-policy-in-v2.libxc", "X86_CPUID_POLICY", hvm(version=2).before(
        "PAGE_DATA", wire.record(wire.X86_CPUID_POLICY, wire.cpuid_policy())))
    # Accepted by the restorer but never applied.
    yield warn("09-policy-late.libxc", "X86_CPUID_POLICY",
               hvm().move("X86_CPUID_POLICY", before="PAGE_DATA"), "streams.md 5.2")


def hvm_cases():
    yield good("09-params-before-context.libxc", hvm().move("HVM_PARAMS", before="HVM_CONTEXT"))
    yield bad("09-context-missing.libxc", "HVM_CONTEXT", hvm().drop("HVM_CONTEXT"))
    yield bad("09-params-missing.libxc", "HVM_PARAMS", hvm().drop("HVM_PARAMS"),
               "2 rejects; streams.md 5.1: legal if all are zero")
    page = wire.page_data(wire.page_entries([0]), bytes(wire.PAGE))
    verify = wire.record(wire.VERIFY) + wire.record(wire.PAGE_DATA, page)
    yield good("09-verify-then-pages.libxc", hvm().after("PAGE_DATA", verify), "streams.md 8")
    yield warn("09-verify-with-body.libxc", "VERIFY", hvm().after(
        "PAGE_DATA", wire.record(wire.VERIFY, bytes(8))))
    yield bad("09-checkpoint-in-file.libxc", "CHECKPOINT",
              hvm().before("END", wire.record(wire.CHECKPOINT)))
    foreign = {
        "X86_PV_INFO": bytes([8, 4]) + bytes(6), "SHARED_INFO": wire.shared_info(4),
        "X86_PV_VCPU_BASIC": wire.vcpu(wire.vcpu_basic(0, 0)), "TOOLSTACK": bytes(8),
        "CHECKPOINT_DIRTY_PFN_LIST": wire.u64(0),
    }
    for name, body in foreign.items():
        image = hvm().after("PAGE_DATA", wire.record(getattr(wire, name), body))
        yield bad(f"09-hvm-with-{name.lower()}.libxc", name, image)
    yield bad("09-pv-guest-with-hvm-records.libxc", "HVM", hvm().put(
        "domain header", wire.domain_header(wire.PV)), "2, 6.9")


def pv_cases():
    for name, body in (("HVM_CONTEXT", wire.hvm_context()), ("HVM_PARAMS", wire.hvm_params([]))):
        yield bad(f"09-pv-with-{name.lower()}.libxc", name, pv().before(
            "END", wire.record(getattr(wire, name), body)))
    yield bad("09-p2m-frames-late.libxc", "X86_PV_P2M_FRAMES",
              pv().move("X86_PV_P2M_FRAMES", before="X86_TSC_INFO"))
    yield bad("09-p2m-frames-missing.libxc", "X86_PV_P2M_FRAMES", pv().drop("X86_PV_P2M_FRAMES"))
    yield bad("09-pv-info-missing.libxc", "X86_PV_INFO", pv().drop("X86_PV_INFO"))
    yield bad("09-pv-info-late.libxc", "X86_PV_INFO",
              pv().move("X86_PV_INFO", before="X86_TSC_INFO"))
    info = wire.record(wire.X86_PV_INFO, bytes([8, 4]) + bytes(6))
    yield bad("09-pv-info-twice.libxc", "X86_PV_INFO", pv().after("X86_PV_INFO", info))
    yield warn("09-vcpu-before-pv-info.libxc", "X86_PV_VCPU_BASIC",
              pv().move("X86_PV_VCPU_BASIC", before="X86_PV_INFO"))
    yield bad("09-shared-info-before-pv-info.libxc", "SHARED_INFO",
              pv().move("SHARED_INFO", before="X86_PV_INFO"))
    yield bad("09-vcpu-0-missing.libxc", "X86_PV_VCPU_BASIC", pv().drop("X86_PV_VCPU_BASIC"))


def unknown_cases():
    for number in (0x80000000, 0x80000001, 0xFFFFFFFF):
        unknown = wire.record(number, b"hello")
        yield good(f"10-optional-{number:08x}.libxc", hvm().after("PAGE_DATA", unknown), "2, 6.10")
        yield bad(f"10-optional-{number:08x}.libxl", f"{number:x}",
                  libxl().before("libxl END", unknown))
    for number in (0x13, 0x7FFFFFFF):
        yield bad(f"10-mandatory-{number:08x}.libxc", f"{number:x}", hvm().after(
            "PAGE_DATA", wire.record(number, b"hello")))
    yield bad("10-mandatory-00000006.libxl", "6", libxl().before("libxl END", wire.record(6)))


def trailing_cases():
    images = {"libxc": hvm(), "libxl": libxl(), "xl": xl()}
    for layer, image in images.items():
        yield note(f"16-garbage-behind-end.{layer}", "after END", bytes(image) + b"garbage",
                  "2, 6.16")
        yield note(f"16-zeros-behind-end.{layer}", "after END", bytes(image) + bytes(8))
        yield warn(f"16-two-images.{layer}", "after END", bytes(image) * 2, "2, 6.16")
    record = wire.record(wire.X86_TSC_INFO, wire.tsc_info())
    yield note("09-record-behind-end.libxc", "after END", hvm().after("END", record))
    yield bad("09-libxc-record-behind-end.libxl", "", libxl(hvm().after("END", record)))
