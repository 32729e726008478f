# Row 1: every prefix of a small image.

import xenwire as wire

from .base import Case, Image, libxl, record_pieces, xl


def smallest_libxc():
    """A stream without page contents, so that its prefixes are few."""
    return bytes(Image([
        ("image header", wire.image_header()), ("domain header", wire.domain_header(wire.HVM)),
        *record_pieces(
            ("STATIC_DATA_END", b""),
            ("PAGE_DATA", wire.page_data(wire.page_entries([0], wire.XTAB))),
            ("X86_TSC_INFO", wire.tsc_info()),
            ("HVM_CONTEXT", wire.hvm_header() + wire.hvm_end()),
            ("HVM_PARAMS", wire.hvm_params([(wire.STORE_PFN, 1)])), ("END", b"")),
    ]))


def cases():
    config = b'{\n    "c_info": {\n        "type": "hvm",\n        "name": "a"\n    }\n}\n\0'
    images = {"libxc": smallest_libxc(), "xl": bytes(xl(libxl(smallest_libxc()), config=config))}
    for layer, image in images.items():
        for length in range(len(image)):
            name = f"01-prefixes/{length:04}.{layer}"
            yield Case(name, "bad", "truncated", image[:length], "6.1")
