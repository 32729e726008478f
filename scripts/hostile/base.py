# What a case is, and the good images that cases are made from.

import dataclasses

import xenwire as wire


@dataclasses.dataclass(frozen=True)
class Sparse:
    """A file that is mostly holes: `pieces` are pairs of offset and content, ascending."""

    size: int
    pieces: object


@dataclasses.dataclass(frozen=True)
class Case:
    """One image. The suffix of the name is the outermost layer: xl, libxl, libxc or legacy."""

    name: str
    verdict: str  # good, bad or warn
    message: str  # what a report must contain; empty for good images, or if nothing is certain
    data: object  # bytes or Sparse
    source: str  # where the expectation comes from, if not from the row that the name begins with


def good(name, data, source=""):
    return Case(name, "good", "", bytes(data), source)


def bad(name, message, data, source=""):
    return Case(name, "bad", message, bytes(data), source)


def warn(name, message, data, source=""):
    return Case(name, "warn", message, bytes(data), source)


def note(name, message, data, source=""):
    """Good, with something worth saying."""
    return Case(name, "good", message, bytes(data), source)


class Image:
    """An image in named pieces. Every edit gives a new image."""

    def __init__(self, pieces):
        self.pieces = dict(pieces)

    def __bytes__(self):
        return b"".join(map(bytes, self.pieces.values()))

    def put(self, name, content):
        """Replaces a piece."""
        assert name in self.pieces, name
        return Image({**self.pieces, name: content})

    def drop(self, name):
        assert name in self.pieces, name
        return Image((key, piece) for key, piece in self.pieces.items() if key != name)

    def before(self, name, content):
        return self.put(name, bytes(content) + bytes(self.pieces[name]))

    def after(self, name, content):
        return self.put(name, bytes(self.pieces[name]) + bytes(content))

    def move(self, name, before):
        return self.drop(name).before(before, self.pieces[name])

    def record(self, name, body=b"", **options):
        """Replaces a piece by the record of the same name."""
        return self.put(name, wire.record(getattr(wire, name), body, **options))


def record_pieces(*pairs):
    return [(name, wire.record(getattr(wire, name), body)) for name, body in pairs]


HVM_PFNS = range(4)
HVM_PAGES = bytes(4 * wire.PAGE)
PARAMS = [(wire.STORE_PFN, 1), (wire.IOREQ_PFN, 3), (wire.BUFIOREQ_PFN, 0), (wire.CONSOLE_PFN, 2)]


def hvm(version=3):
    """A libxc stream of an HVM guest with four pages, in the order of Xen's saver."""
    static = record_pieces(
        ("X86_CPUID_POLICY", wire.cpuid_policy()), ("X86_MSR_POLICY", wire.msr_policy()),
        ("STATIC_DATA_END", b""))
    return Image([
        ("image header", wire.image_header(version=version)),
        ("domain header", wire.domain_header(wire.HVM)),
        *(static if version >= 3 else []),
        *record_pieces(
            ("PAGE_DATA", wire.page_data(wire.page_entries(HVM_PFNS), HVM_PAGES)),
            ("X86_TSC_INFO", wire.tsc_info()), ("HVM_CONTEXT", wire.hvm_context()),
            ("HVM_PARAMS", wire.hvm_params(PARAMS)), ("END", b"")),
    ])


def pv(version=3):
    """A libxc stream of a 64-bit PV guest with eight pages."""
    l4, l3, l2, l1, start_info, store, console, p2m = range(8)
    table = b"".join(
        wire.u64(next_pfn << 12 | 0x67).ljust(wire.PAGE, b"\0") for next_pfn in (l3, l2, l1))
    table += wire.u64(*(pfn << 12 | (0x65 if pfn <= l1 else 0x67) for pfn in range(8))).ljust(
        wire.PAGE, b"\0")
    table += wire.start_info(8, store, console, l4) + bytes(3 * wire.PAGE)
    entries = wire.page_entries([l4], wire.L4TAB | wire.PINNED)
    for pfn, kind in ((l3, wire.L3TAB), (l2, wire.L2TAB), (l1, wire.L1TAB)):
        entries += wire.page_entries([pfn], kind)
    entries += wire.page_entries([start_info, store, console, p2m])
    static = record_pieces(
        ("X86_CPUID_POLICY", wire.cpuid_policy()), ("X86_MSR_POLICY", wire.msr_policy()),
        ("STATIC_DATA_END", b""))
    return Image([
        ("image header", wire.image_header(version=version)),
        ("domain header", wire.domain_header(wire.PV)),
        *record_pieces(("X86_PV_INFO", bytes([8, 4]) + bytes(6))),
        *(static if version >= 3 else []),
        *record_pieces(
            ("X86_PV_P2M_FRAMES", wire.p2m_frames([p2m], 0, 7)),
            ("PAGE_DATA", wire.page_data(entries, table)),
            ("X86_TSC_INFO", wire.tsc_info()), ("SHARED_INFO", wire.shared_info(8)),
            ("X86_PV_VCPU_BASIC", wire.vcpu(wire.vcpu_basic(start_info, l4))),
            ("X86_PV_VCPU_EXTENDED", wire.vcpu(wire.vcpu_extended(0))),
            ("X86_PV_VCPU_XSAVE", wire.vcpu(wire.vcpu_xsave())), ("END", b"")),
    ])


def libxl(libxc=None, is_hvm=True):
    """A libxl stream around a libxc stream."""
    device_model = [("EMULATOR_CONTEXT", wire.emulator(wire.qemu_state()))] if is_hvm else []
    return Image([
        ("libxl header", wire.libxl_header()),
        *record_pieces(("LIBXC_CONTEXT", b"")),
        ("libxc stream", libxc or (hvm() if is_hvm else pv())),
        *record_pieces(*device_model),
        ("libxl END", wire.record(wire.END)),
    ])


def config(kind=wire.HVM):
    memory_kib = {wire.HVM: 16, wire.PV: 32}[kind]
    return wire.config_text(wire.domain_config(kind, "hostile", memory_kib))


def xl(inner=None, **header):
    """An xl image around a libxl stream; `header` goes to wire.xl_header."""
    text = header.pop("config", config().encode() + b"\0")
    header = wire.xl_header(text, **header)
    return Image([("xl header", header), ("libxl stream", inner or libxl())])
