# Rows 2 and 3: the headers of the libxc and libxl streams.

import xenwire as wire

from .base import bad, good, hvm, libxl, warn


def cases():
    yield good("02-good-hvm.libxc", hvm())
    yield good("02-good-v2.libxc", hvm(version=2))
    yield good("02-good-converted.libxc", hvm().put(
        "domain header", wire.domain_header(wire.HVM, xen=(0, 1))))
    yield from image_header_cases()
    yield from domain_header_cases()
    yield from libxl_header_cases()


def image_header_cases():
    def image(**fields):
        return hvm().put("image header", wire.image_header(**fields))

    yield bad("02-marker.libxl", "marker", libxl(image(marker=b"\xff" * 7 + b"\xfe")))
    yield bad("02-id.libxc", "id", image(ident=b"XENG"))
    for version in (0, 1, 4, 0xFFFFFFFF):
        yield bad(f"02-version-{version}.libxc", "version", image(version=version))
    yield bad("02-big-endian-flag.libxc", "endian", image(options=1), "2, 6.2")
    for options in (0x0002, 0x8000):
        yield warn(f"02-options-{options:04x}.libxc", "options", image(options=options))
    yield warn("08-image-header-reserved-16.libxc", "reserved", image(reserved=(1, 0)))
    yield warn("08-image-header-reserved-32.libxc", "reserved", image(reserved=(0, 0x80000000)))


def domain_header_cases():
    def image(kind=wire.HVM, **fields):
        return hvm().put("domain header", wire.domain_header(kind, **fields))

    for kind in (0, 3, 4, 0xFFFFFFFF):
        yield bad(f"02-domain-type-{kind}.libxc", "type", image(kind))
    for shift in (0, 11, 13, 32, 40, 65535):
        yield bad(f"03-page-shift-{shift}.libxc", "page_shift", image(page_shift=shift))
    yield warn("08-domain-header-reserved.libxc", "reserved", image(reserved=1))


def libxl_header_cases():
    def image(**fields):
        return libxl().put("libxl header", wire.libxl_header(**fields))

    yield good("02-good-hvm.libxl", libxl())
    yield good("02-good-pv.libxl", libxl(is_hvm=False))
    yield good("02-libxl-legacy-flag.libxl", image(options=2))
    yield bad("02-libxl-id.libxl", "id", image(ident=b"LibxlFmu"))
    for version in (0, 1, 3):
        yield bad(f"02-libxl-version-{version}.libxl", "version", image(version=version))
    yield bad("02-libxl-big-endian-flag.libxl", "endian", image(options=1), "2, 6.2")
    for options in (0x4, 0x8000, 0x10000, 0x80000000):
        yield warn(f"02-libxl-options-{options:08x}.libxl", "options", image(options=options))
