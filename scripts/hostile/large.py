# Rows 5, 13 and 20: files that are large, or look it. All but two are holes on the disk.

import xenwire as wire

from .base import HVM_PFNS, Case, Sparse, hvm, libxl, xl

LIMIT = 128 << 20  # REC_LENGTH_MAX of libxc


def split(image, name):
    """The bytes before and after a piece."""
    names = list(image.pieces)
    index = names.index(name)
    parts = [bytes(image.pieces[key]) for key in names]
    return b"".join(parts[:index]), b"".join(parts[index + 1:])


def repeated(image, name, heads, length, tail_too=False):
    """`image` with records of `length` bytes, most of them holes, in place of a piece. `heads`
    are the bytes that each begins with, its header included."""
    before, behind = split(image, name)
    if tail_too:
        behind = bytes(image.pieces[name]) + behind
    pieces = [(0, before)]
    offset = len(before)
    for head in heads:
        pieces.append((offset, head))
        offset += 8 + length
    return Sparse(offset + len(behind), pieces + [(offset, behind)])


def cases():
    yield from giant_record_cases()
    nested = b'{"a":' + b"[" * (64 << 20) + b"\0"
    yield Case("13-config-nested-64-mib.xl", "bad", "config", bytes(xl(config=nested)), "")
    yield from long_stream_cases()


def giant_record_cases():
    length = 0x7FFFFFF8
    head = wire.u32(wire.HVM_CONTEXT, length)
    yield Case("05-record-of-2-gib.libxc", "bad", "128 MiB",
               repeated(hvm(), "HVM_CONTEXT", [head], length), "")
    head = wire.u32(wire.EMULATOR_CONTEXT, length) + wire.emulator(wire.qemu_state())
    yield Case("05-record-of-2-gib.libxl", "bad", "EMULATOR_CONTEXT",
               repeated(libxl(), "EMULATOR_CONTEXT", [head], length), "")
    before, _ = split(hvm(), "HVM_CONTEXT")
    head = wire.u32(wire.HVM_CONTEXT, 0xFFFFFFF8)
    yield Case("05-file-of-1-tib.libxc", "bad", "128 MiB",
               Sparse(1 << 40, [(0, before), (len(before), head)]), "")


def page_data_heads(count):
    """Heads of the fullest PAGE_DATA records that the limit allows, and their length."""
    pages = (LIMIT - 8) // (8 + wire.PAGE)
    length = 8 + pages * (8 + wire.PAGE)
    heads = (wire.u32(wire.PAGE_DATA, length, pages, 0)
             + wire.page_entries(range(16 + n * pages, 16 + (n + 1) * pages)) for n in range(count))
    return heads, length


def long_stream_cases():
    heads, length = page_data_heads(1)
    yield Case("20-record-of-128-mib.libxc", "good", "",
               repeated(hvm(), "X86_TSC_INFO", heads, length, tail_too=True), "")
    heads, length = page_data_heads(34)
    yield Case("20-offsets-above-2-to-32.libxc", "good", "",
               repeated(hvm(), "X86_TSC_INFO", heads, length, tail_too=True), "")
    optional = wire.u32(wire.OPTIONAL | 1, LIMIT)
    count = (1 << 43) // LIMIT + 1
    yield Case("20-offsets-above-2-to-43.libxc", "good", "",
               repeated(hvm(), "X86_TSC_INFO", (optional for _ in range(count)), LIMIT,
                        tail_too=True), "")
    million = b"".join(
        wire.record(wire.PAGE_DATA, wire.page_data(wire.page_entries([pfn], wire.XTAB)))
        for pfn in range(len(HVM_PFNS), len(HVM_PFNS) + 1_000_000))
    yield Case("20-million-records.libxc", "good", "", bytes(hvm().after("PAGE_DATA", million)), "")
