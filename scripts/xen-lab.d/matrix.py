"""xen-lab matrix: every test of the lab with every guest on every release of Xen, in one table.

Each cell is a run of xen-lab of its own.  Images that restore-test saves on one release are restored on
the others afterwards, made for them by `convert --for-host` (rows "from RELEASE").
"""
import json
import shlex
import subprocess
import time

GUESTS = ["pv", "pvh", "hvm"]

# Test, guests, words of the command.  The judge's images and decisions are those of 4.17.
TESTS = [
    ("restore-test", GUESTS, ["restore-test", "--keep-images"]),
    ("in place", GUESTS, ["restore-test", "--in-place"]),
    ("through v2", GUESTS, ["restore-test", "--through", "v2"]),
    ("through draft B", GUESTS, ["restore-test", "--through", "draft-b"]),
    ("through big-endian", GUESTS, ["restore-test", "--through", "big-endian"]),
    ("through Xen 4.5's format", ["pv"], ["restore-test", "--through", "legacy"]),
    ("level-test", ["pvh", "hvm"], ["level-test", "--level", "x86-64-v2"]),
    ("helper-test", GUESTS, ["helper-test"]),
    ("domain-test", ["pvh", "hvm"], ["domain-test"]),
    ("compact-test", ["pvh", "hvm"], ["compact-test"]),
    ("remus-kill-test", ["pvh"], ["remus-kill-test", "--helper", "filtered", "--runs", "3"]),
    ("judge", GUESTS, ["judge", "--count", "25"]),
]
ONLY_ON = {"judge": ["4.17"]}

# What stock Xen does not do either: release, test, guest, and why.  Such a cell may fail.
REFUSED = {
    ("4.14", "helper-test", guest): "Linux 5.10 hangs after xl save -c, with the stock helper, too"
    for guest in ("pv", "pvh")
}


class Matrix:
    """The cells, their results so far, and where logs and images are."""

    def __init__(self, program, options, folder):
        self.program, self.options, self.folder = program, options, folder
        self.results = {}
        self.state = folder / "results.json"
        if options.resume and self.state.exists():
            self.results = json.loads(self.state.read_text())
        folder.mkdir(parents=True, exist_ok=True)

    def cells(self):
        """Key, test, guest, release and words of each run, in the order in which they are due."""
        releases = self.options.only or self.options.releases
        for release in releases:
            for test, guests, words in TESTS:
                for guest in guests if release in ONLY_ON.get(test, [release]) else []:
                    yield test, guest, release, [*words, "--guest", guest]
        for release in releases:
            for origin in releases:
                for guest in GUESTS if origin != release else []:
                    yield f"from {origin}", guest, release, ["ladder-test", self.image(origin, guest)]

    def image(self, release, guest):
        return str(self.folder / f"{release}-restore-test-{guest}" / "images" / f"{guest}.xlsave")

    def wanted(self, test, guest):
        options = self.options
        return ((not options.guest or guest in options.guest)
                and (not options.test or any(test.startswith(word) for word in options.test)))

    def run(self, say):
        """Runs what is wanted and not yet done; returns how many cells failed."""
        for test, guest, release, words in self.cells():
            key = f"{release} {test} {guest}"
            if not self.wanted(test, guest) or self.results.get(key, {}).get("status") == 0:
                continue
            name = f"{release}-{test}-{guest}".replace(" ", "-").replace("'", "")
            log = self.folder / f"{name}.log"
            if words[0] == "ladder-test":
                binary = ["--binary", str(self.options.binary)]
            else:
                binary = [str(self.options.binary)]
            command = [*self.program, words[0], *binary, *words[1:], "--release", release,
                       "--pull", str(self.folder / name), "--timeout", str(self.options.timeout)]
            began = time.monotonic()
            with open(log, "w") as file:
                print("$", shlex.join(command), file=file, flush=True)
                status = subprocess.run(command, stdout=file, stderr=file).returncode
            lines = log.read_text(errors="replace").strip().split("\n")
            told = [line for line in lines if "FAILED" in line or line.startswith("xen-lab: ")]
            self.results[key] = {"status": status, "seconds": round(time.monotonic() - began),
                                 "said": (told or lines)[-1][:200]}
            self.state.write_text(json.dumps(self.results, indent=1))
            say(f"{key}: {self.word(key, test, guest, release)}"
                + (f" ({self.results[key]['said']})" if status else ""))
        return self.table()

    def word(self, key, test, guest, release):
        result = self.results.get(key)
        if result is None:
            return ""
        if result["status"] == 0:
            return f"good {result['seconds']} s"
        return "as stock" if (release, test, guest) in REFUSED else f"FAILED {result['status']}"

    def table(self):
        """Prints the table and why what failed failed; returns how many cells failed."""
        releases = self.options.only or self.options.releases
        rows, failures, refused = {}, [], []
        for test, guest, release, _ in self.cells():
            if not self.wanted(test, guest):
                continue
            key = f"{release} {test} {guest}"
            word = self.word(key, test, guest, release)
            rows.setdefault((test, guest), {})[release] = word
            if word.startswith("FAILED"):
                failures.append(f"{key}: {self.results[key]['said']}")
            elif word == "as stock":
                refused.append(f"{key}: {REFUSED[release, test, guest]}")
        width = max([len(test) for test, _ in rows], default=4) + 2
        for (test, guest), words in {("test", "guest"): {r: r for r in releases}, **rows}.items():
            line = f"{test:{width}}{guest:7}"
            print((line + "".join(f"{words.get(release, '-'):14}" for release in releases)).rstrip())
        for title, lines in ("as stock Xen", refused), ("failed", failures):
            if lines:
                print(f"\n{title}:", *lines, sep="\n  ")
        return len(failures)
