"""Save images as lists of parts that can be changed, and the changed image as a list of pieces.

A piece is a range of the image that the parts came from, or bytes of its own; so a mutant is a few
hundred bytes wherever it travels. Knows nothing of the Swift code, like xenwire.py, and must stay so.
"""
import copy
import json
import re
import struct

import xenwire as wire

XL_HEADER, LIBXL_HEADER, IMAGE_HEADER, DOMAIN_HEADER = 48, 16, 24, 16
PAGE = wire.PAGE
PFN_MASK = (1 << 52) - 1


class Part:
    """Bytes that are not a record. `origin` is where they lay in the base, with their length."""

    def __init__(self, kind, data, offset=None):
        self.kind, self.data = kind, bytearray(data)
        self.origin = None if offset is None else (offset, len(data))

    def __deepcopy__(self, memo):
        twin = copy.copy(self)
        twin.data = bytearray(self.data)
        return twin

    def pieces(self, base):
        if self.kind == "config" and self.origin and len(self.data) > 4 < self.origin[1]:
            offset, length = self.origin     # its length in front changes with whatever follows it
            return (trimmed(bytes(self.data[:4]), base, (offset, 4))
                    + trimmed(bytes(self.data[4:]), base, (offset + 4, length - 4)))
        return trimmed(bytes(self.data), base, self.origin)


class Record(Part):
    """A record of the layer "libxl" or "libxc". `data` is its body; of PAGE_DATA what stands before
    the pages, and `pages` are the pieces that follow. `length` and `padding` lie where they are set."""

    def __init__(self, layer, number, data, offset=None, pages=()):
        super().__init__("record", data, offset)
        self.origin = None if offset is None else (offset, 8 + len(data))
        self.layer, self.number, self.pages = layer, number, list(pages)
        self.length = self.padding = None

    def __deepcopy__(self, memo):
        twin = super().__deepcopy__(memo)
        twin.pages = list(self.pages)
        return twin

    @property
    def name(self):
        names = LIBXL_NAMES if self.layer == "libxl" else LIBXC_NAMES
        return names.get(self.number, hex(self.number))

    def pieces(self, base):
        size = len(self.data) + sum(map(piece_length, self.pages))
        head = wire.u32(self.number & 0xFFFFFFFF, size if self.length is None else self.length)
        padding = bytes(-size % 8) if self.padding is None else self.padding
        front = head + bytes(self.data[:8])
        if self.origin is None:
            return [front, bytes(self.data[8:])] + self.pages + [padding]
        offset, length = self.origin
        cut = min(16, length)                # the lengths change oftener than what is behind them
        return (trimmed(front, base, (offset, cut))
                + trimmed(bytes(self.data[8:]), base, (offset + cut, length - cut))
                + self.pages + [padding])

    # Of PAGE_DATA: its entries, each with its page or None.

    def entries(self):
        count = (len(self.data) - 8) // 8
        pages = iter(self.pages)
        out = []
        for value in struct.unpack_from(f"<{count}Q", self.data, 8):
            out.append((value, next(pages) if has_page(value >> 60) else None))
        return out

    def set_entries(self, entries):
        self.data[:] = (wire.u32(len(entries), struct.unpack_from("<I", self.data, 4)[0])
                        + wire.u64(*(value for value, _ in entries)))
        self.pages = [page for _, page in entries if page is not None]


LIBXC_NAMES = {
    wire.END: "END", wire.PAGE_DATA: "PAGE_DATA", wire.X86_PV_INFO: "X86_PV_INFO",
    wire.X86_PV_P2M_FRAMES: "X86_PV_P2M_FRAMES", wire.X86_PV_VCPU_BASIC: "X86_PV_VCPU_BASIC",
    wire.X86_PV_VCPU_EXTENDED: "X86_PV_VCPU_EXTENDED", wire.X86_PV_VCPU_XSAVE: "X86_PV_VCPU_XSAVE",
    wire.SHARED_INFO: "SHARED_INFO", wire.X86_TSC_INFO: "X86_TSC_INFO",
    wire.HVM_CONTEXT: "HVM_CONTEXT", wire.HVM_PARAMS: "HVM_PARAMS", wire.TOOLSTACK: "TOOLSTACK",
    wire.X86_PV_VCPU_MSRS: "X86_PV_VCPU_MSRS", wire.VERIFY: "VERIFY",
    wire.CHECKPOINT: "CHECKPOINT", wire.CHECKPOINT_DIRTY_PFN_LIST: "CHECKPOINT_DIRTY_PFN_LIST",
    wire.STATIC_DATA_END: "STATIC_DATA_END", wire.X86_CPUID_POLICY: "X86_CPUID_POLICY",
    wire.X86_MSR_POLICY: "X86_MSR_POLICY",
}
LIBXL_NAMES = {
    0: "libxl END", wire.LIBXC_CONTEXT: "LIBXC_CONTEXT",
    wire.EMULATOR_XENSTORE_DATA: "EMULATOR_XENSTORE_DATA",
    wire.EMULATOR_CONTEXT: "EMULATOR_CONTEXT", wire.CHECKPOINT_END: "CHECKPOINT_END",
    wire.CHECKPOINT_STATE: "CHECKPOINT_STATE",
}


