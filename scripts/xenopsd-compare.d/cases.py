"""What both sides are asked about: suspend images, Xenops records, and edits."""
import random
import struct

from images import (DEMU, END, LIBXC, LIBXC_LEGACY, LIBXL, QEMU_TRAD, QEMU_XEN, SIGNATURE, SWTPM, SWTPM0, VARSTORED,
                    XENOPS, record, walk)

# Files of xl: below Tests/Fixtures, or as scripts/make-image makes them.
FIXTURES = {
    "pv-4.17": ("pv", "pv-4m-1v-tiny.xlsave"),
    "pvh-4.17": ("pvh", "pvh-4m-1v-tiny.xlsave"),
    "pv-4.14": ("pv", "releases/pv-4m-1v-tiny-4.14.xlsave.zst"),
    "pvh-4.14": ("pvh", "releases/pvh-4m-1v-tiny-4.14.xlsave.zst"),
    "pv-4.20": ("pv", "releases/pv-4m-1v-tiny-4.20.xlsave.zst"),
    "pvh-4.20": ("pvh", "releases/pvh-4m-1v-tiny-4.20.xlsave.zst"),
}
MADE = {
    "hvm": ("hvm", []),
    "hvm-live": ("hvm", ["--live-rounds", "3", "--vcpus", "2", "--holes"]),
    "hvm-libxl": ("hvm", ["--layer", "libxl"]),
    "pv-2v": ("pv", ["--vcpus", "2"]),
    "pv-libxc": ("pv", ["--layer", "libxc"]),
}

# What xenopsd's code is to write: the guest, the parts.
WRITTEN = {
    "pv": ("pv", ["libxc"]),
    "pvh": ("pvh", ["libxc"]),
    "hvm": ("hvm", ["libxc", "qemu"]),
    "hvm-uefi": ("hvm", ["libxc", "qemu", "varstored"]),
    "hvm-uefi-tpm": ("hvm", ["libxc", "qemu", "varstored", "swtpm"]),
}

T = b"((time 20210219T17:16:27Z)(word_size 64)"

# Records in an order or with lengths that xenopsd does not write: the guest, what stands there.
SHAPES = {
    "no-xenops": ("pv", "libxc end"),
    "xenops-after": ("pv", "libxc xenops end"),
    "xenops-twice": ("pv", "xenops xenops libxc end"),
    "order-back": ("hvm", "qemu swtpm varstored xenops libxc end"),
    "only-end": ("pv", "end"),
    "no-libxc": ("pv", "xenops end"),
    "no-end-zeros": ("pv", "xenops libxc", bytes(1 << 20)),
    "zeros-after": ("pv", "xenops libxc end", bytes(1 << 20)),
    "image-twice": ("pv", "xenops libxc end", SIGNATURE, "xenops libxc end"),
    "old-image-after": ("pv", "xenops libxc end", b"vm_str ", "libxc end"),
    "libxc-twice": ("pv", "xenops libxc libxc end"),
    "libxc-length": ("pv", "xenops libxc=12345 end"),
    "libxc-length-max": ("pv", f"xenops libxc={2**64 - 1} end"),
    "end-length": ("pv", "xenops libxc end=5"),
    "end-length-max": ("pv", f"xenops libxc end={2**64 - 1}"),
    "libxl": ("hvm", "xenops libxc", record(LIBXL), "end"),
    "pv-with-qemu": ("pv", "xenops libxc qemu end"),
    "hvm-without-qemu": ("hvm", "xenops libxc end"),
    "qemu-twice": ("hvm", "xenops libxc qemu qemu end"),
    "qemu-empty": ("hvm", "xenops libxc", record(QEMU_TRAD), "end"),
    "qemu-1mib": ("hvm", "xenops libxc", record(QEMU_TRAD, bytes(1 << 20)), "end"),
    "qemu-1mib+1": ("hvm", "xenops libxc", record(QEMU_TRAD, bytes((1 << 20) + 1)), "end"),
    "qemu-xen": ("hvm", "xenops libxc", record(QEMU_XEN, bytes(4096)), "end"),
    "swtpm0": ("hvm", "xenops libxc", record(SWTPM0, bytes(range(256))), "qemu end"),
    "swtpm-many": ("hvm", "xenops libxc varstored swtpm swtpm swtpm qemu end"),
    "swtpm-empty": ("hvm", "xenops libxc varstored", record(SWTPM), "qemu end"),
    "swtpm-binary": ("hvm", "xenops libxc varstored", record(SWTPM, b"\0\1\xff"), "qemu end"),
    "varstored-other": ("hvm", "xenops libxc", record(VARSTORED, b"nonsense"), "qemu end"),
    "varstored-empty": ("hvm", "xenops libxc", record(VARSTORED), "qemu end"),
    "demu": ("hvm", "xenops libxc", record(DEMU), "qemu end"),
    "demu-vgpu": ("hvm vgpu", "xenops libxc", record(DEMU), "qemu end"),
    "demu-vgpu-first": ("hvm vgpu", "xenops", record(DEMU), "libxc qemu end"),
    "vgpu-without-demu": ("hvm vgpu", "xenops libxc qemu end"),
}

