"""Mutants of save images: one or a few changes each, made where the formats have their joints.

A mutation is a function of an image (images.Image), which it changes, and a random generator; it
returns what it did in a few words, or None where the image has no such place. The same seed and
number always give the same mutant.
"""
import copy
import json
import random
import struct

import xenwire as wire
from images import PFN_MASK, Part, Record, piece_length
from states import (CONTEXT_LENGTHS, CONTEXT_NAMES, CPU_FIELDS, PARAM_COUNT, PV_FIELDS, STATE_BITS,
                    XSAVE_FIELDS)

SEVERAL = 0.1              # the share of mutants with two mutations or three
MUTATIONS = []             # (class, weight, guests, function)


def mutation(kind, weight=1, guests="pv pvh hvm"):
    """Registers a function as a mutation of the class `kind`, for these guests."""
    def register(function):
        MUTATIONS.append((kind, weight, guests.split(), function))
        return function
    return register


class Mutant:
    """A changed image: `changes` are (class, words), `pieces` the image as pieces of its base."""

    def __init__(self, number, changes, pieces):
        self.number, self.changes, self.pieces = number, changes, pieces
        self.steps = []

    @property
    def kind(self):
        return self.changes[0][0]

    @property
    def words(self):
        return "; ".join(f"{kind}: {words}" for kind, words in self.changes)


def mutant(base, image, guest, seed, number, only=None):
    """The mutant with this number; of its mutations only those in `only`, if given."""
    rng = random.Random(f"{guest} {seed} {number}")
    table = [row for row in MUTATIONS if guest in row[2]]
    count = 1 if rng.random() >= SEVERAL else rng.choice((2, 2, 3))
    seeds = [rng.getrandbits(64) for _ in range(count)]
    changed, changes = image.twin(), []
    for step, own_seed in enumerate(seeds):
        if only is not None and step not in only:
            continue
        own = random.Random(own_seed)
        while True:
            kind, _, _, function = own.choices(table, [row[1] for row in table])[0]
            trial = changed.twin()
            try:
                words = function(trial, own)
            except (json.JSONDecodeError, UnicodeDecodeError):
                continue  # an earlier step has left a configuration that cannot be changed as one
            if words and trial.pieces(base) != changed.pieces(base):
                break
        changed = trial
        changes.append((kind, words))
    made = Mutant(number, changes, changed.pieces(base))
    made.steps = list(range(count)) if only is None else list(only)
    return made


