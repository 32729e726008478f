# Row 12: the chain of entries inside HVM_CONTEXT.

import struct

import xenwire as wire

from .base import bad, good, hvm, warn


def cases():
    header, cpu, end = wire.hvm_header(), wire.hvm_cpu(0), wire.hvm_end()
    cpu_body = cpu[8:]

    def image(*entries):
        return hvm().record("HVM_CONTEXT", b"".join(entries))

    bodies = {
        "no-end": [header, cpu],
        "header-only": [header],
        "no-header": [cpu, end],
        "header-not-first": [cpu, header, end],
        "header-twice": [header, header, cpu, end],
        "header-magic": [wire.hvm_header(magic=0x54381287), cpu, end],
        "header-version": [wire.hvm_header(version=2), cpu, end],
        "header-length": [wire.hvm_entry(1, 0, header[8:24]), cpu, end],
        "descriptor-cut": [header, cpu, end[:4]],
        "length-past-end": [header, wire.hvm_entry(2, 0, cpu_body, length=0x10000), end],
        "length-past-end-by-1": [header, wire.hvm_entry(2, 0, cpu_body, length=1032 + 9), end],
        "length-ffffffff": [header, wire.hvm_entry(2, 0, cpu_body, length=0xFFFFFFFF), end],
        "length-fffffff8": [header, wire.hvm_entry(2, 0, cpu_body, length=0xFFFFFFF8), end],
        "cpu-too-long": [header, wire.hvm_entry(2, 0, cpu_body + bytes(8)), end],
        "cpu-twice": [header, cpu, cpu, end],
        "unknown-type-21": [header, cpu, wire.hvm_entry(21, 0, bytes(8)), end],
        "unknown-type-65535": [header, cpu, wire.hvm_entry(65535, 0, bytes(8)), end],
    }
    for name, entries in bodies.items():
        # Xen takes the last of two, each of which is right.
        verdict = warn if name == "cpu-twice" else bad
        yield verdict(f"12-context-{name}.libxc", "HVM_CONTEXT", image(*entries))
    # Xen ignores what is behind END; Xen 4.4 to 4.6 wrote CPU entries of 1024 octets.
    end_with_body = struct.pack("<HHI", 0, 0, 8)
    yield warn("12-context-end-with-body.libxc", "HVM_CONTEXT",
               image(header, cpu, end_with_body, bytes(8)))
    yield warn("12-context-behind-end.libxc", "HVM_CONTEXT", image(header, cpu, end, bytes(8)))
    old_cpu = wire.hvm_entry(2, 0, cpu_body[:1024])
    yield good("12-context-old-cpu.libxc", image(header, old_cpu, end), "x86-state.md 11")