# Images that nobody means.
BROKEN = {
    "signature-only": ("pv", ""),
    "unknown": ("pv", "xenops libxc", record(0xF77, b"abc"), "end"),
    "unknown-first": ("pv", record(1, b"abc"), "xenops libxc end"),
    "unknown-zero": ("pv", "xenops libxc", record(0, b"abc"), "end"),
    "kind-2^32": ("pv", record(2**32 + XENOPS, T + b")"), "libxc end"),
    "kind-2^63": ("pv", "xenops libxc", record(2**63 + END)),
    "junk-between": ("pv", "xenops libxc", bytes(8), "end"),
}
SIGNATURES = {"v3": b"XenSavedDomv3-\n", "case": SIGNATURE.lower(), "space": SIGNATURE[:-1] + b" "}
LENGTHS = {"long": "+1", "long100": "+100", "short": "-1", "short8": "-8", "zero": "=0", "1gib+1": f"={2**30 + 1}",
           "2gib": f"={2**31}", "2^32": f"+{2**32}", "2^40": f"={2**40}", "2^62": f"={2**62}", "2^63": f"={2**63}",
           "max": f"={2**64 - 1}"}

# Texts of Xenops records.
RECORDS = {
    "minimal": T + b")", "old": b"((time now)(word_size 32))", "no-time": b"((word_size 64))",
    "no-word-size": b"((time x))", "empty": b"", "space": b"  \n ", "atom": b"abc", "nil": b"()",
    "word-size-text": b"((time x)(word_size abc))", "word-size-hex": b"((time x)(word_size 0x40))",
    "word-size-negative": b"((time x)(word_size -64))", "word-size-quoted": b'((time x)(word_size "64"))',
    "word-size-empty": b'((time x)(word_size ""))', "word-size-big": b"((time x)(word_size 99999999999999999999))",
    "word-size-2^62": b"((time x)(word_size 4611686018427387904))",
    "word-size-underscore": b"((time x)(word_size 6_4))", "word-size-space": b'((time x)(word_size " 64"))',
    "word-size-float": b"((time x)(word_size 64.0))", "word-size-list": b"((time x)(word_size (64)))",
    "word-size-plus": b"((time x)(word_size +64))", "word-size-0u": b"((time x)(word_size 0u64))",
    "word-size-0b": b"((time x)(word_size 0b1000000))", "time-list": b"((time (x))(word_size 64))",
    "time-empty": b'((time "")(word_size 64))', "time-twice": b"((time x)(time y)(word_size 64))",
    "word-size-twice": b"((time x)(word_size 64)(word_size 64))", "time-two-values": b"((time x y)(word_size 64))",
    "time-no-value": b"((time)(word_size 64))",
    "extra": T + b"(extra 1))", "extra-empty-list": T + b"())", "extra-atom": T + b" atom)",
    "extra-no-value": T + b"(extra))", "vm-list": T + b"(vm_str (x)))", "vm-empty": T + b'(vm_str ""))',
    "vm-no-value": T + b"(vm_str))", "vm-twice": T + b"(vm_str a)(vm_str b))", "vm-other": T + b'(vm_str "((("))',
    "xs-empty": T + b"(xs_subtree()))", "xs-pairs": T + b"(xs_subtree((a b)(c d))))",
    "xs-atom": T + b"(xs_subtree x))", "xs-single": T + b"(xs_subtree((a))))",
    "xs-triple": T + b"(xs_subtree((a b c))))", "xs-pair-list": T + b"(xs_subtree((a (b)))))",
    "xs-flat": T + b"(xs_subtree(a b)))", "xs-no-value": T + b"(xs_subtree))", "xs-two": T + b"(xs_subtree()()))",
    "two-lists": T + b")()", "space-after": T + b") \n", "nul-after": T + b")\0", "nul-before": b"\0" + T + b")",
    "junk-after": T + b")x", "unclosed": T, "closed-twice": T + b"))", "bom": b"\xef\xbb\xbf" + T + b")",
    "comment-line": T + b"; no (\n)", "comment-line-end": T + b");end", "comment-block": T + b"#| (x |#)",
    "comment-nested": T + b"#| #| |# |#)", "comment-open": T + b"#| )", "comment-list": T + b"#;(extra 1))",
    "comment-list-first": b"#;(x)" + T + b")", "comment-line-paren": b"((time x) ; )\n (word_size 64))",
    "hash-atom": b"((time #)(word_size 64))", "hash-pipe-in-atom": b"((time a#|b|#)(word_size 64))",
    "pipe-hash": b"((time a|#)(word_size 64))", "pipe-atom": b"((time |a)(word_size 64))",
    "hash-in-atom": b"((time a#b)(word_size 64))", "hash-semicolon-in-atom": b"((time a#;b)(word_size 64))",
    "quote-in-atom": b'((time a"b"c)(word_size 64))', "quote-open": b'((time "x)(word_size 64))',
    "quote-newline": b'((time "a\nb")(word_size 64))', "quote-continued": b'((time "a\\\n  b")(word_size 64))',
    "quote-continued-crlf": b'((time "a\\\r\n  b")(word_size 64))', "quote-cr": b'((time "a\\\rb")(word_size 64))',
    "escape-unknown": b'((time "a\\qb")(word_size 64))', "escape-decimal": b'((time "a\\065b")(word_size 64))',
    "escape-decimal-short": b'((time "a\\65b")(word_size 64))', "escape-300": b'((time "a\\300b")(word_size 64))',
    "escape-hex": b'((time "a\\x41b")(word_size 64))', "escape-hex-bad": b'((time "a\\xZZb")(word_size 64))',
    "escape-octal": b'((time "a\\o101b")(word_size 64))', "escape-u": b'((time "a\\u{41}b")(word_size 64))',
    "escape-end": b'((time "a\\")(word_size 64))', "backslash-in-atom": b"((time a\\b)(word_size 64))",
    "key-quoted": b'(("time" x)("word_size" 64))', "key-escaped": b'(("t\\105me" x)(word_size 64))',
    "key-case": b"((Time x)(word_size 64))", "not-nested": b"(time x word_size 64)",
    "tabs": b"(\t(time\tx)\r\n\f(word_size\x0b64))", "form-feed": b"((time x)\f(word_size 64))",
    "vertical-tab": b"((time x)\x0b(word_size 64))", "cr-alone": b"((time x)\r(word_size 64))",
    "cr-lf": b"((time x)\r\n(word_size 64))\r\n", "cr-at-end": b"((time x)(word_size 64))\r",
    "utf8": "((time ä€)(word_size 64))".encode(), "bytes-high": b"((time \xff\xfe)(word_size 64))",
    "nul-in-atom": b"((time a\0b)(word_size 64))", "nul-in-quotes": b'((time "a\0b")(word_size 64))',
    "control-in-atom": b"((time a\x01b)(word_size 64))",
    "deep": b"(" * 2000 + b")" * 2000, "deep-in-vm": T + b"(vm_str " + b"(" * 300 + b")" * 300 + b"))",
    "xs-40000-short": T + b"(xs_subtree(" + b"(a b)" * 40000 + b")))",
    "2mib-unclosed": T + b"(vm_str " + b"x" * (2 << 20) + b")",
    "2mib-good": T + b"(vm_str " + b"x" * (2 << 20) + b"))",
    "2mib-no-time": b"((word_size 64)(vm_str " + b"x" * (2 << 20) + b"))",
    **{f"xs-deep-{count}": T + b"(xs_subtree" + b"(" * count + b")" * count + b"))"
       for count in (60, 100, 128, 200, 1000)},
    **{f"xs-{count}": T + b"(xs_subtree(" + b"".join(b"(/local/domain/7/key%d value%d)" % (i, i) for i in range(count))
       + b")))" for count in (2000, 20000, 200000)},
}