def edited(base, image, number, line):
    """The mutant that a line asks for: steps between semicolons, each `drop RECORD`, `double RECORD`
    (by name), `param INDEX=VALUE` (one more), or KEY/KEY=JSON in the configuration; without JSON the key
    goes."""
    changed = image.twin()
    for step in filter(None, map(str.strip, line.split(";"))):
        word, _, rest = step.partition(" ")
        if word in ("drop", "double"):
            place = next(index for index, part in enumerate(changed.parts)
                         if part.kind == "record" and part.name == rest)
            twice = [copy.deepcopy(changed.parts[place])] * 2 if word == "double" else []
            changed.parts[place:place + 1] = twice
        elif word == "param":
            index, _, value = rest.partition("=")
            record = changed.records(wire.HVM_PARAMS)[0]
            record.data += wire.u64(int(index, 0), int(value, 0))
            record.data[:4] = wire.u32((len(record.data) - 8) // 16)
        else:
            path, _, value = step.partition("=")
            config = changed.config
            *outer, name = path.split("/")
            where = config
            for key in outer:
                where = where.setdefault(key, {}) if isinstance(where, dict) else where[int(key)]
            if value:
                where[name] = json.loads(value)
            else:
                where.pop(name, None)
            changed.set_config_text(wire.config_text(config))
    made = Mutant(number, [("edit", line)], changed.pieces(base))
    made.steps = [0]
    return made


def edge(rng, bits, now=0):
    """A value of so many bits at which things break, other than `now`."""
    limit = (1 << bits) - 1
    while True:
        bit = 1 << rng.randrange(bits)
        value = rng.choice([0, 1, 2, now + 1, now - 1, now ^ bit, now ^ bit, bit, bit - 1, limit,
                            limit - 1, limit >> 1, (limit >> 1) + 1, now * 2, rng.getrandbits(bits)])
        if value & limit != now:
            return value & limit


FORMATS = {1: "B", 2: "H", 4: "I", 8: "Q"}


def load(data, offset, size, order="<"):
    return struct.unpack_from(order + FORMATS[size], data, offset)[0]


def store(data, offset, size, value, order="<"):
    struct.pack_into(order + FORMATS[size], data, offset, value & ((1 << 8 * size) - 1))


def change(data, offset, size, rng, name, order="<", values=()):
    """Sets a field to an edge, or to one of `values`; says so."""
    if offset + size > len(data):
        return None
    now = load(data, offset, size, order)
    choices = [value for value in values if value != now]
    value = rng.choice(choices) if choices and rng.random() < 0.7 else edge(rng, 8 * size, now)
    store(data, offset, size, value, order)
    return f"{name} {now:#x} -> {value:#x}"


# Headers


@mutation("xl-header", 1)
def xl_field(image, rng):
    fields = [("byteorder", 32, ()), ("mandatory_flags", 36, (0, 1, 2, 7, 4)),
              ("optional_flags", 40, (1,)), ("magic", rng.randrange(8) * 4, ())]
    name, offset, values = rng.choice(fields[:3] * 3 + fields[3:])
    return change(image.part("xl").data, offset, 4, rng, f"xl_header.{name}", "<", values)


@mutation("xl-header", 1)
def config_length(image, rng):
    """The two lengths that say where the configuration ends."""
    part, header = image.part("config"), image.part("xl").data
    total = len(part.data)
    how = rng.choice(["short config", "long config", "tail", "none", "no NUL", "short data"])
    if how == "short config":
        cut = rng.choice([1, 2, 3, 8, rng.randrange(1, total - 4)])
        store(part.data, 0, 4, total - 4 - cut)
        return f"config_len shorter by {cut}"
    if how == "long config":
        more = rng.choice([1, 8, 4096])
        store(part.data, 0, 4, total - 4 + more)
        return f"config_len longer by {more}"
    if how == "tail":
        tail = rng.choice([bytes(8), bytes(4096), b"x" * 13])
        part.data += tail
        store(header, 44, 4, len(part.data))
        return f"{len(tail)} bytes behind the configuration"
    if how == "none":
        size = rng.choice([0, 1, 2, 3, 4])
        part.data[:] = bytes(size)
        store(header, 44, 4, size)
        return f"{size} bytes of optional data"
    if how == "no NUL":
        part.data[-1:] = b" "
        return "no NUL at the configuration's end"
    store(header, 44, 4, total - rng.choice([1, 4]))
    return "optional_data_len shorter than the data"


@mutation("libxl-header", 1)
def libxl_field(image, rng):
    name, offset, size, values = rng.choice([
        ("version", 8, 4, (0, 1, 3)), ("options", 12, 4, (1, 2, 3, 4, 0x80000000)),
        ("ident", rng.randrange(8), 1, ())])
    return change(image.part("libxl").data, offset, size, rng, f"libxl_header.{name}", ">", values)


@mutation("image-header", 1)
def image_field(image, rng):
    name, offset, size, values = rng.choice([
        ("marker", rng.randrange(8), 1, ()), ("id", 8, 4, ()), ("version", 12, 4, (0, 1, 2, 4)),
        ("options", 16, 2, (1, 2, 3, 0x8000)), ("reserved", 18, 2, ()), ("reserved", 20, 4, ())])
    return change(image.part("image").data, offset, size, rng, f"image_header.{name}", ">", values)


@mutation("domain-header", 1)
def domain_field(image, rng):
    name, offset, size, values = rng.choice([
        ("type", 0, 4, (0, 1, 2, 3)), ("page_shift", 4, 2, (11, 13, 0, 21)),
        ("reserved", 6, 2, ()), ("xen_major", 8, 4, (0, 3, 5)), ("xen_minor", 12, 4, (0, 13, 18))])
    return change(image.part("domain").data, offset, size, rng, f"domain_header.{name}", "<", values)


# Configuration


def leaves(value, path=()):
    """All (container, key, path) of a JSON value, containers themselves too."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(pairs):
        yield value, key, (*path, str(key))
        if isinstance(inner, (dict, list)):
            yield from leaves(inner, (*path, str(key)))


ODD_VALUES = [0, 1, -1, 2, 2**31 - 1, 2**31, 2**32, 2**63, -2**31, "", "x", "0", "1", "True", "False",
              "yes", True, False, None, [], {}, [0], [1], {"a": 1}, 1.5, "default", "none", "a" * 300]
VALUES = {
    "type": ["pv", "pvh", "hvm", "invalid", "PV", "hv"],
    "uuid": ["nonsense", "00000000-0000-0000-0000-000000000000",
             "c4bf5566-ae09-448b-a079-4fd1ea2a4fc", "c4bf5566ae09448ba0794fd1ea2a4fc8"],
    "sched": ["credit", "sedf", "rtds", "null", "unknown", "nosuch"],
    "on_reboot": ["destroy", "preserve", "explode", "soft_reset", "coredump_restart"],
    "on_crash": ["destroy", "restart_rename", "explode", "rename"],
    "on_soft_reset": ["destroy", "restart", "explode"],
    "name": ["", "other", "a/b", "Domain-0", "with space", "ümlaut", "n" * 200],
    "max_vcpus": [0, 2, 3, 128, 129, 4096], "avail_vcpus": [[], [1], [0, 1], [0, 5], ["0"], 0],
    "max_memkb": [0, 4, 3000, 4092, 8192, 1 << 20], "target_memkb": [0, 4, 2048, 8192, 1 << 40],
    "video_memkb": [4096, 16, 1 << 30],
}
# Keys of libxl's types that a small guest's configuration does not have.
OTHER_KEYS = [
    (("b_info", "nodemap"), [0]), (("b_info", "cpumap"), [0]), (("b_info", "cpumap"), "x"),
    (("b_info", "tsc_mode"), "native"), (("b_info", "tsc_mode"), "nosuch"),
    (("b_info", "shadow_memkb"), 1024), (("b_info", "shadow_memkb"), 0),
    (("b_info", "disable_migrate"), "True"), (("b_info", "localtime"), "True"),
    (("b_info", "rtc_timeoffset"), 3600), (("b_info", "cpuid"), []), (("b_info", "cpuid"), "x"),
    (("b_info", "device_model_version"), "qemu_xen"), (("b_info", "device_model_version"), "new"),
    (("b_info", "device_model_stubdomain"), "False"), (("b_info", "vnuma_nodes"), []),
    (("b_info", "exec_ssidref"), 0), (("b_info", "event_channels"), 1023),
    (("b_info", "event_channels"), 1), (("b_info", "event_channels"), 2), (("b_info", "event_channels"), 0),
    (("b_info", "max_grant_version"), 0), (("b_info", "max_grant_version"), 1),
    (("b_info", "max_grant_version"), 3), (("b_info", "max_grant_version"), -1),
    (("b_info", "vmtrace_buf_kb"), 0), (("b_info", "vmtrace_buf_kb"), 7), (("b_info", "iommu_memkb"), 0),
    (("b_info", "stubdomain_memkb"), 0), (("b_info", "shadow_memkb"), 1), (("b_info", "tsc_mode"), "default"),
    (("b_info", "tsc_mode"), "always_emulate"), (("b_info", "tsc_mode"), "native_paravirt"),
    (("b_info", "numa_placement"), "True"), (("b_info", "vcpu_hard_affinity"), [[0]]),
    (("b_info", "vcpu_hard_affinity"), [[7]]), (("b_info", "vcpu_soft_affinity"), [[0], [1]]),
    (("b_info", "altp2m"), "mixed"), (("b_info", "altp2m"), "limited"), (("b_info", "timer_mode"), "no_missed"),
    (("b_info", "vnuma_nodes"), [{"memkb": 4096, "distances": [10], "pnode": 0, "vcpus": [0]}]),
    (("b_info", "ioports"), [{"first": 0x60, "number": 1}]), (("b_info", "irqs"), [9]),
    (("b_info", "dm_restrict"), "True"), (("b_info", "device_model_user"), "nobody"),
    (("b_info", "sched_params", "weight"), -1), (("b_info", "sched_params", "cap"), -1),
    (("b_info", "sched_params", "budget"), 5), (("b_info", "sched_params", "extratime"), 1),
    (("b_info", "max_grant_frames"), 1), (("b_info", "max_grant_frames"), 0),
    (("b_info", "max_maptrack_frames"), 0), (("b_info", "altp2m"), "disabled"),
    (("b_info", "altp2m"), "external"), (("b_info", "iomem"), []), (("b_info", "irqs"), [1]),
    (("b_info", "ioports"), []), (("b_info", "blkdev_start"), "xvda"), (("b_info", "apic"), "False"),
    (("b_info", "nested_hvm"), "True"), (("b_info", "passthrough"), "disabled"),
    (("b_info", "passthrough"), "enabled"), (("b_info", "vpmu"), "True"),
    (("b_info", "arch_x86", "msr_relaxed"), "True"), (("b_info", "bootloader"), "/bin/true"),
    (("b_info", "sched_params", "period"), 10000), (("b_info", "sched_params", "weight"), 0),
    (("b_info", "sched_params", "weight"), 70000), (("b_info", "sched_params", "cap"), 5000),
    (("c_info", "hap"), "True"), (("c_info", "hap"), "False"), (("c_info", "hap"), "maybe"),
    (("c_info", "oos"), "True"), (("c_info", "ssidref"), 0), (("c_info", "poolid"), 0),
    (("c_info", "poolid"), 7), (("c_info", "pool_name"), "Pool-0"), (("c_info", "domid"), 0),
    (("c_info", "domid"), 77), (("c_info", "domid"), 32752), (("c_info", "xsdata"), {"a": "b"}),
    (("c_info", "platformdata"), {}), (("c_info", "driver_domain"), "True"),
    (("c_info", "xend_suspend_evtchn_compat"), "True"), (("on_poweroff",), "destroy"),
    (("on_poweroff",), "nosuch"), (("on_watchdog",), "restart"), (("disks",), []), (("nics",), []),
    (("nics",), [{"devid": 0, "mac": "zz:16:3e:00:00:01"}]), (("pcidevs",), []), (("vfbs",), []),
    (("vkbs",), []), (("disks",), {}), (("disks",), ["x"]), (("channels",), []), (("usbctrls",), []),
    (("nosuch",), 1), (("b_info", "nosuch"), {"a": [1]}), (("c_info", "nosuch"), "x"),
    (("b_info", "cpumap"), [-1]), (("b_info", "cpuid"), {"cpuid": []}),
    (("b_info", "cpuid"), {"cpuid": [], "msr": []}), (("b_info", "avail_vcpus"), [1024, 0]),
    (("b_info", "sched_params"), {"sched": "rtds", "weight": 0}),
    (("b_info", "sched_params"), {"sched": "null", "cap": 5000}), (("b_info", "tsc_mode"), "NATIVE"),
    (("b_info", "tsc_mode"), "Native_Paravirt"), (("b_info", "vcpu_soft_affinity"), [[]]),
    (("b_info", "vcpu_hard_affinity"), [[0, -1]]), (("b_info", "iomem"), [{"start": 160}]),
    (("b_info", "iomem"), [{"start": 1 << 40, "number": 1}]), (("b_info", "irqs"), [1 << 31]),
    (("b_info", "device_model_stubdomain"), "True"), (("c_info", "type"), "Pv"),
    (("c_info", "type"), "PVH"), (("c_info", "type"), "HVM"), (("c_info", "name"), "a,b"),
    (("c_info", "name"), "a/b"), (("c_info", "name"), "Domain-0\0x"), (("c_info", "name"), "a\0b"),
    (("channels",), [{"name": "c", "connection.pty": {}}]),
    (("channels",), [{"name": "c", "connection.pty": {}, "connection.socket": {"path": "/x"}}]),
    (("channels",), [{"name": "c", "devid": 2, "connection.pty": {}},
                     {"name": "d", "connection.pty": {}}]),
    (("vfbs",), [{"devid": 0, "vnc": {"enable": "True", "display": 70000}}]),
    (("usbctrls",), [{"devid": 5, "type": "qusb"}, {"type": "qusb"}]),
    (("usbctrls",), [{"devid": 1, "type": "qusb"}, {"devid": 1, "type": "qusb"}]),
    (("usbdevs",), [{"port": 1}]), (("dtdevs",), [{"path": "/x"}]),
    (("b_info", "type.pv"), {"cmdline": "x"}), (("b_info", "type.pvh"), {}),
    (("b_info", "nested_hvm"), "Truely"), (("b_info", "event_channels"), 3),
    (("vtpms",), []), (("b_info", "acpi"), "True"), (("b_info", "type.hvm"), {}),
    (("b_info", "type.nosuch"), {}), (("b_info", "kernel"), "/nonexistent"),
    (("b_info", "cmdline"), "x"), (("b_info", "ramdisk"), "/nonexistent"),
]


@mutation("config-value", 3)
def config_value(image, rng):
    root = image.config
    places = list(leaves(root))
    container, key, path = rng.choice(places)
    values = VALUES.get(key, []) if rng.random() < 0.6 else ODD_VALUES
    value = rng.choice(values or ODD_VALUES)
    container[key] = value
    image.set_config_text(wire.config_text(root))
    return f"config.{'.'.join(path)} = {json.dumps(value)[:40]}"


@mutation("config-key", 2)
def config_key(image, rng):
    path, value = rng.choice(OTHER_KEYS)
    root = image.config
    at = root
    for key in path[:-1]:
        at = at.setdefault(key, {})
        if not isinstance(at, dict):
            return None
    at[path[-1]] = value
    image.set_config_text(wire.config_text(root))
    return f"config.{'.'.join(path)} = {json.dumps(value)[:40]}"


@mutation("config-key", 2)
def config_drop(image, rng):
    root = image.config
    container, key, path = rng.choice(list(leaves(root)))
    if rng.random() < 0.7:
        del container[key]
        how = "dropped"
    elif isinstance(container, dict):
        container[key + "x"] = container.pop(key)
        how = "renamed"
    else:
        container.append(container[key])
        how = "doubled"
    image.set_config_text(wire.config_text(root))
    return f"config.{'.'.join(path)} {how}"


@mutation("config-text", 1)
def config_text(image, rng):
    """The text itself: what is no JSON, or JSON of another shape."""
    text = wire.config_text(image.config)
    how = rng.choice(["cut", "byte", "array", "twice", "comment", "empty", "deep", "key twice",
                      "spaces", "latin"])
    if how == "cut":
        text = text[:rng.randrange(len(text))]
    elif how == "byte":
        place = rng.randrange(len(text))
        text = text[:place] + rng.choice("{}[],:\"x0\t\x01") + text[place + 1:]
    elif how == "array":
        text = rng.choice(["[]", "{}", "null", "1", '"x"', "[" + text + "]"])
    elif how == "twice":
        text = text + text
    elif how == "comment":
        text = "/* by hand */ " + text
    elif how == "empty":
        text = rng.choice(["", " ", "\n"])
    elif how == "deep":
        text = text.replace('"claim_mode": "True"', '"x": ' + "[" * 70 + "]" * 70)
    elif how == "key twice":
        text = text.replace('"max_vcpus": 1', '"max_vcpus": 1, "max_vcpus": 1')
    elif how == "spaces":
        text = text.replace("    ", "")
    else:
        text = text.replace('"name": "t', '"name": "\udce4')
    data = text.encode("utf-8", "surrogateescape") + b"\0"
    image.part("config").data[:] = wire.u32(len(data)) + data
    store(image.part("xl").data, 44, 4, 4 + len(data))
    return f"the configuration's text: {how}"


# Records


def plain(image, rng, layer=None):
    """Any record, seldom one of pages."""
    records = [part for part in image.parts if isinstance(part, Record)
               and layer in (None, part.layer)]
    few = [record for record in records if record.number != wire.PAGE_DATA or record.layer != "libxc"]
    return rng.choice(few if few and rng.random() < 0.85 else records)


def index_of(image, part):
    return next(index for index, other in enumerate(image.parts) if other is part)


@mutation("record-dropped", 2)
def record_drop(image, rng):
    record = plain(image, rng)
    del image.parts[index_of(image, record)]
    return f"{record.name} dropped"


@mutation("record-doubled", 2)
def record_double(image, rng):
    record = plain(image, rng)
    twin = copy.deepcopy(record)
    place = index_of(image, record) + 1
    if rng.random() < 0.4:
        place = rng.randrange(3, len(image.parts) + 1)
    image.parts.insert(place, twin)
    return f"{record.name} again, as part {place}"


@mutation("record-moved", 3)
def record_move(image, rng):
    record = plain(image, rng)
    old = index_of(image, record)
    del image.parts[old]
    first = next(i for i, part in enumerate(image.parts) if part.kind == "libxl") + 1
    if rng.random() < 0.6:
        place = max(first, old + rng.choice([-3, -2, -1, 1, 2, 3]))
    else:
        place = rng.randrange(first, len(image.parts) + 1)
    image.parts.insert(place, record)
    return f"{record.name} moved from {old} to {place}"


@mutation("record-length", 3)
def record_length(image, rng):
    record = plain(image, rng)
    how = rng.choice(["longer", "longer", "shorter", "shorter", "lie", "empty", "padding", "filled"])
    amount = rng.choice([1, 4, 8, 8, 16, 24, 4096])
    if how in ("longer", "filled"):
        filling = (b"\0" if how == "longer" else b"\xa5") * amount
        if record.pages:
            record.pages.append(filling)
        else:
            record.data += filling
        return f"{record.name} longer by {amount} bytes of {filling[0]:#x}"
    if how == "shorter":
        amount = min(amount, len(record.data))
        if not amount:
            return None
        del record.data[len(record.data) - amount:]
        return f"{record.name} shorter by {amount}"
    if how == "lie":
        size = len(record.data) + sum(map(piece_length, record.pages))
        record.length = edge(rng, 32, size) if rng.random() < 0.3 else max(0, size + rng.choice(
            [-8, -1, 1, 7, 8]))
        return f"{record.name}.length {size} -> {record.length}" if record.length != size else None
    if how == "empty":
        record.data[:], record.pages = b"", []
        return f"{record.name} without a body"
    size = len(record.data) + sum(map(piece_length, record.pages))
    if not size % 8:
        record.data += b"\0"
        size += 1
    record.padding = b"\xa5" * (-size % 8)
    return f"{record.name} longer by 1 or so, padding not zero"


@mutation("record-type", 1)
def record_retype(image, rng):
    record = plain(image, rng)
    old = record.name
    number = rng.choice([record.number ^ wire.OPTIONAL, edge(rng, 32, record.number),
                         rng.randrange(0x14)])
    if number == record.number:
        return None
    record.number = number
    return f"{old} becomes type {number:#x}"


@mutation("record-inserted", 2)
def record_insert(image, rng):
    layer = rng.choice(["libxc", "libxc", "libxl"])
    parts = [i for i, part in enumerate(image.parts) if isinstance(part, Record)
             and part.layer == layer]
    if not parts:
        return None
    if layer == "libxc":
        number = rng.choice([wire.VERIFY, wire.CHECKPOINT, wire.CHECKPOINT_DIRTY_PFN_LIST,
                             wire.TOOLSTACK, wire.STATIC_DATA_END, 0x13, 0x7FFFFFFF, 0x80000000,
                             0x80000013, 0xFFFFFFFF, wire.SHARED_INFO, wire.HVM_PARAMS,
                             wire.X86_PV_INFO, wire.X86_PV_VCPU_MSRS, wire.END, 0x80000001])
    else:
        number = rng.choice([wire.CHECKPOINT_END, wire.CHECKPOINT_STATE, 6, 0x80000006,
                             wire.EMULATOR_CONTEXT, wire.EMULATOR_XENSTORE_DATA, 0xFFFFFFFF])
    body = rng.choice([b"", b"", bytes(4), bytes(8), bytes(24), b"\xff" * 8, wire.u32(2, 0)])
    place = rng.choice(parts)
    image.parts.insert(place, Record(layer, number, body))
    record = image.parts[place]
    return f"{record.name} with {len(body)} bytes ({body[:8].hex()}) as part {place}"


@mutation("trailing", 0.5)
def behind(image, rng):
    data = rng.choice([bytes(8), bytes(4096), b"\xff" * 100, wire.XL_MAGIC + bytes(16),
                       b"domain is yours, you are cleared to unpause\0", b"LibxlFmt" + bytes(8)])
    image.parts.append(Part("behind", data))
    return f"{len(data)} bytes behind the image ({data[:8].hex()})"


# Pages


def page_records(image):
    return [record for record in image.records(wire.PAGE_DATA) if len(record.data) > 8]


def tables(image):
    """pfns of a PV guest's page tables, of its p2m and of other pages that matter."""
    pfns = []
    for record in page_records(image):
        pfns += [value & PFN_MASK for value, _ in record.entries() if 0 < (value >> 60) & 7 < 5]
    for record in image.records(wire.X86_PV_P2M_FRAMES):
        count = (len(record.data) - 8) // 8
        pfns += struct.unpack_from(f"<{count}Q", record.data, 8)
    for record in image.records(wire.X86_PV_VCPU_BASIC):
        if len(record.data) >= 8 + 5168:
            pfns += [load(record.data, 8 + 616, 8), load(record.data, 8 + 5008, 8) >> 12]
    return pfns


@mutation("page-type", 3)
def page_type(image, rng):
    records = page_records(image)
    if not records:
        return None
    record = rng.choice(records)
    entries = record.entries()
    special = set(tables(image)) if image.is_pv else set()
    places = [i for i, (value, _) in enumerate(entries) if value & PFN_MASK in special]
    place = rng.choice(places) if places and rng.random() < 0.7 else rng.randrange(len(entries))
    value, page = entries[place]
    kind = rng.choice([wire.NOTAB, 1, 2, 3, 4, 9, 10, 11, 12, wire.BROKEN, wire.XALLOC, wire.XTAB,
                       5, 6, 7, 8])
    if kind == value >> 60:
        return None
    page = (page or bytes(wire.PAGE)) if kind not in (wire.BROKEN, wire.XALLOC, wire.XTAB) else None
    entries[place] = (value & ((1 << 60) - 1) | kind << 60, page)
    record.set_entries(entries)
    return f"type of pfn {value & PFN_MASK:#x} {value >> 60:#x} -> {kind:#x}"


@mutation("page-entry", 3)
def page_entry(image, rng):
    records = page_records(image)
    if not records:
        return None
    record = rng.choice(records)
    entries = record.entries()
    place = rng.randrange(len(entries))
    value, page = entries[place]
    how = rng.choice(["reserved", "pfn", "pfn", "twice", "again", "dropped", "count", "head", "swap"])
    if how == "reserved":
        entries[place] = (value | 1 << rng.randrange(52, 60), page)
    elif how == "pfn":
        pfn = rng.choice([0x3FF, 0x400, 0x401, 0x500, 0xFEFFF, 0xFFFFF, 0x100000, 1 << 24, 1 << 36,
                          1 << 39, 1 << 40, PFN_MASK, edge(rng, 20)])
        entries[place] = (value >> 52 << 52 | pfn, page)
    elif how == "twice":
        entries.insert(rng.choice([place, place + 1, len(entries)]), entries[place])
    elif how == "again":
        twin = Record("libxc", wire.PAGE_DATA, bytes(8))
        twin.set_entries([entries[place]])
        ends = [i for i, part in enumerate(image.parts) if isinstance(part, Record)
                and part.layer == "libxc" and part.number == wire.PAGE_DATA]
        image.parts.insert(ends[-1] + 1, twin)
        return f"pfn {value & PFN_MASK:#x} in a record of its own again"
    elif how == "dropped":
        del entries[place]
        if not entries:
            return None
    elif how == "count":
        return change(record.data, 0, 4, rng, "PAGE_DATA.count")
    elif how == "head":
        return change(record.data, 4, 4, rng, "PAGE_DATA.reserved")
    else:
        other = rng.randrange(len(entries))
        entries[place], entries[other] = ((entries[other][0], page), (value, entries[other][1])) \
            if page is not None and entries[other][1] is not None else (entries[place], entries[other])
    record.set_entries(entries)
    return f"entry of pfn {value & PFN_MASK:#x}: {how} ({entries[min(place, len(entries) - 1)][0]:#x})"


@mutation("page-data", 1)
def page_split(image, rng):
    records = page_records(image)
    record = max(records, key=lambda one: len(one.data), default=None)
    if record is None:
        return None
    entries = record.entries()
    cut = rng.randrange(1, max(2, len(entries)))
    how = rng.choice(["split", "many", "reversed"])
    if how == "split":
        twin = Record("libxc", wire.PAGE_DATA, bytes(8))
        twin.set_entries(entries[cut:])
        record.set_entries(entries[:cut])
        image.parts.insert(index_of(image, record) + 1, twin)
    elif how == "many":
        record.set_entries([entry for one in records for entry in one.entries()])
        for one in records:
            if one is not record:
                del image.parts[index_of(image, one)]
    else:
        record.set_entries(entries[::-1])
    return f"PAGE_DATA of {len(entries)} entries {how}"


@mutation("page-table", 2, "pv")
def table_entry(image, rng):
    """An entry of a page table."""
    for record in rng.sample(page_records(image), len(page_records(image))):
        entries = record.entries()
        places = [i for i, (value, page) in enumerate(entries)
                  if 0 < (value >> 60) & 7 < 5 and isinstance(page, tuple)]
        if not places:
            continue
        place = rng.choice(places)
        value, page = entries[place]
        slot = rng.choice([0, 1, rng.randrange(512), rng.randrange(512), 255, 256, 272, 511])
        new = rng.choice([0, 0x67, 0x400 << 12 | 0x67, 0x5FF << 12 | 0x67, (1 << 52) - 4096 | 0x67,
                          0x10 << 12 | 0xE7, 0x57 << 12 | 0x63, rng.randrange(1024) << 12 | 0x67,
                          rng.randrange(1024) << 12 | 0x65, 1 << 63 | 0x12 << 12 | 0x67,
                          rng.getrandbits(64)])
        entries[place] = (value, [(page[0], 8 * slot), wire.u64(new),
                                  (page[0] + 8 * slot + 8, wire.PAGE - 8 * slot - 8)])
        record.set_entries(entries)
        record.pages = [piece for one in record.pages
                        for piece in (one if isinstance(one, list) else [one])]
        return f"L{value >> 60 & 7} table {value & PFN_MASK:#x}[{slot}] = {new:#x}"
    return None


# State of both guests


@mutation("tsc-info", 1)
def tsc_info(image, rng):
    for record in image.records(wire.X86_TSC_INFO):
        name, offset, size, values = rng.choice([
            ("mode", 0, 4, (1, 2, 3, 4)), ("khz", 4, 4, (0, 1)), ("nsec", 8, 8, ()),
            ("incarnation", 16, 4, ()), ("reserved", 20, 4, ())])
        return change(record.data, offset, size, rng, f"X86_TSC_INFO.{name}", "<", values)
    return None


@mutation("cpuid-policy", 4)
def cpuid_leaf(image, rng):
    for record in image.records(wire.X86_CPUID_POLICY):
        count = len(record.data) // 24
        if count == 0:
            return None
        place = rng.randrange(count)
        leaf = load(record.data, 24 * place, 4)
        how = rng.choice(["leaf", "subleaf", "register", "register", "max", "dropped", "doubled",
                          "new", "cleared", "none", "moved"])
        if how in ("leaf", "subleaf"):
            values = ((0xE, 0xF, 0x10, 0x1C, 0x40000001, 0x40000100, 0x80000021, 0x80000022,
                       0x80000026, 0xC0000000) if how == "leaf" else (0, 1, 2, 5, 6, 62, 63, 0xFFFFFFFF))
            return change(record.data, 24 * place + (0 if how == "leaf" else 4), 4, rng,
                          f"cpuid[{place}] (leaf {leaf:#x}).{how}", "<", values)
        if how == "register":
            register = rng.randrange(4)
            return change(record.data, 24 * place + 8 + 4 * register, 4, rng,
                          f"cpuid leaf {leaf:#x}.{'abcd'[register]}")
        if how == "max":
            places = [i for i in range(count) if load(record.data, 24 * i, 4) in (
                0, 7, 0x80000000, 0x40000000)]
            if not places:
                return None
            place = rng.choice(places)
            leaf = load(record.data, 24 * place, 4)
            top = leaf & 0xFFFF0000
            return change(record.data, 24 * place + 8, 4, rng, f"cpuid leaf {leaf:#x}.a", "<",
                          [top + value for value in (0, 1, 2, 3, 7, 8, 0xD, 0xE, 0x10, 0x1E, 0x21,
                                                     0x22)])
        if how == "dropped":
            del record.data[24 * place:24 * place + 24]
        elif how == "doubled":
            record.data += record.data[24 * place:24 * place + 24]
        elif how == "new":
            leaf = rng.choice([(0x14, 0), (0x40000001, 0xFFFFFFFF), (4, 3), (0xD, 5), (7, 1), (7, 2),
                               (0x80000021, 0xFFFFFFFF), (0x8000001F, 0xFFFFFFFF), (0xD, 63)])
            record.data += wire.u32(*leaf, 0, 0, 0, 0)
        elif how == "cleared":
            record.data[24 * place + 8:24 * place + 24] = bytes(16)
        elif how == "none":
            record.data[:] = b""
        else:
            row = record.data[24 * place:24 * place + 24]
            del record.data[24 * place:24 * place + 24]
            record.data += row
        return f"cpuid leaf {leaf if isinstance(leaf, tuple) else hex(leaf)}: {how}"
    return None


@mutation("msr-policy", 2)
def msr_policy(image, rng):
    for record in image.records(wire.X86_MSR_POLICY):
        count = len(record.data) // 16
        if count == 0:
            return None
        how = rng.choice(["index", "flags", "value", "value", "dropped", "doubled", "new"])
        place = rng.randrange(count)
        if how == "dropped":
            del record.data[16 * place:16 * place + 16]
            return f"MSR policy: {how} {place}"
        if how == "doubled":
            record.data += record.data[16 * place:16 * place + 16]
            return f"MSR policy: {how} {place}"
        if how == "new":
            index = rng.choice([0x3A, 0x48, 0xCE, 0x10A, 0x140, 0xC0010015])
            record.data += wire.u32(index, 0) + wire.u64(0)
            return f"MSR policy: {index:#x} behind it"
        offset, size, values = {"index": (0, 4, (0xCE, 0x10A, 0x3A)), "flags": (4, 4, (1,)), "value": (
            8, 8, (1 << 31, 1, 0xFFFFFFFFFFFFFFFF, 0x2B, 1 << 62))}[how]
        return change(record.data, 16 * place + offset, size, rng, f"MSR policy[{place}].{how}", "<",
                      values)
    return None


# HVM and PVH


class Entries:
    """The entries of an HVM_CONTEXT as a list of [type, instance, body, claimed length or None]."""

    def __init__(self, record):
        self.record, self.list, at = record, [], 0
        while at + 8 <= len(record.data):
            kind, instance, length = struct.unpack_from("<HHI", record.data, at)
            self.list.append([kind, instance, bytearray(record.data[at + 8:at + 8 + length]), None])
            at += 8 + length

    def write(self):
        self.record.data[:] = b"".join(
            wire.hvm_entry(kind, instance, bytes(body), claimed)
            for kind, instance, body, claimed in self.list)

    def named(self, kind):
        return CONTEXT_NAMES.get(kind, f"type {kind}")


def context(image):
    records = image.records(wire.HVM_CONTEXT)
    return Entries(records[0]) if records and len(records[0].data) > 16 else None


@mutation("context-entry", 4, "pvh hvm")
def context_entry(image, rng):
    entries = context(image)
    if entries is None:
        return None
    place = rng.randrange(len(entries.list))
    entry = entries.list[place]
    name = entries.named(entry[0])
    how = rng.choice(["dropped", "doubled", "moved", "instance", "type", "longer", "shorter", "lie",
                      "empty", "inserted", "inserted", "behind", "zero"])
    if how == "dropped":
        del entries.list[place]
    elif how == "doubled":
        entries.list.insert(place + 1, [entry[0], entry[1], bytearray(entry[2]), None])
    elif how == "moved":
        del entries.list[place]
        other = rng.randrange(len(entries.list) + 1)
        entries.list.insert(other, entry)
        how = f"moved from {place} to {other}"
    elif how == "instance":
        entry[1] = edge(rng, 16, entry[1])
        how = f"instance {entry[1]}"
    elif how == "type":
        entry[0] = rng.choice([rng.randrange(24), edge(rng, 16, entry[0])])
        how = f"becomes type {entry[0]}"
    elif how in ("longer", "shorter"):
        amount = rng.choice([1, 4, 8, 16])
        if how == "longer":
            entry[2] += rng.choice([bytes(amount), b"\xa5" * amount])
        else:
            del entry[2][max(0, len(entry[2]) - amount):]
        how = f"{how} by {amount}"
    elif how == "lie":
        entry[3] = edge(rng, 32, len(entry[2])) if rng.random() < 0.5 else max(
            0, len(entry[2]) + rng.choice([-8, 8, 1]))
        how = f"length {entry[3]}"
    elif how == "empty":
        entry[2][:] = b""
    elif how == "zero":
        entry[2][:] = bytes(len(entry[2]))
    elif how == "inserted":
        kind = rng.choice([3, 4, 7, 8, 9, 10, 11, 12, 13, 15, 16, 17, 18, 19, 20, 21, 22])
        size = CONTEXT_LENGTHS.get(kind, 8)
        body = bytearray(size if rng.random() < 0.8 else rng.choice([0, 1, 8, 600]))
        entries.list.insert(max(1, place), [kind, rng.choice([0, 0, 0, 1]), body, None])
        name, how = entries.named(kind), f"inserted, {len(body)} zeros"
    else:
        entries.record.data += b"\0" * rng.choice([1, 8, 100])
        return "bytes behind the last entry of HVM_CONTEXT"
    entries.write()
    return f"HVM_CONTEXT {name}: {how}"


@mutation("context-field", 4, "pvh hvm")
def context_field(image, rng):
    """A field of any entry but CPU."""
    entries = context(image)
    others = [entry for entry in entries.list if entry[0] != 2 and entry[2]] if entries else []
    if not others:
        return None
    kind, instance, body, _ = entry = rng.choice(others)
    size = rng.choice([size for size in (1, 2, 4, 8) if size <= len(body)])
    if kind == 6:                                            # registers are at multiples of 16
        offset, size = 16 * rng.choice([2, 3, 8, 0xD, 0xE, 0xF, 0x10, 0x20, 0x28, 0x30, 0x31, 0x32,
                                        0x33, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3E,
                                        rng.randrange(64)]), 4
    else:
        if len(body) < size:
            return None
        offset = size * rng.randrange(len(body) // size)
    words = change(body, offset, size, rng, f"{entries.named(kind)}[{instance}] byte {offset}")
    entries.write()
    return words


@mutation("context-cpu", 5, "pvh hvm")
def context_cpu(image, rng):
    entries = context(image)
    cpus = [entry for entry in entries.list if entry[0] == 2] if entries else []
    if not cpus:
        return None
    name, offset, size, values = rng.choice(CPU_FIELDS)
    words = change(rng.choice(cpus)[2], offset, size, rng, f"CPU.{name}", "<", values)
    entries.write()
    return words


@mutation("context-msr", 2, "pvh hvm")
def context_msr(image, rng):
    entries = context(image)
    if entries is None:
        return None
    index = rng.choice([0x48, 0x140, 0x6E1, 0xD90, 0xDA0, 0xC0010115, 0xC001011F, 0xC0011027,
                        0xC0011019, 0xC0000103, 0x10, 0x1D9, 0, 0xFFFFFFFF])
    value = rng.choice([0, 0, 1, 1 << 32, 0xFFFFFFFFFFFFFFFF, 4])
    count = rng.choice([1, 1, 1, 0, 2])
    body = wire.u32(count, rng.choice([0, 0, 0, 1])) + wire.u32(
        index, rng.choice([0, 0, 0, 0, 1])) + wire.u64(value)
    place = next((i for i, entry in enumerate(entries.list) if entry[0] == 0), len(entries.list))
    entries.list.insert(place, [20, rng.choice([0, 0, 0, 1]), bytearray(body), None])
    entries.write()
    return f"CPU_MSR of {count}: {index:#x} = {value:#x}, {body[:16].hex()}"


@mutation("context-xsave", 2, "pvh hvm")
def context_xsave(image, rng):
    entries = context(image)
    if entries is None:
        return None
    body = bytearray(wire.u64(0, rng.choice([0, 1, 3, 7]), rng.choice([0, 1, 3, 7])) + wire.fxsave()
                     + bytes(64 + rng.choice([0, 0, 256, 1024])))
    words = ""
    if rng.random() < 0.5:
        name, offset, size = rng.choice(XSAVE_FIELDS)
        words = change(body, offset, size, rng, name) or ""
    place = next((i for i, entry in enumerate(entries.list) if entry[0] == 0), len(entries.list))
    entries.list.insert(place, [16, 0, body, None])
    entries.write()
    return f"CPU_XSAVE of {len(body)} bytes, xcr0 {load(body, 8, 8):#x}, xcr0_accum {load(body, 16, 8):#x} {words}"


@mutation("hvm-params", 4, "pvh hvm")
def hvm_params(image, rng):
    for record in image.records(wire.HVM_PARAMS):
        count = (len(record.data) - 8) // 16
        if count < 1:
            return None
        place = rng.randrange(count)
        index = load(record.data, 8 + 16 * place, 8)
        how = rng.choice(["index", "value", "value", "dropped", "doubled", "new", "new", "new", "count",
                          "reserved", "other"])
        if how == "index":
            return change(record.data, 8 + 16 * place, 8, rng, f"HVM_PARAMS[{place}].index", "<",
                          list(range(PARAM_COUNT + 2)))
        if how == "value":
            return change(record.data, 16 + 16 * place, 8, rng, f"HVM parameter {index}")
        if how == "count":
            return change(record.data, 0, 4, rng, "HVM_PARAMS.count", "<", (count - 1, count + 1, 0))
        if how == "reserved":
            return change(record.data, 4, 4, rng, "HVM_PARAMS.reserved")
        if how == "dropped":
            del record.data[8 + 16 * place:24 + 16 * place]
        elif how == "doubled":
            record.data += record.data[8 + 16 * place:24 + 16 * place]
        elif how == "other":
            record.data += wire.u64(index, edge(rng, 64))
        else:
            index = rng.randrange(PARAM_COUNT + 2)
            value = rng.choice([0, 1, 2, 3, 0xFEFF7, edge(rng, 64), edge(rng, 32)])
            record.data += wire.u64(index, value)
            how = f"new, {value:#x}"
        store(record.data, 0, 4, (len(record.data) - 8) // 16)
        return f"HVM parameter {index} {how}"
    return None


@mutation("policy-against-state", 3, "pvh hvm")
def policy_state_hvm(image, rng):
    """A bit of a control register on, and the feature that it needs, if any, in the policy or not."""
    entries = context(image)
    policies = image.records(wire.X86_CPUID_POLICY)
    cpus = [entry for entry in entries.list if entry[0] == 2] if entries else []
    if not cpus or not policies:
        return None
    register, offset, bit, feature = rng.choice(STATE_BITS)
    body = cpus[0][2]
    if len(body) < offset + 8:
        return None
    store(body, offset, 8, load(body, offset, 8) | 1 << bit)
    words = [f"CPU.{register} bit {bit} on"]
    if feature is not None and rng.random() < 0.7:
        leaf, subleaf, place, number = feature
        on = rng.random() < 0.5
        for at in range(0, len(policies[0].data) - 23, 24):
            if load(policies[0].data, at, 4) == leaf and load(policies[0].data, at + 4, 4) in (
                    subleaf, 0xFFFFFFFF):
                now = load(policies[0].data, at + 8 + 4 * place, 4)
                store(policies[0].data, at + 8 + 4 * place, 4,
                      now | 1 << number if on else now & ~(1 << number))
                words.append(f"its feature {'on' if on else 'off'}")
    entries.write()
    return ", ".join(words)


# PV


@mutation("pv-info", 1, "pv")
def pv_info(image, rng):
    for record in image.records(wire.X86_PV_INFO):
        name, offset, values = rng.choice([("guest_width", 0, (4, 0)), ("pt_levels", 1, (3, 2, 0)),
                                           ("reserved", 2 + rng.randrange(6), ())])
        if offset >= len(record.data):
            return None
        return change(record.data, offset, 1, rng, f"X86_PV_INFO.{name}", "<", values)
    return None


@mutation("p2m-frames", 2, "pv")
def p2m_frames(image, rng):
    for record in image.records(wire.X86_PV_P2M_FRAMES):
        count = (len(record.data) - 8) // 8
        how = rng.choice(["start", "end", "end", "pfn", "pfn", "swap", "same", "more"])
        if how in ("start", "end"):
            return change(record.data, 0 if how == "start" else 4, 4, rng,
                          f"X86_PV_P2M_FRAMES.p2m_{how}_pfn", "<",
                          (0x1FF, 0x200, 0x3FE, 0x400, 0x5FF, 0x600, 1))
        if count < 2:
            return None
        if how == "pfn":
            return change(record.data, 8 + 8 * rng.randrange(count), 8, rng, "p2m_pfn", "<",
                          (0, 0x10, 0x3FF, 0x400, 0x57))
        if how == "swap":
            record.data[8:24] = record.data[16:24] + record.data[8:16]
        elif how == "same":
            record.data[16:24] = record.data[8:16]
        else:
            record.data += wire.u64(0x20)
            store(record.data, 4, 4, 0x5FF)
        return f"X86_PV_P2M_FRAMES: {how}"
    return None


@mutation("shared-info", 1, "pv")
def shared_info(image, rng):
    for record in image.records(wire.SHARED_INFO):
        name, offset, size = rng.choice([
            ("upcall_pending", 0, 1), ("upcall_mask", 1, 1), ("pending_sel", 8, 8),
            ("evtchn_pending", 2048, 8), ("evtchn_mask", 2560, 8), ("wc_sec", 3076, 4),
            ("max_pfn", 3088, 8), ("fll", 3096, 8), ("nmi_reason", 3104, 8), ("p2m_cr3", 3112, 8),
            ("p2m_vaddr", 3120, 8), ("p2m_generation", 3128, 8), ("rest", 3200, 8)])
        return change(record.data, offset, size, rng, f"SHARED_INFO.{name}")
    return None


@mutation("pv-basic", 6, "pv")
def pv_basic(image, rng):
    for record in image.records(wire.X86_PV_VCPU_BASIC):
        name, offset, size, values = rng.choice(PV_FIELDS)
        return change(record.data, 8 + offset, size, rng, f"X86_PV_VCPU_BASIC.{name}", "<", values)
    return None


@mutation("pv-vcpu-id", 2, "pv")
def pv_vcpu_id(image, rng):
    records = image.records(wire.X86_PV_VCPU_BASIC, wire.X86_PV_VCPU_EXTENDED,
                            wire.X86_PV_VCPU_XSAVE, wire.X86_PV_VCPU_MSRS)
    if not records:
        return None
    record = rng.choice(records)
    offset = rng.choice([0, 0, 0, 4])
    return change(record.data, offset, 4, rng, f"{record.name}.{('vcpu_id', 'reserved')[offset // 4]}",
                  "<", (1, 127, 128, 4095, 8192))


@mutation("pv-extended", 2, "pv")
def pv_extended(image, rng):
    for record in image.records(wire.X86_PV_VCPU_EXTENDED):
        name, offset, size, values = rng.choice([
            ("vcpu", 8, 4, (1,)), ("size", 12, 4, (0, 24, 32, 56, 63, 64, 65, 128)),
            ("syscall32_callback_eip", 16, 8, (1 << 47, 1 << 63)),
            ("sysenter_callback_eip", 24, 8, (1 << 47, 0xFFFF800000000000)),
            ("syscall32_callback_cs", 32, 2, ()), ("syscall32_disables_events", 36, 1, ()),
            ("caps", 40, 8, (1 << 10, 0x1FF, 1 << 24, 1 << 27)), ("ctl2", 48, 8, ()),
            ("ctl2", 56, 8, ()), ("mcg_ext_ctl", 64, 8, ())])
        return change(record.data, offset, size, rng, f"X86_PV_VCPU_EXTENDED.{name}", "<", values)
    return None


@mutation("pv-xsave", 2, "pv")
def pv_xsave(image, rng):
    for record in image.records(wire.X86_PV_VCPU_XSAVE):
        if rng.random() < 0.3:
            return change(record.data, rng.choice([8, 16]), 8, rng, "X86_PV_VCPU_XSAVE mask", "<",
                          (1, 3, 7))
        masks = rng.choice([(1, 1), (3, 3), (7, 7), (0, 3), (3, 0), (1, 3)])
        area = bytearray(wire.fxsave() + bytes(64 + rng.choice([0, 0, 256])))
        store(area, 512, 8, masks[1])
        record.data[8:] = wire.u64(*masks) + bytes(area)
        return f"X86_PV_VCPU_XSAVE of {len(record.data)} bytes, xcr0 {masks[0]}, accum {masks[1]}"
    return None


@mutation("pv-msrs", 2, "pv")
def pv_msrs(image, rng):
    records = image.records(wire.X86_PV_VCPU_BASIC)
    if not records:
        return None
    count = rng.choice([0, 1, 1, 1, 1, 2, 7, 8])
    body = wire.u32(rng.choice([0, 0, 0, 0, 1]), 0)
    first = None
    for _ in range(count):
        index = rng.choice([0x48, 0x140, 0x6E1, 0xC0000103, 0xC0011027, 0xC0011019, 0xC001101A,
                            0xC001101B, 0x10, 0x1D9, 0, 0xC001011F])
        value = rng.choice([0, 0, 0, 1, 1 << 32, 0x80000000])
        body += wire.u32(index, rng.choice([0] * 6 + [1])) + wire.u64(value)
        first = first or f"{index:#x} = {value:#x}"
    place = index_of(image, records[0]) + rng.choice([0, 1, 1, 2])
    image.parts.insert(place, Record("libxc", wire.X86_PV_VCPU_MSRS, body))
    return f"X86_PV_VCPU_MSRS of {count}: {first}"


# Device models


@mutation("emulator", 3, "hvm")
def emulator(image, rng):
    records = image.records(wire.EMULATOR_CONTEXT, wire.EMULATOR_XENSTORE_DATA, layer="libxl")
    if not records:
        return None
    record = rng.choice(records)
    how = rng.choice(["id", "index", "byte", "byte", "cut", "head"])
    if len(record.data) < 8:
        return None
    if how in ("id", "index"):
        return change(record.data, 0 if how == "id" else 4, 4, rng, f"{record.name}.{how}", "<",
                      (0, 1, 2, 3))
    if how == "byte" and len(record.data) > 8:
        place = rng.randrange(8, len(record.data))
        return change(record.data, place, 1, rng, f"{record.name} byte {place}")
    if how == "cut":
        cut = rng.randrange(1, len(record.data))
        del record.data[len(record.data) - cut:]
        return f"{record.name} shorter by {cut}"
    if len(record.data) >= 16:
        return change(record.data, rng.choice([8, 12]), 4, rng, f"{record.name} magic", ">")
    return None
