"""The host half of xen-lab guest-test: makes a guest that prints all about itself, and holds what
`xensave-lua guest` says of its image against that, line by line."""
import json
import re
import shutil
import subprocess
from decimal import Decimal
from pathlib import Path

HERE = Path(__file__).resolve().parent
MODULES = ["dummy"]


def run(command, **options):
    result = subprocess.run(command, capture_output=True, **options)
    if result.returncode:
        words = result.stderr.decode(errors="replace").strip().splitlines()
        raise RuntimeError(f"{command[0]}: {words[-1] if words else result.returncode}")
    return result.stdout


def make_kernel(packages, folder):
    """Makes the directory that guest-test takes a kernel from, out of packages of Debian."""
    tree, boot = folder / "package", folder / "initrd"
    for package in packages:
        run(["dpkg", "-x", package, tree])
    # Since 2026 it lies beside the modules.
    image = next(path for place in ("boot/vmlinuz-*", "**/vmlinuz*") for path in tree.glob(place))
    run([HERE.parent / "extract-vmlinux", image, folder / "vmlinux"])
    shutil.move(image, folder / "vmlinuz")
    (boot / "modules").mkdir(parents=True)
    for name in MODULES:
        # Debian 13 has modules below /usr, and packed.
        path = next(tree.rglob(f"{name}.ko*"))
        shutil.copy(path, boot / "modules" / path.name)
        if path.suffix == ".xz":
            run(["xz", "-d", boot / "modules" / path.name])
    shutil.rmtree(tree)
    shutil.copy(HERE / "init", boot / "init")
    (boot / "init").chmod(0o755)
    run(["gcc", "-static", "-s", "-O1", "-pthread", "-Wall", "-Werror", "-o", boot / "probe",
         HERE / "probe.c"])
    names = b"\n".join(str(path.relative_to(boot)).encode() for path in sorted(boot.rglob("*")))
    archive = run(["cpio", "-o", "-H", "newc", "-R", "0:0", "--quiet"], input=names, cwd=boot)
    (folder / "probe.cpio.gz").write_bytes(run(["gzip", "-1c"], input=archive))
    shutil.rmtree(boot)


def sections(log):
    """What the guest has printed: lines by the name of their section, and the words after it."""
    found, name = {}, None
    text = log.read_text(errors="replace").replace("\r", "")
    for line in text[text.index("probe begins"):].splitlines()[1:]:
        if line == "probe ends":
            break
        if line.startswith("=== "):
            name = line[4:]
            found[name] = []
        elif name:
            found[name].append(line)
    return found


def stacks(lines):
    """Frames by task, as `symbol+offset`."""
    found = {}
    for line in lines:
        if line.startswith("task "):
            frames = found[int(line[5:])] = []
        elif match := re.match(r"\[<0>\] (\S+?)(?:\.\S+)?\+0x([0-9a-f]+)/0x[0-9a-f]+(?: \[(\S+)\])?$", line):
            frames.append(f"{match[1]}+{int(match[2], 16)}")
    return found


def plain_title(name):
    """The name of a task without what a worker of the kernel has last worked on: that changes."""
    return re.sub(r"^(kworker/[^-+]*)[-+].*", r"\1", name)


