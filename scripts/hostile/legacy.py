# Row 2 again: images of Xen 4.5 and before, which must be named as what they are.

import struct

import xenwire as wire

from .base import Image, bad, xl


def chunk(number, body=b""):
    return struct.pack("<i", number) + body


def batch(word, pfns):
    entries = struct.pack(f"<{len(pfns)}{word}", *pfns)
    return chunk(len(pfns), entries + bytes(len(pfns) * wire.PAGE))


def hvm(word):
    """`word` is the toolstack's unsigned long: Q or I."""
    context = wire.hvm_context()
    body = struct.pack("<" + word, 4) + batch(word, range(4))
    body += chunk(-2, struct.pack("<iQ", 0, 1)) + chunk(-8, struct.pack("<IQ", 0, 2))
    body += chunk(-9) + chunk(0)
    body += wire.u64(3, 0, 1) + wire.u32(len(context)) + context
    state = wire.qemu_state()
    return body + b"DeviceModelRecord0002" + wire.u32(len(state)) + state


def pv(word):
    vcpu = wire.vcpu_basic(4, 0)
    blocks = b"vcpu" + wire.u32(len(vcpu)) + vcpu + b"extv" + wire.u32(0)
    body = struct.pack("<" + word, 8) + b"\xff" * struct.calcsize("<" + word)
    body += wire.u32(len(blocks)) + blocks + struct.pack("<" + word, 7)
    body += batch(word, range(8)) + chunk(-2, struct.pack("<iQ", 0, 1)) + chunk(-9) + chunk(0)
    return body + wire.u32(0) + vcpu + bytes(128) + wire.shared_info(8)


def cases():
    for bits, word in ((64, "Q"), (32, "I")):
        yield bad(f"02-hvm-{bits}-bit.legacy", "legacy", hvm(word))
        yield bad(f"02-pv-{bits}-bit.legacy", "legacy", pv(word))
    yield bad("02-legacy-of-4.5.xl", "legacy", xl(Image([("stream", hvm("Q"))]), mandatory=1))
