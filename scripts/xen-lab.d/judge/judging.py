"""Mutants of images before three judges: a real Xen, and what verify, compat and the simulated restore
say of the same bytes."""
import collections
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import images
import mutants

FOLDER = Path(__file__).resolve().parent
FIXTURES = FOLDER.parent.parent.parent / "Tests/Fixtures"
RELEASE = "4.17"
CHUNK = 40                                 # images that are on the host's disk at a time
SILENCE_SECONDS = 240                      # what dom0 may take for one image; then it is gone
PAGE_RULES = "page-table.", "start-info.pfn"
TAKEN = "restored", "lives"                # outcomes of Xen's that are for an image


class Ruling:
    """What all judges say of a mutant."""

    def __init__(self, mutant):
        self.mutant = mutant
        self.xen = self.said = None
        self.is_good = self.rules = self.fits = self.against = None
        self.is_simulated = self.failure = None

    @property
    def has_only_page_errors(self):
        return not self.is_good and all(
            rule.startswith(PAGE_RULES) for rule in self.rules.split(","))

    @property
    def is_of_later_releases(self):
        """Whether verify names only what a later Xen than this one refuses: compat leaves that out, and
        what it says nothing of but for that is in pages."""
        return not self.is_good and self.fits and not self.has_only_page_errors

    @property
    def verdict(self):
        """verify against Xen, in one word. A mutant that stands may be no fault of the image's form: a
        guest whose registers have changed."""
        is_good = self.is_good or self.is_of_later_releases
        if self.xen == "stands":
            return "broken" if is_good else "agree"
        taken = self.xen in TAKEN
        return "agree" if taken == is_good else "false good" if is_good else "false bad"

    @property
    def compat_verdict(self):
        if self.xen == "stands":
            return "broken" if self.fits else "agree"
        if self.has_only_page_errors:      # compat looks into no page
            return "agree"
        taken = self.xen in TAKEN
        return "agree" if taken == self.fits else "false yes" if self.fits else "false no"

    def described(self):
        return "\n".join([
            f"mutant    {self.mutant.name}", f"changes   {self.mutant.words}",
            f"Xen       {self.xen}: {self.said}",
            f"verify    {'good' if self.is_good else 'bad: ' + self.rules}",
            f"compat    {'yes' if self.fits else 'no: ' + self.against}",
            f"simulated {'restored' if self.is_simulated else 'failed: ' + self.failure}", ""])


class Decisions:
    """Disagreements that are meant.  A line of the file: good or bad (verify's verdict), a regular
    expression, a tab, and the reason; "bad" is held against each rule's id, "good" against the changes
    and what Xen said."""

    def __init__(self, path):
        self.rows = []
        for line in path.read_text().split("\n"):
            if line and not line.startswith("#"):
                front, why = line.split("\t", 1)
                verdict, pattern = front.split(" ", 1)
                self.rows.append((verdict, re.compile(pattern), why.strip()))

    def why(self, ruling):
        """Why the disagreement is meant; None if it is not."""
        if ruling.verdict == "false good" or ruling.compat_verdict == "false yes":
            text = f"{ruling.mutant.words} ## {ruling.said}"
            return next((why for verdict, pattern, why in self.rows
                         if verdict == "good" and pattern.search(text)), None)
        rules = ruling.rules.split(",") if ruling.rules else []
        reasons = [next((why for verdict, pattern, why in self.rows
                         if verdict == "bad" and pattern.fullmatch(rule)), None) for rule in rules]
        return reasons[0] if reasons and all(reasons) else None


