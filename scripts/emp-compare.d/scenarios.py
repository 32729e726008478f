"""The scenarios, made from tables: what is run, and what goes wrong at which step."""
import dataclasses

from host import COMPLETED, RETURN, RESTORED, event

CONTROL = ["-controloutfd", "OUT", "-controlinfd", "IN"]
SAVE = [*CONTROL, "-fd", "STREAM", "-mode"]
PORTS = ["-store_port", "1", "-console_port", "2"]


@dataclasses.dataclass
class Scenario:
    name: str
    words: list
    # What ours is configured with: a policy is enough for live saves, the others need a filter.
    configuration: str
    is_live: bool = False
    is_restore: bool = False
    faults: dict = dataclasses.field(default_factory=dict)
    events: list = dataclasses.field(default_factory=list)
    # What xenguest reports while xenopsd suspends the guest.
    suspend_events: list = dataclasses.field(default_factory=list)
    # Whether the rounds end by themselves where the events do not end them.
    has_tail: bool = True
    stream: str = "socket"
    # Bytes of each write; 0 for whole messages.
    fragment: int = 0
    quit_status: int = 0
    # Whether something does not come: the clocks are fast from the start.
    is_slow: bool = False


def rounds(*rows):
    return [event(sent=sent, remaining=remaining, iteration=iteration) for sent, remaining, iteration in rows]


# A guest of 1 GiB whose dirty pages become fewer, with a report inside a round, and one that does not.
FEWER = rounds((0, 262144, 0), (262144, 9000, 1), (271144, 3000, 2), (274144, 40, 3))
BUSY = rounds((0, 262144, 0), (262144, 90000, 1), (352144, 90000, 2), (442144, 90000, 3), (532144, 90000, 4))

LIVE = {
    "live": Scenario("", [*SAVE, "hvm_save", "-domid", "DOMAIN", "-dm", "qemu", "-live", "true"],
                     "policy", is_live=True, events=FEWER),
    "live pvh": Scenario("", [*SAVE, "hvm_save", "-domid", "DOMAIN", "-live", "true"], "policy",
                         is_live=True, events=FEWER),
    "live pv": Scenario("", [*SAVE, "save", "-domid", "DOMAIN", "-live", "true"], "policy",
                        is_live=True, events=FEWER),
}
LIVE["live filtered"] = dataclasses.replace(LIVE["live"], configuration="filter")
SUSPEND = {
    "suspend": Scenario("", [*SAVE, "hvm_save", "-domid", "DOMAIN", "-dm", "qemu"], "filter"),
    "suspend pvh": Scenario("", [*SAVE, "hvm_save", "-domid", "DOMAIN"], "filter"),
    "suspend pv": Scenario("", [*SAVE, "save", "-domid", "DOMAIN"], "filter"),
}
RESTORE_WORDS = ["-domid", "DOMAIN", "-fd", "STREAM", *PORTS]
RESTORE = {
    "restore": Scenario("", [*CONTROL, "-mode", "hvm_restore", *RESTORE_WORDS, "-dm", "qemu"], "filter",
                        is_restore=True),
    "restore pvh": Scenario("", [*CONTROL, "-mode", "hvm_restore", *RESTORE_WORDS], "filter",
                            is_restore=True),
    "restore pv": Scenario("", [*CONTROL, "-mode", "restore", *RESTORE_WORDS], "filter", is_restore=True),
}
KINDS = {**LIVE, **SUSPEND, **RESTORE}

# What xenguest does in the place of its answer to a command, or xenopsd meanwhile.
AT_COMMANDS = {
    "refuses": ("instead", '{ "error" : "Bad Args" }\n'),
    "answers nonsense": ("instead", "}{\n"),
    "answers with an unknown key": ("other words", '{ "return" : {}, "unknown" : 1 }\n'),
    "answers twice": ("before", RETURN),
    "exits": ("exit", 1),
    "is killed": ("kill",),
    "hangs up": ("hang up",),
    "does not answer": ("hang",),
    "cancelled": ("cancel",),
}
COMMANDS = {
    "live": ("migrate_init", "track_dirty", "migrate_progress", "migrate_live", "migrate_pause",
             "migrate_paused"),
    "suspend": ("migrate_init", "migrate_pause", "migrate_paused", "migrate_nonlive"),
    "restore": ("migrate_init", "set_args", "restore"),
}
# At the last command; it is good then already.
AT_QUIT = ("refuses", "answers nonsense", "exits", "is killed", "hangs up", "does not answer", "cancelled")