def has_page(kind):
    """Whether an entry of this page type is followed by a page."""
    return kind not in (wire.BROKEN, wire.XALLOC, wire.XTAB)


def piece_length(piece):
    return piece[1] if isinstance(piece, tuple) else len(piece)


def trimmed(data, base, origin):
    """The bytes as pieces: what is as it was at the origin, at both ends, is taken from there."""
    if origin is None:
        return [data]
    offset, length = origin
    old = base[offset:offset + length]
    if data == old:
        return [(offset, length)]
    limit = min(len(data), length)
    front = next((i for i in range(limit) if data[i] != old[i]), limit)
    limit -= front
    back = next((i for i in range(limit) if data[-1 - i] != old[-1 - i]), limit)
    return [(offset, front), data[front:len(data) - back], (offset + length - back, back)]


def joined(pieces):
    """Pieces without empty ones; neighbours are one."""
    out = []
    for piece in pieces:
        if piece_length(piece) == 0:
            continue
        last = out[-1] if out else None
        if isinstance(piece, tuple) and isinstance(last, tuple) and sum(last) == piece[0]:
            out[-1] = (last[0], last[1] + piece[1])
        elif not isinstance(piece, tuple) and isinstance(last, (bytes, bytearray)):
            out[-1] = bytes(last) + bytes(piece)
        else:
            out.append(piece)
    return out


def text_of(pieces):
    """Pieces as words: OFFSET+LENGTH in the base, =HEX, or COUNT*HEX (one byte again and again)."""
    words = []
    for piece in pieces:
        if isinstance(piece, tuple):
            words.append(f"{piece[0]}+{piece[1]}")
            continue
        at = 0
        for run in re.finditer(rb"(.)\1{31,}", piece, re.DOTALL):
            if run.start() > at:
                words.append("=" + piece[at:run.start()].hex())
            words.append(f"{run.end() - run.start()}*{run[1].hex()}")
            at = run.end()
        if at < len(piece):
            words.append("=" + piece[at:].hex())
    return " ".join(words)


def built(pieces, base):
    return b"".join(base[piece[0]:sum(piece)] if isinstance(piece, tuple) else piece
                    for piece in pieces)


class Image:
    """The parts of a whole xl image, little-endian, in order."""

    def __init__(self, base):
        self.parts, at = [], 0
        data_length = struct.unpack_from("<I", base, 44)[0]
        for kind, length in ("xl", XL_HEADER), ("config", data_length), ("libxl", LIBXL_HEADER):
            self.parts.append(Part(kind, base[at:at + length], at))
            at += length
        layer = "libxl"
        while at < len(base):
            number, length = struct.unpack_from("<II", base, at)
            head, pages = length, []
            if layer == "libxc" and number == wire.PAGE_DATA:
                count = struct.unpack_from("<I", base, at + 8)[0]
                head = 8 + 8 * count
                pages = [(place, PAGE) for place in range(at + 8 + head, at + 8 + length, PAGE)]
            self.parts.append(Record(layer, number, base[at + 8:at + 8 + head], at, pages))
            at += 8 + length + -length % 8
            if layer == "libxl" and number == wire.LIBXC_CONTEXT:
                for kind, length in ("image", IMAGE_HEADER), ("domain", DOMAIN_HEADER):
                    self.parts.append(Part(kind, base[at:at + length], at))
                    at += length
                layer = "libxc"
            elif number == wire.END and layer == "libxc":
                layer = "libxl"
            elif number == wire.END:
                break
        self.end = at

    def twin(self):
        """A copy that may be changed."""
        return copy.deepcopy(self)

    def pieces(self, base):
        return joined([piece for part in self.parts for piece in part.pieces(base)])

    def part(self, kind):
        return next(part for part in self.parts if part.kind == kind)

    def records(self, *numbers, layer="libxc"):
        """The records of these types; all of the layer if none is named."""
        return [part for part in self.parts if isinstance(part, Record) and part.layer == layer
                and (part.number in numbers or not numbers)]

    # The configuration, its NUL included in config_len.

    @property
    def config(self):
        return json.loads(bytes(self.part("config").data[4:]).rstrip(b"\0"))

    def set_config_text(self, text):
        """Sets the text, and both lengths to what they should be."""
        data = text.encode() + b"\0"
        self.part("config").data[:] = wire.u32(len(data)) + data
        struct.pack_into("<I", self.part("xl").data, 44, 4 + len(data))

    @property
    def is_pv(self):
        return struct.unpack_from("<I", self.part("domain").data)[0] == wire.PV


def compacted(base):
    """The image without its entries of pages that there are not (XTAB), of which an HVM image that
    xl saved has a million; Xen's restorer passes over them. As pieces of the base."""
    image = Image(base)
    kept = []
    for part in image.parts:
        if isinstance(part, Record) and part.number == wire.PAGE_DATA and part.layer == "libxc":
            entries = [entry for entry in part.entries() if entry[0] >> 60 != wire.XTAB]
            if not entries:
                continue
            if len(entries) < len(part.data) // 8 - 1:
                part.set_entries(entries)
        kept.append(part)
    image.parts = kept
    return image.pieces(base)
