"""Asks xenopsd's code and our program about images; each case has a directory of its own."""
import hashlib
import os
import pathlib
import re
import shutil
import struct

import cases
import images
import processes
from processes import Failure

HERE = pathlib.Path(__file__).resolve().parent
SCRIPTS = HERE.parent
FIXTURES = SCRIPTS.parent / "Tests/Fixtures"
# Seconds that the player of emu-manager waits for a command, and after which a restore is said to hang.
IDLE, HANG = 5, 15


class Answer:
    """What a side says: takes, refuses, hangs or how it has ended; what it has got; why."""

    def __init__(self, word, reasons=(), parts=None, log=""):
        self.word, self.parts, self.log = word, parts, log
        self.reason = "; ".join(dict.fromkeys(reasons))


def digests(parts):
    return {name: hashlib.md5(contents).hexdigest() for name, contents in parts.items()}


def digests_of_file(path):
    """The MD5 of the parts of a file that our program may have written."""
    try:
        return digests(images.parts_of_file(path.read_bytes()))
    except (OSError, ValueError, IndexError, struct.error) as error:
        return {"unreadable": str(error)}


class Sides:
    """The two sides, and the samples that images are made of."""

    def __init__(self, program, judge, example, root):
        self.program, self.judge, self.root = program, judge, root
        self.patience = 1
        self.samples = images.Samples(example.encode())

    def prepare(self):
        """Makes the samples, from a file of xl for each guest and by a save of xenopsd's code."""
        for guest, name in {"pv": "pv-4.17", "pvh": "pvh-4.17", "hvm": "hvm"}.items():
            folder = self.make_folder(f"sample-{guest}")
            parts = images.parts_of_file(self.source(name, folder).read_bytes())
            self.samples.parts[guest] = parts
            states = images.STATES if guest == "hvm" else {}
            self.samples.written[guest] = self.save(guest, {**parts, **states}, folder).read_bytes()
            shutil.rmtree(folder)

    def make_folder(self, name):
        """An empty directory."""
        folder = self.root / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder

    def run(self, *command, folder, timeout=None):
        """Runs a command in a case's directory; returns its exit status, None where it hangs, and its output."""
        variables = {**os.environ, "XENOPSD_COMPARE_IDLE": str(IDLE * self.patience)}
        status, output, _ = processes.run(command, timeout, cwd=folder, env=variables)
        return status, output.decode("utf-8", "backslashreplace")

    def source(self, name, folder):
        """A file of xl by its name among the cases."""
        path = folder / "source"
        if name in cases.MADE:
            guest, options = cases.MADE[name]
            command = [SCRIPTS / "make-image", "--guest", guest, "--memory", "4MiB", *options, path]
        else:
            fixture = FIXTURES / cases.FIXTURES[name][1]
            if fixture.suffix != ".zst":
                return fixture
            command = ["zstd", "-dqf", fixture, "-o", path]
        status, output = self.run(*command, folder=folder)
        if status:
            raise Failure(output.strip())
        return path

    def restore(self, guest, image, folder):
        """What xenopsd's code says of an image, and what it gets from it."""
        (folder / "qemu-resume.7").unlink(missing_ok=True)
        status, output = self.run(self.judge, "read", HERE / "emu-manager", *guest.split(), image, folder=folder,
                                  timeout=HANG * self.patience)
        reasons = [line for line in re.findall(
            r"^(?:warning|error): [\w-]+: (?:VM = \S+; domid = \d+; )?(.{,200})", output, re.M)
            if not re.match(r"Memory |.*Cancelled", line)]
        word = {0: "takes", 1: "refuses", None: "hangs"}.get(status, f"exit {status}")
        return Answer(word, reasons, dict(re.findall(r"^part: (\w+) (\w+)$", output, re.M)), output)

    def save(self, guest, parts, folder):
        """Has xenopsd's code write an image; returns its path."""
        for name, contents in parts.items():
            (folder / name).write_bytes(contents)
        uefi, image = ["uefi"] if "varstored" in parts else [], folder / "image"
        status, output = self.run(self.judge, "write", HERE / "emu-manager", guest, *uefi, image, folder=folder)
        if status:
            raise Failure(f"xenopsd's code does not save a {guest} guest: {output[-500:]}")
        return image

    def record(self, text, folder):
        """What xenopsd's code says of a Xenops record; the time and the name of the VM in it."""
        (folder / "record").write_bytes(text)
        _, output = self.run(self.judge, "record", folder / "record", folder=folder)
        word, _, rest = output.rstrip("\n").partition(" ")
        if word != "takes":
            return Answer(word, [rest[:200]], log=output)
        time, name = (None if field == "none" else bytes.fromhex(field).decode(errors="backslashreplace")
                      for field in rest.split("."))
        return Answer(word, parts={"time": time, "vm_str.name": name}, log=output)

    def ask(self, *words, folder):
        """What our program says to a command."""
        status, output = self.run(self.program, *words, folder=folder)
        output = output.replace(f"{folder}/", "").strip()
        word = {0: "takes", 1: "refuses"}.get(status, f"exit {status}")
        return Answer(word, [output[-300:].replace("\n", " / ")], log=output)

    def back(self, image, folder):
        """The parts that our program finds in a suspend image."""
        path = folder / "back"
        answer = self.ask("convert", image, "-o", path, "--to", "libxl", "--lossy", "--unchecked", folder=folder)
        return digests_of_file(path) if answer.word == "takes" else {"none": answer.reason}