# What the random records get.
INSERTED = [*(bytes([byte]) for byte in b"()\"\\;#|' \n\r\t\v\f\0\1\x1b\x7f\x80\xffx-_"), b"#|", b"|#", b"#;",
            "ä".encode(), b"64", b"0x", b"\\n", b"\\065", b"\\x41", b"()", b"(a b)", b"(vm_str x)",
            b"(vm_str (a b))", b"(xs_subtree())", b"(xs_subtree(a))", b'""', b"word_size", b"time", b"(\r", b"\r\n"]

# What is no Xenops record, but a configuration elsewhere.
OTHER_CONFIGURATIONS = {"json": b'{"c_info": {"type": "pv", "name": "x"}}', "xml": b"<domain/>", "xl": b'name = "x"\n'}

# Values for edits.
VALUES = {
    "word": "web1", "words": "two words", "empty": "", "quote": 'quo"te', "backslash": "back\\slash",
    "paren": "(paren", "semicolon": "semi;colon", "comment": "#|x|#", "comment-list": "#;x", "unicode": "ä€😀",
    "tab": "tab\tx", "newline": "line\nx", "cr": "cr\rx", "control": "\x01\x7f", "vertical-tab": "vt\x0bx",
    "hash-pipe": "a#|b", "pipe-hash": "a|#b", "apostrophe": "'", "space": " ", "escape": "\\065", "long": "x" * 5000,
    "number": "64",
}


