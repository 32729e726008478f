"""The cases: each a function that asks both sides and returns what came of it."""
import functools
import re

import cases
import images
from sides import Answer, digests, digests_of_file


class Result:
    """What both said, and by aspect in what they differ."""

    def __init__(self, theirs, ours):
        self.theirs, self.ours, self.differences = theirs, ours, {}
        # Whether a refusal is one or hangs is no matter of ours.
        if (theirs.word == "takes") != (ours.word == "takes") or ours.word not in ("takes", "refuses"):
            self.differences["verdict"] = f"xenopsd: {theirs.reason or theirs.word}; ours: {ours.reason or ours.word}"


def judged(guest, image, sides, folder, expected=None):
    """Asks both about an image; `expected` are the parts that it has to have."""
    theirs, ours = sides.restore(guest, image, folder), sides.ask("verify", image, folder=folder)
    result = Result(theirs, ours)
    if expected is not None and theirs.word != "takes":
        result.differences["verdict"] = f"xenopsd: {theirs.reason or theirs.word}"
    elif theirs.word == ours.word == "takes":
        kept = {name: digest for name, digest in theirs.parts.items() if name in ("libxc", "qemu")}
        found = sides.back(image, folder)
        if found != kept or expected not in (None, theirs.parts):
            result.differences["parts"] = f"expected: {expected}; xenopsd: {theirs.parts}; ours: {found}"
    return result


def converted(name, how, guest, sides, folder):
    """A file of xl that ours converts."""
    source, image = sides.source(name, folder), folder / "image"
    if how == "aligned":
        sides.ask("convert", source, "--layout", "aligned", "-o", folder / "aligned", folder=folder)
        source = folder / "aligned"
    words = ["convert", source, "--to", "xenopsd"]
    if how == "wrap":
        (folder / "config").write_bytes(sides.samples.example)
        words = ["wrap", source, "--in", "xenopsd", "--config", folder / "config", "--lossy"]
    answer = sides.ask(*words, "-o", image, folder=folder)
    if answer.word != "takes":
        return Result(Answer("takes"), answer)
    return judged(guest, image, sides, folder, digests_of_file(source))


def written(guest, names, sides, folder):
    """An image that xenopsd's code writes."""
    parts = {**sides.samples.parts["hvm"], **sides.samples.parts[guest], **images.STATES}
    parts = {name: parts[name] for name in names}
    return judged(guest, sides.save(guest, parts, folder), sides, folder, digests(parts))


def given(guest, make, sides, folder):
    """An image that is made here."""
    (folder / "image").write_bytes(make(sides.samples))
    return judged(guest, folder / "image", sides, folder)


def random_record(text, sides, folder):
    """A record alone: what ours says of all else is left out."""
    (folder / "image").write_bytes(images.SIGNATURE + images.record(images.XENOPS, text) + images.record(images.END))
    ours = sides.ask("verify", folder / "image", folder=folder)
    if ours.word == "refuses" and not re.search(r"error: .*\[xenopsd\.xenops\]$", ours.log, re.M):
        ours.word = "takes"
    return Result(sides.record(text, folder), ours)


def edited(field, value, sides, folder):
    """An edit by ours."""
    (folder / "before").write_bytes(sides.samples.written["hvm"])
    image = folder / "image"
    ours = sides.ask("set", folder / "before", f"xenops.{field}={value}", "-o", image, folder=folder)
    if ours.word != "takes":
        return Result(Answer("takes"), ours)
    result = judged("hvm", image, sides, folder, digests({**sides.samples.parts["hvm"], **images.STATES}))
    if result.theirs.word == "takes":
        read = sides.record(next(images.walk(image.read_bytes()))[2], folder).parts
        if not read or read[field] != value:
            result.differences["text"] = f"xenopsd: {read}"
    return result


def wrapped(text, sides, folder):
    """A configuration that ours puts into an image."""
    (folder / "config").write_bytes(text)
    source, image = sides.source("pv-4.17", folder), folder / "image"
    ours = sides.ask("wrap", source, "-o", image, "--in", "xenopsd", "--config", folder / "config", folder=folder)
    return Result(sides.restore("pv", image, folder) if image.exists() else sides.record(text, folder), ours)


def all_cases(count, seed):
    """The functions by the names of the cases. They take the sides and a directory."""
    found = {}
    for name, (guest, options) in {**cases.FIXTURES, **cases.MADE}.items():
        # Only a file with xl's header can be aligned.
        for how in ("convert", "wrap") if "--layer" in options else ("convert", "wrap", "aligned"):
            found[f"A.{name}-{how}"] = functools.partial(converted, name, how, guest)
    for name, (guest, parts) in cases.WRITTEN.items():
        found[f"B.{name}"] = functools.partial(written, guest, parts)
    for name, guest, make in cases.given_images():
        found[name] = functools.partial(given, guest, make)
    for name, text in {**cases.RECORDS, **cases.OTHER_CONFIGURATIONS}.items():
        found[f"wrap.{name}"] = functools.partial(wrapped, text)
    for name, value in cases.VALUES.items():
        for field in ("time", "vm_str.name"):
            found[f"set.{field}-{name}"] = functools.partial(edited, field, value)
    for index, text in enumerate(cases.random_records(count, seed)):
        found[f"random.{index}"] = functools.partial(random_record, text)
    return found