class Court:
    def __init__(self, guest, options, lab, base):
        """`lab(mutants file, base file, line handler)` has dom0 judge; it returns why it ended early, or
        None. `base` is the image that the mutants are made of."""
        self.guest, self.options, self.lab = guest, options, lab
        self.base, self.image = base, images.Image(base)
        self.decisions = Decisions(FOLDER / "decisions")
        lines = options.edits.read_text().split("\n") if options.edits else []
        self.edits = [line for line in lines if line.strip() and not line.startswith("#")]

    def mutant(self, number, only=None):
        if self.edits:
            made = mutants.edited(self.base, self.image, number, self.edits[number])
            made.name = f"{self.guest}-edit-{number + 1}"
            return made
        made = mutants.mutant(self.base, self.image, self.guest, self.options.seed, number, only)
        made.name = f"{self.guest}-{self.options.seed}-{number}" + (
            "" if only is None else "-" + "".join(map(str, only)))
        return made

    # The host's judges

    def ask_program(self, rulings):
        """Has verify, compat and the simulated restore judge; in a few processes, which end with their
        images."""
        for start in range(0, len(rulings), CHUNK):
            chunk = rulings[start:start + CHUNK]
            with tempfile.TemporaryDirectory(dir=self.options.work) as folder:
                for index, ruling in enumerate(chunk):
                    path = Path(folder, f"{index}.xlsave")
                    path.write_bytes(images.built(ruling.mutant.pieces, self.base))
                missing = self.ask_about(chunk, folder, range(len(chunk)))
                for index in missing:                  # one of them ended the program
                    if self.ask_about(chunk, folder, [index]):
                        ruling = chunk[index]
                        ruling.is_good, ruling.rules = True, ""
                        ruling.fits, ruling.against = True, ""
                        ruling.is_simulated, ruling.failure = False, "the program ended with a fault"

    def ask_about(self, chunk, folder, numbers):
        """Returns the numbers of which there was no answer."""
        base = Path(folder, "base")
        base.write_bytes(self.base)
        kind = "x86_pv" if self.guest == "pv" else "x86_hvm"
        command = [self.options.binary, FOLDER / "verdicts.lua", base, RELEASE, kind]
        command += [Path(folder, f"{number}.xlsave") for number in numbers]
        result = subprocess.run(command, capture_output=True, text=True, errors="replace")
        left = set(numbers)
        for line in result.stdout.split("\n"):
            fields = line.split("\t")
            if len(fields) != 7:
                continue
            number = int(Path(fields[0]).stem)
            left.discard(number)
            ruling = chunk[number]
            ruling.is_good, ruling.rules = fields[1] == "ok", fields[2]
            ruling.fits, ruling.against = fields[3] == "yes", fields[4]
            ruling.is_simulated, ruling.failure = fields[5] == "ok", fields[6]
        if left and len(left) == len(numbers) > 1:
            print(f"judge: {result.stderr.strip()[-300:]}", file=sys.stderr)
        return sorted(left)

    # Xen

    def ask_xen(self, rulings):
        """Has Xen judge, in as many boots of the lab as it takes: what ends the machine is written down,
        and the others go on in a new one."""
        rest = list(rulings)
        self.options.pull.mkdir(parents=True, exist_ok=True)
        while rest:
            batch = rest[:self.options.batch]
            # What came before an end that nobody wanted is not lost.
            with tempfile.TemporaryDirectory(dir=self.options.work) as folder, \
                    open(self.options.pull / f"{self.guest}.heard", "a", buffering=1) as heard:
                base, rows = Path(folder, "base"), Path(folder, "mutants")
                base.write_bytes(self.base)
                rows.write_text("".join(
                    f"{index} {int(self.is_to_live(index, ruling))} {images.text_of(ruling.mutant.pieces)}\n"
                    for index, ruling in enumerate(batch)))

                def hear(line):
                    match = re.fullmatch(r"(\d+) (refused|restored|lives|stands|hangs) (.*)", line)
                    if match:
                        ruling = batch[int(match[1])]
                        ruling.xen, ruling.said = match[2], match[3]
                        heard.write(f"{ruling.mutant.words} ## {match[2]} {match[3]}\n")
                        done = sum(one.xen is not None for one in rulings)
                        if done % 50 == 0:
                            print(f"judge: {done} of {len(rulings)}", file=sys.stderr, flush=True)
                    elif line.strip():
                        print(f"dom0: {line}", file=sys.stderr)

                failure = self.lab(rows, base, hear)
            silent = [ruling for ruling in batch if ruling.xen is None]
            if silent:
                silent[0].xen, silent[0].said = "hangs", f"the machine: {failure}"
                print(f"judge: {silent[0].mutant.name}: {failure}", file=sys.stderr)
            rest = silent[1:] + rest[len(batch):]

    def is_to_live(self, index, ruling):
        """Some go on, and all that verify calls bad: Xen may take what breaks the guest."""
        return not ruling.is_good or not ruling.fits or index % self.options.alive == 0

    # All

    def hold(self):
        """Judges all mutants; returns how many disagreements are not meant."""
        numbers = self.options.only or range(len(self.edits) or self.options.count)
        rulings = [Ruling(self.mutant(number)) for number in numbers]
        self.ask_program(rulings)
        self.ask_xen(rulings)
        wrong = [ruling for ruling in rulings if self.is_open(ruling)]
        rulings = self.minimised(rulings, wrong)
        self.write(rulings)
        return self.print_table(rulings)

    def is_open(self, ruling):
        disagrees = (ruling.verdict in ("false good", "false bad")
                     or ruling.compat_verdict in ("false yes", "false no"))
        return disagrees and self.decisions.why(ruling) is None

    def minimised(self, rulings, wrong):
        """Each disagreement once more, with fewer changes if they do; what does not come again, an
        accident of the emulation, takes the second ruling."""
        if not wrong:
            return rulings
        trials = {ruling: [Ruling(self.mutant(ruling.mutant.number, [step]))
                           for step in ruling.mutant.steps if len(ruling.mutant.steps) > 1]
                  + [Ruling(self.mutant(ruling.mutant.number))] for ruling in wrong}
        again = [trial for row in trials.values() for trial in row]
        self.ask_program(again)
        self.ask_xen(again)
        chosen = {ruling: next((trial for trial in row if self.is_open(trial)), row[-1])
                  for ruling, row in trials.items()}
        return [chosen.get(ruling, ruling) for ruling in rulings]

    def write(self, rulings):
        folder = self.options.pull
        folder.mkdir(parents=True, exist_ok=True)
        stem = f"{self.guest}-{self.options.seed}"
        with open(folder / f"{stem}.txt", "w") as report, open(folder / f"{stem}.judged", "w") as record:
            record.write(base_line(self.guest, self.base))
            for ruling in rulings:
                why = self.decisions.why(ruling) if ruling.verdict.startswith("false") else None
                if ruling.is_of_later_releases:
                    why = f"releases after {RELEASE} refuse it"
                remark = f"meant: {why}" if why else ruling.said
                text = ruling.described() + f"so        {ruling.verdict}, {ruling.compat_verdict}" + (
                    f", meant: {why}" if why else "") + "\n\n"
                report.write(text)
                record.write(f"{ruling.mutant.kind} {'good' if ruling.is_good else 'bad'} {ruling.xen} "
                             f"{images.text_of(ruling.mutant.pieces)} # "
                             f"{ruling.mutant.words.replace('#', '-')} # {remark.replace('#', '-')}\n")
                if self.is_open(ruling):
                    (folder / f"{ruling.mutant.name}.txt").write_text(text)
                    (folder / f"{ruling.mutant.name}.xlsave").write_bytes(
                        images.built(ruling.mutant.pieces, self.base))

    def print_table(self, rulings):
        rows = collections.defaultdict(collections.Counter)
        disagreements = []
        for ruling in rulings:
            row = rows[ruling.mutant.kind]
            outcome = ruling.xen if ruling.xen in ("refused", "stands", "hangs") else "taken"
            is_meant = self.decisions.why(ruling) is not None
            for name in [outcome, "all"]:
                row[name] += 1
            if ruling.verdict != "agree":
                row["meant" if ruling.verdict != "broken" and is_meant else ruling.verdict] += 1
            if ruling.compat_verdict.startswith("false") and not is_meant:
                row[ruling.compat_verdict] += 1
            if ruling.xen in TAKEN and not ruling.is_simulated and ruling.is_good:
                row["sim refuses"] += 1
            if ruling.xen == "refused" and ruling.is_simulated:
                row["sim takes"] += 1
            if self.is_open(ruling):
                disagreements.append(ruling)
        columns = ["all", "taken", "refused", "stands", "hangs", "false good", "false bad", "meant",
                   "broken", "false yes", "false no", "sim refuses", "sim takes"]
        total = collections.Counter()
        for row in rows.values():
            total.update(row)
        print(f"\n{self.guest.upper()}, seed {self.options.seed}: {len(rulings)} mutants on Xen {RELEASE}")
        print(" " * 22 + "".join(f"{name:>12}" for name in columns))
        for name, row in [*sorted(rows.items()), ("all", total)]:
            print(f"{name:<22}" + "".join(f"{row[column] or '.':>12}" for column in columns))
        for ruling in disagreements:
            print(f"\n{ruling.verdict}, {ruling.compat_verdict}:\n{ruling.described()}", end="")
        return len(disagreements)


def base_of(guest, path=None):
    """The image that mutants are made of."""
    path = path or FIXTURES / f"{guest}-4m-1v-tiny.xlsave"
    whole = path.read_bytes()
    return images.built(images.compacted(whole), whole)


def base_line(guest, base):
    """How to make the base: of a fixture, or all of it, but with pages of zeros."""
    fixture = FIXTURES / f"{guest}-4m-1v-tiny.xlsave"
    if fixture.exists():
        whole = fixture.read_bytes()
        pieces = images.compacted(whole)
        if images.built(pieces, whole) == base:
            return f"base {fixture.name} {images.text_of(pieces)}\n"
    pages = bytearray(base)
    for record in images.Image(base).records(images.wire.PAGE_DATA):
        for offset, length in record.pages:
            pages[offset:offset + length] = bytes(length)
    return f"base - {images.text_of([bytes(pages)])}\n"