def shaped(guest, *items):
    return lambda samples: samples.image(guest.split()[0], *items)


def around_stream(change, kind=LIBXC):
    """An image of a PV guest whose libxc stream was changed."""
    return lambda samples: samples.image("pv", "xenops", record(kind) + change(samples.parts["pv"]["libxc"]), "end")


def lengths():
    """Records that say another length than theirs."""
    for part, guest, shape in (("xenops", "pv", "xenops{} libxc end"), ("qemu", "hvm", "xenops libxc qemu{} end"),
                               ("varstored", "hvm", "xenops libxc varstored{} end")):
        for name, length in LENGTHS.items():
            yield f"D.{part}-length-{name}", guest, shaped(guest, shape.format(length))


def cuts():
    """An image that ends too early: in all that a record has."""
    def cut(image, kind, offset):
        place, body = next((place, body) for one, place, body in walk(image) if one == kind)
        return image[:place + (16 + len(body) // 2 if offset is None else offset)]

    for kind in (XENOPS, LIBXC, VARSTORED, SWTPM, QEMU_TRAD, END):
        for name, offset in {"before": 0, "kind": 7, "header": 8, "header-end": 15, "body": 16, "middle": None}.items():
            if kind != END or offset not in (16, None):
                yield f"D.cut-{name}-{kind:x}", "hvm", lambda samples, kind=kind, offset=offset: (
                    cut(samples.written["hvm"], kind, offset))


def given_images():
    """Images that are made here: name, guest, and how they are made of the samples."""
    for name, shape in SHAPES.items():
        yield f"C.{name}", shape[0], shaped(*shape)
    yield "C.legacy-libxc", "pv", around_stream(bytes, LIBXC_LEGACY)
    for name, shape in BROKEN.items():
        yield f"D.{name}", shape[0], shaped(*shape)
    for name, signature in SIGNATURES.items():
        yield f"D.signature-{name}", "pv", lambda samples, signature=signature: (
            signature + samples.written["pv"][len(SIGNATURE):])
    yield "D.empty", "pv", lambda samples: b""
    yield "D.signature-cut", "pv", lambda samples: SIGNATURE[:-1]
    yield "D.big-endian", "pv", lambda samples: SIGNATURE + b"".join(
        struct.pack(">QQ", kind, len(body)) + body for kind, _, body in walk(samples.written["pv"]))
    yield "D.libxc-marker", "pv", around_stream(lambda stream: b"\0" + stream[1:])
    yield "D.libxc-cut", "pv", around_stream(lambda stream: stream[:-8])
    yield "D.libxc-is-libxl", "pv", around_stream(lambda stream: b"LibxlFmt" + struct.pack(">II", 2, 0) + stream)
    yield from lengths()
    yield from cuts()
    for name, text in RECORDS.items():
        yield f"E.{name}", "pv", shaped("pv", record(XENOPS, text), "libxc end")
    yield "E.example", "pv", lambda samples: samples.image("pv", record(XENOPS, samples.example), "libxc end")


def random_records(count, seed):
    """Records with a few faults each."""
    generator = random.Random(seed)
    bases = [b'((time x)(word_size 64)(vm_str"((id a)(name\\"b\\\\\\"c\\"))")(xs_subtree((a b)(c d))))',
             b"((time x)(word_size 64))"]
    for _ in range(count):
        text = bytearray(generator.choice(bases))
        for _ in range(generator.choice((1, 1, 1, 2, 3))):
            place = generator.randrange(len(text) + 1)
            change = generator.choices(("insert", "remove", "replace", "repeat"), (11, 4, 2, 3))[0]
            if change == "insert":
                text[place:place] = generator.choice(INSERTED)
            elif change == "remove":
                del text[place:place + generator.choice((1, 1, 2, 5))]
            elif change == "replace":
                text[place:place + 1] = generator.randbytes(1)
            else:
                text[place:place] = text[place:place + generator.randrange(60)]
        yield bytes(text)
