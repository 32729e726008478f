# Rows 13, 14 and 15: the xl header with its config, and the records of libxl.

import xenwire as wire

from .base import Image, bad, config, good, libxl, pv, warn, xl


def cases():
    yield from xl_header_cases()
    yield from config_cases()
    yield from libxl_cases()
    yield from xenstore_cases()
    yield from emulator_cases()


def xl_header_cases():
    text = config().encode() + b"\0"
    yield good("13-good-hvm.xl", xl())
    yield good("13-good-pv.xl", xl(
        libxl(is_hvm=False), config=config(wire.PV).encode() + b"\0"))
    yield warn("13-no-config.xl", "config", xl(mandatory=2, data=b""), "streams.md 2.1")
    yield good("13-optional-data-behind-config.xl", xl(
        data=wire.u32(len(text)) + text + bytes(4096)), "streams.md 2.1")
    yield bad("13-magic.xl", "", xl().put("xl header", b"Y" + wire.xl_header(text)[1:]))
    yield bad("13-byte-order.xl", "byte order", xl(byteorder=0x04030201), "2, 6.13")
    yield bad("13-byte-order-zero.xl", "byteorder", xl(byteorder=0))
    for flags in (0x7, 0x80000003):
        yield bad(f"13-mandatory-{flags:08x}.xl", "mandatory", xl(mandatory=flags), "2, 6.13")
    yield bad("13-optional-data-ffffffff.xl", "optional", xl(data_length=0xFFFFFFFF))
    yield bad("13-optional-data-3.xl", "config", xl(data=bytes(3)))
    for length in (len(text) + 1, len(text) + 0x1000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF):
        data = wire.u32(length) + text
        source = "2, 6.13" if length == len(text) + 1 else ""
        yield bad(f"13-config-length-{length:08x}.xl", "config", xl(data=data), source)
    yield warn("13-config-length-0.xl", "config", xl(data=wire.u32(0) + text))
    yield bad("13-config-without-nul.xl", "config", xl(config=text[:-1]), "2, 6.13")


def config_cases():
    text = config()

    def changed(old, new):
        assert old in text
        return text.replace(old, new, 1).encode(errors="surrogateescape")

    wrong = {
        "blank": b" \n", "cut": text[:-10].encode(), "array": b"[]\n",
        "trailing-text": text.encode() + b"x", "trailing-comma": changed('"soft_reset"', '"a",'),
        "nan": changed('"cap": 0', '"cap": NaN'), "leading-zero": changed('"cap": 0', '"cap": 00'),
        "duplicate-name": changed('"name":', '"type": "pv",\n        "name":'),
        "duplicate-escaped-name": changed('"name":', '"\\u0074ype": "pv",\n        "name":'),
        "control-character": changed('"hostile"', '"\x1b[31mred"'),
        "line-end-in-string": changed('"hostile"', '"a\nb"'),
        "bad-escape": changed('"hostile"', '"\\x41"'),
        "lone-surrogate": changed('"hostile"', '"\\ud800"'),
        "not-utf-8": changed('"hostile"', '"\udcff"'),
        "overlong-utf-8": changed('"hostile"', '"\udcc0\udcaf"'),
        "byte-order-mark": b"\xef\xbb\xbf" + text.encode(),
        "comment": changed('"name":', '/* x */ "name":'),
        "nested-100": changed('"cap": 0', '"cap": ' + "[" * 100 + "]" * 100),
        "nested-100000": b"[" * 100_000, "nested-objects": b'{"a":' * 100_000,
    }
    # These a real xl restores: it reads the first of two keys, and nothing after the text; it has no limit
    # for nesting, where ours is 512.
    restored = ("trailing-text", "duplicate-name", "duplicate-escaped-name", "nested-100")
    for name, content in wrong.items():
        verdict = warn if name in restored else bad
        yield verdict(f"13-config-{name}.xl", "config", xl(config=content + b"\0"))
    # Without a configuration, restore asks for one.
    yield warn("13-config-empty.xl", "config", xl(config=b"\0"))
    # Legal JSON; whoever prints the name must escape it.
    escape = changed('"hostile"', '"\\u001b]0;x\\u0007\\u009b31m"')
    yield good("13-config-escape-in-name.xl", xl(config=escape + b"\0"))
    yield bad("13-config-of-pv-guest.xl", "type", xl(config=config(wire.PV).encode() + b"\0"),
              "streams.md H6")


