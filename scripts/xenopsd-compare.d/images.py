"""Suspend images of xenopsd, and files of xl, as bytes. Knows nothing of our program's code, and must stay so."""
import re
import struct

SIGNATURE = b"XenSavedDomv2-\n"
XENOPS, LIBXC, LIBXL, LIBXC_LEGACY, QEMU_TRAD, QEMU_XEN = 0xF, 0xF0, 0xF1, 0xF2, 0xF00, 0xF01
DEMU, VARSTORED, SWTPM0, SWTPM, END = 0xF10, 0xF11, 0xF12, 0xF13, 0xFFFF
KINDS = {"xenops": XENOPS, "libxc": LIBXC, "qemu": QEMU_TRAD, "varstored": VARSTORED, "swtpm": SWTPM, "end": END}
LIBXL_END, LIBXC_CONTEXT, EMULATOR_CONTEXT = 0, 1, 3


def record(kind, body=b"", length=None):
    return struct.pack("<QQ", kind, len(body) if length is None else length) + body


def stream_end(data, start):
    """Where the libxc stream that begins at `start` ends."""
    order = ">" if data[start + 17] & 1 else "<"
    offset = start + 40
    while True:
        kind, length = struct.unpack_from(f"{order}II", data, offset)
        offset += 8 + (length + 7 & ~7)
        if kind == 0:
            return offset


def walk(image):
    """The records of a suspend image: the kind, where the record begins, its body."""
    offset, kind = len(SIGNATURE), None
    while kind != END:
        kind, length = struct.unpack_from("<QQ", image, offset)
        body = offset + 16
        end = stream_end(image, body) if kind == LIBXC else body + length
        yield kind, offset, image[body:end]
        offset = end


def parts_of_file(data):
    """The libxc stream of a file of xl, a libxl stream or a bare one, and QEMU's state where it is there."""
    if data.startswith(b"\xff" * 8):
        return {"libxc": data[:stream_end(data, 0)]}
    offset, parts, kind = data.index(b"LibxlFmt") + 16, {}, None
    while kind != LIBXL_END:
        kind, length = struct.unpack_from("<II", data, offset)
        body, offset = offset + 8, offset + 8 + (length + 7 & ~7)
        if kind == LIBXC_CONTEXT:
            offset = stream_end(data, body)
            parts["libxc"] = data[body:offset]
        if kind == EMULATOR_CONTEXT:
            # The device model's id and index come before its state.
            parts["qemu"] = data[body + 8:body + length]
    return parts


def variables():
    """A state of varstored: one variable, as its xapidb-lib.c writes it."""
    name, value = "SecureBoot".encode("utf-16le"), b"\1"
    variable = struct.pack("<Q", len(name)) + name + struct.pack("<Q", len(value)) + value
    variable += bytes(range(16)) + struct.pack("<I", 7) + bytes(48)
    return b"VARS" + struct.pack("<IQQ", 2, 1, len(variable)) + variable


STATES = {"varstored": variables(), "swtpm": b"AAAA BBBB"}


class Samples:
    """What the images are made of: for each guest (pv, pvh, hvm) its libxc stream and an image that xenopsd's code
    has written, with all that it writes; and a Xenops record of xenopsd's tests."""

    def __init__(self, example):
        self.parts, self.written, self.example = {}, {}, example

    def bodies(self, guest):
        return {"xenops": next(walk(self.written[guest]))[2], **self.parts["hvm"], **self.parts[guest], **STATES,
                "end": b""}

    def image(self, guest, *items):
        """A suspend image: a text names records, with another length than theirs after = + or -, bytes stand for
        themselves."""
        image, bodies = [SIGNATURE], self.bodies(guest)
        for item in items:
            if isinstance(item, bytes):
                image.append(item)
                continue
            for name, sign, count in re.findall(r"(\w+)(?:([=+-])(\d+))?", item):
                # The length of a libxc stream is not known when its header is written.
                length = 0 if name == "libxc" else len(bodies[name])
                if sign:
                    length = {"=": int(count), "+": length + int(count), "-": length - int(count)}[sign]
                image.append(record(KINDS[name], b"", length) + bodies[name])
        return b"".join(image)