# What xenopsd does in the place of "done".
AT_DONE = {
    "does not answer": ("hang",),
    "closes": ("hang up",),
    "cancels": ("instead", "abort"),
    "cancels in other words": ("instead", "abort now"),
    "answers nonsense": ("instead", "finished"),
    "answers a long line": ("instead", "x" * 127),
    "answers a longer line": ("instead", "x" * 128),
    "answers restore": ("instead", "restore:xenguest"),
    "answers twice": ("after", "done"),
    "answers and cancels": ("after", "abort"),
    "answers an empty line": ("before", ""),
    "answers with a carriage return": ("instead", "done\r"),
    "xenguest exits": ("exit", 1),
}
AT_RESTORE = {
    "does not come": ("hang",),
    "closes": ("hang up",),
    "cancels": ("instead", "abort"),
    "done": ("instead", "done"),
    "of qemu": ("instead", "restore:qemu"),
    "of vgpu": ("instead", "restore:vgpu"),
    "of nobody": ("instead", "restore:"),
    "twice": ("after", "restore:xenguest"),
    "and cancels": ("after", "abort"),
}
AT_START = {
    "exits": ("start", ("exit", 1)),
    "is killed": ("start", ("kill",)),
    "does nothing": ("start", ("hang",)),
    "is never ready": ("ready", ("hang",)),
    "is half ready": ("ready", ("instead", b"r")),
    "is half ready and closes": ("ready", ("instead", b"rc")),
    "closes its output": ("ready", ("instead", b"c")),
    "writes something else": ("ready", ("instead", b"g")),
    "has no socket": ("socket", ("missing",)),
    "cancelled": ("start", ("line", "abort")),
    "xenopsd writes done": ("start", ("line", "done")),
}
AT_QEMU = {
    "has no socket": ("qemu socket", ("missing",)),
    "greets with nonsense": ("qemu greeting", ("instead", "220 mail\r\n")),
    "does not greet": ("qemu greeting", ("hang",)),
    "hangs up": ("qemu greeting", ("hang up",)),
    "does not answer qmp_capabilities": ("qemu qmp_capabilities", ("hang",)),
    "hangs up at qmp_capabilities": ("qemu qmp_capabilities", ("hang up",)),
    "refuses qmp_capabilities": ("qemu qmp_capabilities", (
        "instead", '{"error": {"class": "CommandNotFound", "desc": "no"}}\r\n')),
    "does not answer the dirty log": ("qemu xen-set-global-dirty-log", ("hang",)),
    "hangs up at the dirty log": ("qemu xen-set-global-dirty-log", ("hang up",)),
    "refuses the dirty log": ("qemu xen-set-global-dirty-log", (
        "instead", '{"error": {"class": "CommandNotFound", "desc": "no"}}\r\n')),
    "reports an event": ("qemu xen-set-global-dirty-log", (
        "before", '{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "RTC_CHANGE", '
                  '"data": {"offset": 0}}\r\n')),
    "answers with an id": ("qemu xen-set-global-dirty-log", ("other words", '{"return": {}, "id": 1}\r\n')),
    "cancelled at the greeting": ("qemu greeting", ("cancel",)),
    "cancelled at qmp_capabilities": ("qemu qmp_capabilities", ("cancel",)),
    "cancelled at the dirty log": ("qemu xen-set-global-dirty-log", ("cancel",)),
}