class Comparison:
    """One guest: what it said, and what its image says by our program."""

    # Threads of the kernel that suspend it, and those that never rest.
    SAVING = "migration/", "xenwatch", "rcu_", "kworker/", "ksoftirqd/"

    def __init__(self, program, image, log):
        self.program, self.image = program, image
        self.said = sections(log)
        self.rows = []                     # (what, how many agree, of how many, the differences)

    def guest(self, *words):
        text = run([self.program, "guest", "--json", self.image, *map(str, words)])
        return json.loads(text, parse_float=Decimal)

    def hold(self, what, said, ours):
        """Both are dictionaries."""
        differences = [(key, ours.get(key), said.get(key)) for key in sorted(
            said.keys() | ours.keys(), key=str) if said.get(key) != ours.get(key)]
        self.rows.append((what, len(said), len(differences), differences))

    def section(self, name):
        """The lines of a section, and the word after its name."""
        key = next((key for key in self.said if key.split()[0] == name), name)
        return self.said.get(key, []), key.split()[-1]

    def all(self):
        for check in (self.kernel, self.tasks, self.commands, self.stacks, self.modules, self.mounts,
                      self.addresses, self.sockets, self.maps, self.files, self.symbols, self.log):
            check()
        return self.rows

    def kernel(self):
        release = json.loads(run([self.program, "info", "--json", self.image]))["kernel"]
        self.hold("kernel", {"release": self.section("kernel")[0][0]}, {"release": release})

    def tasks(self):
        said = {}
        for line in self.section("tasks")[0]:
            pid, rest = line.split(" ", 1)
            name, rest = rest[1:].rsplit(") ", 1)
            words = rest.split()
            said[int(pid)] = (plain_title(name), int(words[1]), int(words[19]), int(words[20]) >> 10)
        users = {int(re.search(r"/proc/(\d+)/", line)[1]): int(line.split()[1])
                 for line in self.section("users")[0]}
        tasks = self.guest("ps", "--threads")["tasks"]
        ours = {}
        for task in tasks:
            if task["pid"] in said:
                name = task["name"]
                # /proc has longer names for threads of the kernel, as our command has.
                if isinstance(task["command"], str):
                    name = plain_title(task["command"].strip("[]"))
                ours[task["pid"]] = (name, task["ppid"], int(task["start"] * 100), task["vsz_kib"])
        self.hold("tasks", said, ours)
        more = {task["pid"]: task["name"] for task in tasks if task["pid"] > 1 and task["pid"] not in said}
        # A save may start workers of the kernel; nothing else.
        self.hold("new tasks", {}, {pid: name for pid, name in more.items() if "kworker" not in name})
        self.hold("users", users, {task["pid"]: task["uid"] for task in tasks if task["pid"] in users})
        states = {"T", "Z"}
        self.hold("states", {
            int(line.split()[0]): line.rsplit(") ", 1)[1][0] for line in self.section("tasks")[0]
            if line.rsplit(") ", 1)[1][0] in states
        }, {task["pid"]: task["state"][0] for task in tasks if task["state"][0] in states})

    def commands(self):
        said = {}
        for line in self.section("commands")[0]:
            pid, _, words = line.partition(" ")
            if words and pid != "1":
                said[int(pid)] = words.rstrip("\1").split("\1")
        ours = {task["pid"]: task["command"] for task in self.guest("ps")["tasks"] if task["pid"] in said}
        self.hold("commands", said, ours)

    def stacks(self):
        first, again = stacks(self.section("stacks")[0]), stacks(self.said["stacks again"])
        # Those that did not change while all was printed. The kernel leaves out where it schedules.
        said = {pid: frames for pid, frames in first.items()
                if pid != 1 and frames and frames == again.get(pid)}
        inside = {symbol["name"]: int(symbol["address"], 16)
                  for name in ("__sched_text_start", "__sched_text_end")
                  for symbol in self.guest("sym", name)["symbols"]}
        start, end = inside["__sched_text_start"], inside["__sched_text_end"]
        ours, moved = {}, 0
        for stack in self.guest("stack", "all")["stacks"]:
            pid = stack["pid"]
            if pid not in said:
                continue
            frames = list(stack["frames"])
            while frames and start <= int(frames[0]["address"], 16) < end:
                frames.pop(0)
            ours[pid] = [f"{frame['symbol'].split('.')[0]}+{frame['offset']}" for frame in frames]
            # To be saved, it may have left where it waited; or it saves, or has its time.
            if ours[pid] != said[pid] and (
                    any(frame["symbol"] == "__refrigerator" for frame in stack["frames"])
                    or stack["name"].startswith(self.SAVING)):
                del said[pid], ours[pid]
                moved += 1
        self.hold(f"stacks ({moved} more are elsewhere by the save)", said, ours)

    def modules(self):
        said = {line.split()[0]: int(line.split()[1]) for line in self.section("modules")[0]}
        self.hold("modules", said, {module["name"]: module["size"]
                                    for module in self.guest("modules")["modules"]})

    def mounts(self):
        def plain(text):
            return re.sub(r"\\(\d{3})", lambda found: chr(int(found[1], 8)), text)
        said = []
        for line in self.section("mounts")[0]:
            left, right = line.split(" - ")
            words, others = left.split(), right.split()
            access = "ro" if "ro" in words[5].split(",") or "ro" in others[2].split(",") else "rw"
            said.append((plain(words[4]), words[2], others[0], plain(others[1]), access))
        ours = [(mount["path"], mount["number"], mount["type"], mount["device"], mount["access"])
                for mount in self.guest("mounts")["mounts"]]
        self.hold("mounts", dict(enumerate(said)), dict(enumerate(ours)))

    def addresses(self):
        said = {}
        for line in self.section("addresses")[0]:
            words = line.split()
            said.setdefault(words[1], set()).add(words[3])
        net = self.guest("net")["net"]
        self.hold("addresses", said, {device["name"]: set(device["addresses"])
                                      for device in net if device["addresses"]})
        links = {}
        for line in self.section("links")[0]:
            words = line.split()
            links[words[1].rstrip(":").split("@")[0]] = (
                int(words[words.index("mtu") + 1]),
                next((words[index + 1] for index, word in enumerate(words)
                      if word in ("link/ether", "link/loopback")), None))
        self.hold("links", links, {device["name"]: (device["mtu"], device["hardware"])
                                   for device in net if device["name"] in links})

    def sockets(self):
        said = set()
        lines = iter(self.section("sockets")[0])
        for line in lines:
            match = re.match(r"\s*\d+: ([0-9A-F]+):([0-9A-F]{4}) \S+ ([0-9A-F]{2}) .*", line)
            if match:
                said.add((int(match[2], 16), len(match[1]) == 32))
        ours = {(int(entry["local"].rsplit(":", 1)[1]), "6" in entry["protocol"])
                for entry in self.guest("sockets")["sockets"] if ":" in (entry.get("local") or "")
                and entry["protocol"][:3] in ("tcp", "udp")}
        self.hold("sockets", dict.fromkeys(said, True), dict.fromkeys(ours, True))

    def maps(self):
        lines, pid = self.section("maps")
        said = {}
        for line in lines:
            words = line.split(None, 5)
            start, end = words[0].split("-")
            name = words[5] if len(words) > 5 else None
            said[int(start, 16)] = (int(end, 16), words[1], int(words[2], 16), int(words[4]), name)
        ours = {int(area["start"], 16): (int(area["end"], 16), area["rights"], int(area["offset"], 16),
                                         area["inode"], area["name"] or None)
                for area in self.guest("maps", pid)["maps"]}
        self.hold("maps", said, ours)

    def files(self):
        lines, pid = self.section("files")
        said = {}
        for line in lines:
            number, position, path = line.split(" ", 2)
            said[int(number)] = (int(position), path)
        self.hold("files", said, {entry["fd"]: (entry["position"], entry["path"])
                                  for entry in self.guest("files", pid)["files"]})

    def symbols(self):
        said = {line.split()[2]: int(line.split()[0], 16) for line in self.section("symbols")[0]}
        ours = {}
        for name in said:
            ours[name] = next((int(symbol["address"], 16)
                               for symbol in self.guest("sym", name)["symbols"]), None)
        self.hold("symbols", said, ours)

    def log(self):
        said = [line for line in self.section("log")[0] if line]
        text = run([self.program, "guest", self.image, "dmesg"]).decode(errors="replace")
        # What the kernel says while it is saved comes after it.
        self.hold("log", dict(enumerate(said)), dict(enumerate(text.splitlines()[:len(said)])))