def libxl_cases():
    again = Image([("record", wire.record(wire.LIBXC_CONTEXT)),
                   ("stream", libxl().pieces["libxc stream"])])
    yield bad("09-libxc-context-twice.libxl", "LIBXC_CONTEXT",
              libxl().after("libxc stream", again), "2")
    yield bad("09-libxc-context-missing.libxl", "LIBXC_CONTEXT",
              libxl().drop("LIBXC_CONTEXT").drop("libxc stream"))
    yield warn("09-libxc-context-with-body.libxl", "LIBXC_CONTEXT",
               libxl().record("LIBXC_CONTEXT", bytes(8)))
    yield warn("09-end-with-body.libxl", "END",
               libxl().put("libxl END", wire.record(wire.END, bytes(8))))
    for name, body in (("CHECKPOINT_END", b""), ("CHECKPOINT_STATE", wire.u32(0))):
        yield bad(f"09-{name.lower()}-in-file.libxl", name, libxl().before(
            "libxl END", wire.record(getattr(wire, name), body)))


def xenstore_cases():
    def image(data):
        record = wire.record(wire.EMULATOR_XENSTORE_DATA, data)
        return libxl().before("EMULATOR_CONTEXT", record)

    key = b"physmap/f0000000/start_addr\0"
    yield good("14-xenstore.libxl", image(wire.emulator(
        key + b"f0000000\0" + b"physmap/f0000000/size\0" + b"1000000\0"
        + b"physmap/f0000000/name\0" + b"vga.vram\0")), "2, 6.14")
    yield good("14-xenstore-empty.libxl", image(wire.emulator(b"")))
    wrong = {
        "odd": key, "no-nul": key + b"f0000000", "key-without-nul": key[:-1],
        "parent": b"physmap/../../0/x\0" + b"1\0", "absolute": b"/local/domain/0/x\0" + b"1\0",
        "empty-key": b"\0" + b"1\0", "duplicate": (key + b"f0000000\0") * 2,
    }
    # libxl does not look at the result of the writes that come from these.
    restored = ("parent", "duplicate")
    for name, data in wrong.items():
        verdict = warn if name in restored else bad
        yield verdict(
            f"14-xenstore-{name}.libxl", "EMULATOR_XENSTORE_DATA", image(wire.emulator(data)))
    yield bad("14-xenstore-length-7.libxl", "EMULATOR_XENSTORE_DATA", image(bytes(7)))
    record = wire.record(wire.EMULATOR_XENSTORE_DATA, wire.emulator(key + b"1\0"))
    yield bad("14-xenstore-of-pv.libxl", "EMULATOR_XENSTORE_DATA",
              libxl(is_hvm=False).before("libxl END", record))


def emulator_cases():
    def image(data):
        return libxl().record("EMULATOR_CONTEXT", data)

    state = wire.qemu_state()
    yield warn("15-emulator-of-converted.libxl", "EMULATOR", image(wire.emulator(state, number=0)).put(
        "libxl header", wire.libxl_header(options=2)), "streams.md 3.2")
    for number in (3, 0xFFFFFFFF):
        yield warn(f"15-emulator-id-{number:08x}.libxl", "EMULATOR_CONTEXT",
                   image(wire.emulator(state, number=number)), "6.15; the restorer ignores it")
    yield bad("15-emulator-empty.libxl", "EMULATOR_CONTEXT", image(wire.emulator(b"")))
    for length in (0, 4, 7):
        yield bad(f"15-emulator-length-{length}.libxl", "EMULATOR_CONTEXT", image(bytes(length)))
    record = wire.record(wire.EMULATOR_CONTEXT, wire.emulator(state))
    yield bad("15-emulator-of-pv.libxl", "EMULATOR_CONTEXT",
              libxl(pv(), is_hvm=False).before("libxl END", record))