# Reports of rounds. Each begins with all pages of a guest.
FIRST = rounds((0, 262144, 0))
REPORTS = {
    "49 pages in round 1": FIRST + rounds((262144, 49, 1)),
    "50 pages in round 1": FIRST + rounds((262144, 50, 1), (262194, 50, 2), (262244, 50, 3)),
    "51 pages in round 1": FIRST + rounds((262144, 51, 1), (262195, 51, 2), (262246, 10, 3)),
    "none in round 1": FIRST + rounds((262144, 0, 1)),
    "busy": BUSY,
    "round 4 is left out": FIRST + rounds((262144, 90000, 1), (352144, 90000, 5)),
    "few in round 0": rounds((0, 20, 0), (20, 3, 1)),
    "none in round 0": rounds((0, 0, 0), (20, 3, 1)),
    "inside round 0": FIRST + rounds((1000, -1, 0), (200000, -1, 0), (262144, 10, 1)),
    "inside round 1": FIRST + rounds((262144, 9000, 1), (265000, -1, 1), (271144, 40, 2)),
    "inside round 4": FIRST + rounds((262144, 9000, 1), (271144, 9000, 2), (280144, 9000, 3),
                                     (281000, -1, 4)),
    "remaining is -2": FIRST + rounds((262144, -2, 1), (262144, 10, 2)),
    "round -1": FIRST + rounds((262144, 10, -1), (262144, 10, 2)),
    "rounds go back": FIRST + rounds((262144, 90000, 2), (352144, 10, 1)),
    "a round twice": FIRST + rounds((262144, 90000, 1), (262144, 10, 1)),
    "no iteration": FIRST + [event(sent=10, remaining=5)] + rounds((262144, 10, 1)),
    "no remaining": FIRST + [event(sent=262144, iteration=1)] + rounds((262144, 10, 2)),
    "no remaining in round 4": FIRST + [event(sent=262144, iteration=4)],
    "no sent": FIRST + [event(remaining=10, iteration=1)],
    "empty": FIRST + [event()] + rounds((262144, 10, 1)),
    "more sent than 2^53": FIRST + rounds((9007199254740993, 10, 1)),
    "more sent than 2^63": FIRST + rounds((9223372036854775808, 10, 1)),
    "iteration above 2^31": FIRST + rounds((262144, 9000, 4294967297)),
    "a fraction": FIRST + [event(sent=262144, remaining=10.0, iteration=1)],
    "a string": FIRST + [event(sent="262144", remaining=10, iteration=1)],
    "null": FIRST + [event(sent=None, remaining=10, iteration=1)],
    "true": FIRST + [event(sent=True, remaining=10, iteration=1)],
    "unknown key in data": FIRST + [event(sent=262144, remaining=10, iteration=1, rate=5)],
    "unknown key": FIRST + ['{"event": "MIGRATION", "data": {}, "seq": 7}\n'],
    "unknown event": FIRST + ['{"event": "STOP", "data": {}}\n'] + rounds((262144, 10, 1)),
    "no data": FIRST + ['{"event": "MIGRATION"}\n'] + rounds((262144, 10, 1)),
    "data is a list": FIRST + ['{"event": "MIGRATION", "data": []}\n'],
    "data alone": FIRST + ['{"data": {"remaining": 10}}\n'],
    "event is an integer": FIRST + ['{"event": 5, "data": {"remaining": 10}}\n'],
    "a timestamp": FIRST + ['{"timestamp": 5, "event": "MIGRATION", "data": '
                            '{"sent": 262144, "remaining": 10, "iteration": 1}}\n'],
    "an empty object": FIRST + ["{}\n"] + rounds((262144, 10, 1)),
    "a list": FIRST + ["[1]\n"] + rounds((262144, 10, 1)),
    "an integer": FIRST + ["5\n"] + rounds((262144, 10, 1)),
    "a greeting of QEMU": FIRST + ['{"QMP": {}}\n'] + rounds((262144, 10, 1)),
    "an answer nobody waits for": FIRST + [RETURN],
    "an error nobody waits for": FIRST + ['{"error": "disk"}\n'],
    "an object for an error": FIRST + ['{"error": {"desc": "disk"}}\n'],
    "a long string": FIRST + ['{"event": "MIGRATION", "data": {"result": "' + "x" * 3000 + '"}}\n']
                     + rounds((262144, 10, 1)),
    "a longer string": FIRST + ['{"event": "MIGRATION", "data": {"result": "' + "x" * 9000 + '"}}\n'],
    "merged": ["".join(FEWER[:2]), "".join(FEWER[2:])],
    "all merged": ["".join(FEWER)],
    "cut": FIRST + [FEWER[1][:20], FEWER[1][20:], *FEWER[2:]],
    "one and a half": [FEWER[0] + FEWER[1][:30], FEWER[1][30:], *FEWER[2:]],
    "blank lines": FIRST + ["\n\n \t\r\n"] + FEWER[1:],
    "escaped": FIRST + ['{"\\u0065vent": "MIGR\\u0041TION", "data": {"remaining": 10, "sent": 262144, '
                        '"iteration": 1}}\n'],
    "completed early": FIRST + [COMPLETED] + rounds((262144, 10, 1)),
    "failed": FIRST + [event(status="failed")],
    "a status that is no string": FIRST + [event(status=5)],
}

# How a save or restore is completed.
AT_COMPLETION = {
    "failed": ("instead", event(status="failed")),
    "status is no string": ("instead", event(status=7)),
    "does not come": ("hang",),
    "exits": ("exit", 1),
    "is killed": ("kill",),
    "hangs up": ("hang up",),
    "twice": ("after", COMPLETED),
    "and exits": ("after", ""),
    "cancelled": ("cancel",),
}
RESULTS = {
    "no result": event(status="completed"),
    "result before": event(result="1 2") + COMPLETED,
    "result first": '{"event": "MIGRATION", "data": {"result": "1 2", "status": "completed"}}\n',
    "result is no string": event(status="completed", result=5),
    "one frame": event(status="completed", result="1"),
    "an empty result": event(status="completed", result=""),
    "a long result": event(status="completed", result="9" * 100),
    "a longer result": event(status="completed", result="9" * 120),
    "result with a line end": event(status="completed", result="1 2\nresult:vgpu"),
    "a round": event(sent=5, remaining=0, iteration=2) + RESTORED,
}

# Words of xenopsd: what is put after those of a kind, and what is taken away or put in another place.
WORDS = {
    "-compress": ("live", ["-compress", "true"], {}),
    "-unknown": ("live", ["-unknown", "1"], {}),
    "-help": ("live", ["-help"], {}),
    "-dm vgpu": ("live", ["-dm", "vgpu:9"], {}),
    "-dm unknown": ("live", ["-dm", "unknown"], {}),
    "-dm qemu:9": ("live", ["-dm", "qemu:9"], {}),
    "-dm qemu twice": ("live", ["-dm", "qemu"], {}),
    "-fork": ("live", ["-fork", "true"], {}),
    "-debug": ("live", ["-debug"], {}),
    "-debuglog": ("live", ["-debuglog", "true"], {}),
    "-traceparent": ("live", ["-traceparent", "00-1-1-01"], {}),
    "-trace": ("live", ["-trace", "false"], {}),
    "-mem_pnode": ("restore", ["-mem_pnode", "1"], {}),
    "-mem_pnode of a save": ("live", ["-mem_pnode", "1"], {}),
    "-mem_pnode unknown to xenguest": ("restore", ["-mem_pnode", "1"], {}),
    "-store_port of a save": ("live", ["-store_port", "1"], {}),
    "-live of a restore": ("restore", ["-live", "true"], {}),
    "-live false": ("suspend", ["-live", "false"], {}),
    "-live maybe": ("suspend", ["-live", "maybe"], {}),
    "-live twice": ("suspend", ["-live", "true", "-live", "false"], {}),
    "an extra word": ("live", ["extra"], {}),
    "two dashes": ("live", [], {"-domid": "--domid", "-mode": "--mode", "-live": "--live"}),
    "no mode": ("live", [], {"-mode": None}),
    "unknown mode": ("live", [], {"hvm_save": "hvm_move"}),
    "no domain": ("live", [], {"-domid": None}),
    "domain is no integer": ("live", [], {"DOMAIN": "7x"}),
    "no stream": ("live", [], {"-fd": None}),
    "stream is no integer": ("live", [], {"STREAM": "x"}),
    "stream is negative": ("live", [], {"STREAM": "-1"}),
    "no control": ("live", [], {"-controlinfd": None}),
    "shortened": ("live", [], {"-domid": "-domi"}),
    "an equals sign": ("live", ["-live=true"], {"-live": None}),
}
STREAMS = {"file": "live", "append": "live", "pipe": "live", "closed": "live", "read-only": "restore"}


def changed(words, changes):
    """The words with others in their places; None takes an option and its value away."""
    out, skip = [], False
    for word in words:
        if skip:
            skip = False
        elif word in changes and changes[word] is None:
            skip = True
        else:
            out.append(changes.get(word, word))
    return out


def is_slow(fault):
    return fault == ("hang",) or fault == ("instead", b"r")


def make(kind, name, **others):
    scenario = dataclasses.replace(KINDS[kind], name=f"{kind}: {name}", **others)
    scenario.is_slow = any(is_slow(fault) for fault in scenario.faults.values())
    return scenario


def scenarios():
    for kind in KINDS:
        yield make(kind, "good")
    for kind in ("suspend", "restore"):
        yield make(kind, "nothing is configured", configuration="nothing")
    for name, kind in STREAMS.items():
        yield make(kind, f"stream: {name}", stream=name)
    for name in ("append", "pipe"):
        yield make("suspend", f"stream: {name}", stream=name)
    yield make("restore", "stream: pipe", stream="pipe")
    for kind, commands in COMMANDS.items():
        for command in commands:
            for name, fault in AT_COMMANDS.items():
                yield make(kind, f"{command}: {name}", faults={f"emp {command}": fault})
    for kind in COMMANDS:
        for name in AT_QUIT if kind == "live" else ("exits", "cancelled"):
            yield make(kind, f"quit: {name}", faults={"emp quit": AT_COMMANDS[name]})
        yield make(kind, "quit: status 3", quit_status=3)
    for name, fault in AT_DONE.items():
        for kind, line in (("live", "prepare:xenguest"), ("live", "suspend"), ("suspend", "suspend")):
            yield make(kind, f"{line}: {name}", faults={f"done {line}": fault})
    for name, fault in AT_RESTORE.items():
        yield make("restore", f"request: {name}", faults={"restore": fault})
    yield make("restore", "request: early", faults={"start": ("line", "restore:xenguest"),
                                                    "restore": ("missing",)})
    for name, (step, fault) in AT_START.items():
        yield make("live", f"start: {name}", faults={step: fault})
    for name in ("exits", "cancelled", "is half ready and closes"):
        step, fault = AT_START[name]
        yield make("restore", f"start: {name}", faults={step: fault})
    for name, (step, fault) in AT_QEMU.items():
        yield make("live", f"QEMU {name}", faults={step: fault})
    for name, events in REPORTS.items():
        yield make("live", f"rounds: {name}", events=events)
    yield make("live", "rounds: none ends them", events=FIRST, has_tail=False)
    yield make("live", "rounds: during suspend", suspend_events=rounds((275000, 12, 4)))
    yield make("live", "rounds: completed during suspend", suspend_events=[COMPLETED])
    for command in ("migrate_live", "migrate_pause", "migrate_paused"):
        yield make("live", f"rounds: before the answer to {command}", faults={
            f"emp {command}": ("before", rounds((262144, 8000, 1))[0])})
    yield make("live", "rounds: merged with the answer", faults={
        "emp migrate_live": ("after", FEWER[0])}, events=FEWER[1:])
    for name, fault in (("exits", ("exit", 1)), ("is killed", ("kill",)), ("hangs up", ("hang up",)),
                        ("hangs", ("hang",)), ("cancelled", ("line", "abort")),
                        ("xenopsd writes done", ("line", "done")),
                        ("xenopsd writes restore", ("line", "restore:xenguest")),
                        ("xenopsd writes nonsense", ("line", "hello"))):
        for kind in ("live", "live filtered"):
            yield make(kind, f"after the rounds: {name}", faults={"after the rounds": fault},
                       events=FEWER[:3], has_tail=False)
    yield make("live", "cancelled at the second line of progress", faults={"info": ("cancel",)})
    for kind in COMMANDS:
        for name, fault in AT_COMPLETION.items():
            if name == "and exits":
                continue
            yield make(kind, f"completion: {name}", faults={"completion": fault})
    yield make("live", "completion: merged with the answer", faults={
        "emp migrate_paused": ("after", COMPLETED), "completion": ("instead", "")})
    yield make("suspend", "completion: merged with the answer", faults={
        "emp migrate_nonlive": ("after", COMPLETED), "completion": ("instead", "")})
    for name, text in RESULTS.items():
        yield make("restore", f"result: {name}", faults={"completion": ("instead", text)})
    for size in (1, 7, 40):
        for kind in COMMANDS:
            yield make(kind, f"writes of {size} bytes", fragment=size)
    for name, (kind, more, changes) in WORDS.items():
        words = changed(KINDS[kind].words, changes) + more
        faults = {"mem_pnode": ("refuse",)} if name.endswith("unknown to xenguest") else {}
        yield make(kind, f"words: {name}", words=words, faults=faults)
    for kind, step in (("live", "after the rounds"), ("live", "emp migrate_paused"),
                       ("suspend", "emp migrate_nonlive"), ("restore", "emp restore")):
        yield make(kind, f"SIGTERM at {step.replace('emp ', '')}", faults={step: ("terminate",)},
                   **({"events": FEWER[:3], "has_tail": False} if step == "after the rounds" else {}))
