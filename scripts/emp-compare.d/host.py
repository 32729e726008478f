"""The host around one run of an emu-manager: xenopsd, xenguest, QEMU and the stream, played step by step.

A scenario says what goes wrong at which step. Nothing depends on time: what is not an answer is written
only when the program has read what came before and waits again.
"""
import array
import contextlib
import json
import os
import pathlib
import select
import signal
import socket
import struct
import subprocess
import threading
import time

# Seconds without anything after which a run is ended: with the usual clock, to be repeated with the fast
# one, and with that, where it means that the program would wait for ever.
PATIENCE, FAST_PATIENCE, LIMIT = 3, 9, 40

# A stream of an HVM domain with headers and END, and what xenopsd writes after it.
IMAGE = (b"\xff" * 8 + b"XENF" + struct.pack(">IHH", 3, 0, 0) + bytes(4)
         + struct.pack("<IHHII", 2, 12, 0, 4, 17) + bytes(8))
HEADERS = 40
NEXT = b"the next record of xenopsd"

RETURN = '{ "return" : {} }\n'
COMPLETED = '{ "event" : "MIGRATION", "data": {"status": "completed"}}\n'
RESTORED = '{ "event" : "MIGRATION", "data": {"status": "completed", "result": "1044476 1044479"}}\n'
GREETING = '{"QMP": {"version": {"qemu": {"micro": 1, "minor": 2, "major": 4}}, "capabilities": []}}\r\n'
ENVIRONMENT = {"PATH": "/sbin:/usr/sbin:/bin:/usr/bin"}


class Log:
    """What the programs write to the system's log, by process."""

    def __init__(self):
        self.lines = {}
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.socket.bind("/dev/log")
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        while True:
            text, extra, _, _ = self.socket.recvmsg(8192, 64)
            process = struct.unpack_from("i", extra[0][2])[0]
            line = text.decode(errors="replace").rstrip("\n\0").split("]: ", 1)[-1]
            self.lines.setdefault(process, []).append(line)


class Store:
    """xenstored, for reads of a domain's name: that names the file of the configuration."""

    def __init__(self):
        os.makedirs("/run/xenstored", exist_ok=True)
        self.names = {}
        self.listener = listen("/run/xenstored/socket")
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection, contextlib.suppress(OSError, struct.error):
            while True:
                kind, request, transaction, length = struct.unpack("=4I", connection.recv(16, socket.MSG_WAITALL))
                path = connection.recv(length, socket.MSG_WAITALL).rstrip(b"\0").decode()
                words = path.split("/")
                value = None
                if words[:3] == ["", "local", "domain"] and words[3] in self.names:
                    value = {"vm": "/vm/6a0c1bd4-15c8-4d3c-8f2a-0c4e0f2ba111",
                             "name": self.names[words[3]]}.get("/".join(words[4:]))
                answer, text = (2, value.encode()) if value else (16, b"ENOENT\0")
                connection.sendall(struct.pack("=4I", answer, request, transaction, len(text)) + text)


def listen(path):
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen(16)
    return listener


def objects(text):
    """The whole JSON objects at the beginning, and the rest."""
    found, decoder = [], json.JSONDecoder()
    while text.strip():
        text = text.lstrip()
        try:
            value, end = decoder.raw_decode(text)
        except ValueError:
            break
        found.append(value)
        text = text[end:]
    return found, text


class Peer:
    """A connection on which the program sends JSON objects."""

    def __init__(self, connection):
        self.socket = connection
        self.socket.setblocking(False)
        self.text = ""
        self.received = []

    def read(self):
        """What has come: a list of objects; None at the end."""
        try:
            data, extra, _, _ = self.socket.recvmsg(4096, socket.CMSG_SPACE(64))
        except BlockingIOError:
            return []
        except ConnectionResetError:
            return None
        for _, kind, content in extra:
            if kind == socket.SCM_RIGHTS:
                descriptors = array.array("i")
                descriptors.frombytes(content[:len(content) - len(content) % descriptors.itemsize])
                self.received += descriptors
        if not data:
            return None
        found, self.text = objects(self.text + data.decode(errors="replace"))
        return found

    def close(self):
        if self.socket:
            self.socket.close()
        self.socket = None


class Host:
    """One run. `play` gives what is compared."""

    def __init__(self, scenario, program, domain, shared, fast):
        self.scenario, self.program, self.domain, self.shared, self.fast = scenario, program, domain, shared, fast
        self.faults = dict(scenario.faults)
        self.lines, self.progress, self.commands, self.qmp_commands, self.order = [], [], [], [], []
        self.xenguest_facts, self.transcript, self.queue = [], [], []
        self.guest, self.driver, self.emp, self.qmp, self.stream = 0, None, None, None, None
        self.driver_text, self.line_text = b"", b""
        self.stream_bytes, self.restored = b"", b""
        self.hung = set()
        self.was_killed = self.was_ended = self.is_done_due = self.is_paused = False
        self.start_time = self.last_time = time.monotonic()

    # What happened.

    def note(self, channel, text):
        self.last_time = time.monotonic()
        self.transcript.append((self.last_time - self.start_time, channel, text))

    # The program.

    def start(self):
        scenario = self.scenario
        from_manager, out = os.pipe()
        into, self.to_manager = os.pipe()
        self.from_manager = from_manager
        os.set_blocking(from_manager, False)
        ours, theirs = self.make_stream()
        # xenopsd's helper gives its descriptors by number.
        values = {"OUT": out, "IN": into, "STREAM": theirs}
        words = [str(values.get(word, word)) for word in scenario.words]
        passed = [out, into, theirs]
        if scenario.stream == "closed":
            passed.remove(theirs)
        environment = dict(ENVIRONMENT)
        if self.fast:
            environment["LD_PRELOAD"] = "/emp-compare/fast-clock.so"
        self.shared.store.names[str(self.domain)] = scenario.configuration
        self.driver_listener = listen(f"/run/emp-compare/{self.domain}")
        self.emp_listener = None
        self.qmp_listener = None
        if self.faults.get("qemu socket") != ("missing",):
            self.qmp_listener = listen(f"/run/xen/qmp-libxl-{self.domain}")
        words = [word.replace("DOMAIN", str(self.domain)) for word in words]
        self.process = subprocess.Popen(
            [*self.program, *words], pass_fds=passed, env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")
        self.note("xenopsd", "starts " + " ".join(scenario.words))
        # xenopsd keeps the stream as well, and reads after the record of xenguest from it.
        self.other_end, self.kept = ours, os.dup(theirs)
        for descriptor in (out, into, theirs):
            os.close(descriptor)
        self.end = os.pidfd_open(self.process.pid)
        self.perform("begin")

    def make_stream(self):
        """The other end of the stream, and the program's."""
        kind, is_restore = self.scenario.stream, self.scenario.is_restore
        content = IMAGE + NEXT if is_restore else b""
        if kind in ("file", "append", "read-only"):
            path = f"/run/emp-compare/stream-{self.domain}"
            with open(path, "wb") as file:
                file.write(content)
            flags = {"file": os.O_RDWR, "append": os.O_WRONLY | os.O_APPEND, "read-only": os.O_RDONLY}[kind]
            return os.open(path, os.O_RDONLY), os.open(path, flags | os.O_CLOEXEC)
        if kind == "pipe":
            reader, writer = os.pipe()
            ours, theirs = (writer, reader) if is_restore else (reader, writer)
        else:
            first, second = socket.socketpair()
            ours, theirs = first.detach(), second.detach()
        if content:
            os.write(ours, content)
        return ours, theirs

    def read_rest(self):
        """What is in the stream after the run: what was saved, or what a restore has not read."""
        descriptor = self.kept if self.scenario.is_restore else self.other_end
        os.set_blocking(descriptor, False)
        with contextlib.suppress(BlockingIOError, ConnectionResetError):
            while part := os.read(descriptor, 65536):
                self.stream_bytes += part
        os.close(self.kept)
        os.close(self.other_end)

    # What is written when the program waits again.

    def later(self, action, *arguments):
        self.queue.append((action, arguments))

    def is_settled(self):
        """Whether all threads of the program wait: what they were given has been read, or is not wanted."""
        try:
            for task in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
                status = (task / "stat").read_text()
                if status[status.rindex(")") + 2] not in "SZ":
                    return False
        except (FileNotFoundError, ProcessLookupError):
            pass
        return True

    def write_message(self, peer, text, size=0):
        size = size or self.scenario.fragment
        if '"completed"' in text:
            self.end_stream()
        if not size:
            self.write_now(peer, text)
            return
        for start in range(0, len(text), size):
            self.queue.insert(start // size, (self.write_now, (peer, text[start:start + size])))

    def write_now(self, peer, text):
        if not peer or not peer.socket:
            return
        self.note("xenguest" if peer is self.emp else "qemu", text.strip())
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            peer.socket.setblocking(True)
            peer.socket.sendall(text.encode())
            peer.socket.setblocking(False)

    def write_line(self, text):
        """xenopsd writes."""
        if self.to_manager is None:
            return
        text = text if text.endswith("\n") or "\n" in text else text + "\n"
        size = self.scenario.fragment
        if size:
            for start in range(0, len(text), size):
                self.queue.insert(start // size, (self.write_control, (text[start:start + size],)))
        else:
            self.write_control(text)

    def write_control(self, text):
        if self.to_manager is None:
            return
        self.note("xenopsd", text.strip())
        with contextlib.suppress(BrokenPipeError):
            os.write(self.to_manager, text.encode())

    def close_control(self):
        self.note("xenopsd", "closes its end")
        os.close(self.to_manager)
        self.to_manager = None

    def order_guest(self, order):
        with contextlib.suppress(OSError, AttributeError):
            self.driver.send(order)

    def end_guest(self, order):
        """xenguest ends: the kernel closes what it has, and then lets its parent know."""
        self.was_ended = True
        self.note("xenguest", "is killed" if order == b"K" else f"exits with {order[1]}")
        self.hang_up()
        self.order_guest(order)

    def hang_up(self):
        if self.stream is not None:
            os.close(self.stream)
        self.stream = None
        if self.emp:
            self.emp.close()

    # Faults.

    def perform(self, step):
        """Lets happen what the scenario has for the step, but for what comes in the place of an answer;
        false where the step is to be as usual."""
        fault = self.faults.get(step)
        if fault is None:
            return False
        kind, *rest = fault
        if kind == "hang":
            if not step.startswith(("done", "restore")):
                self.hung.add("qemu" if step.startswith("qemu") else "xenguest")
            self.note("fault", f"nothing comes at: {step}")
        elif kind == "exit":
            self.end_guest(bytes((ord("X"), rest[0])))
        elif kind == "kill":
            self.end_guest(b"K")
        elif kind == "hang up":
            self.note("xenguest", "closes its socket")
            if self.emp:
                self.emp.close()
        elif kind == "cancel":
            # xenguest and QEMU answer nevertheless, later.
            self.write_line("abort")
            return False
        elif kind == "terminate":
            self.note("fault", "the program gets SIGTERM")
            self.process.send_signal(signal.SIGTERM)
            return False
        elif kind == "line":
            self.write_line(rest[0])
            return False
        return kind not in ("instead", "other words", "before", "after", "missing")

    def answer(self, step, peer, text):
        """Answers at a step; false where that is not done."""
        if ("qemu" if peer is self.qmp else "xenguest") in self.hung:
            return False
        fault = self.faults.get(step, ("none",))
        if fault[0] == "hang up" and peer is self.qmp:
            self.note("qemu", "closes its socket")
            self.qmp.close()
            return False
        if self.perform(step):
            return False
        if fault[0] in ("cancel", "terminate", "line"):
            self.later(self.write_message, peer, text)
        elif fault[0] == "instead":
            self.write_message(peer, fault[1])
            return False
        elif fault[0] == "other words":
            self.write_message(peer, fault[1])
        elif fault[0] == "before":
            self.write_message(peer, fault[1] + text)
        elif fault[0] == "after":
            self.write_message(peer, text + fault[1])
        else:
            self.write_message(peer, text)
        return True

    # xenopsd.

    def take_lines(self):
        try:
            data = os.read(self.from_manager, 4096)
        except (BlockingIOError, OSError):
            return False
        if not data:
            return False
        *lines, self.line_text = (self.line_text + data).split(b"\n")
        for line in lines:
            self.take_line(line.decode(errors="replace"))
        return True

    def take_line(self, line):
        self.note("program", line)
        if line.startswith("info:"):
            self.progress.append(line.rpartition("\\b")[2])
            if self.faults.get("info") == ("cancel",) and len(self.progress) == 2:
                self.write_line("abort")
            return
        # QEMU's socket was closed before.
        self.take_qmp()
        self.lines.append(line)
        self.order.append(line)
        # xenopsd needs QEMU's socket when it is asked to suspend: QEMU talks to one client.
        if line == "suspend:" and self.qmp and self.qmp.socket:
            self.qmp_commands.append("open at suspend:")
        if line.startswith(("prepare:", "suspend:")):
            for event in self.scenario.suspend_events if line == "suspend:" else ():
                self.later(self.write_message, self.emp, event)
            self.later(self.answer_line, line)
        if line.startswith("error:") and self.is_done_due:
            # It was at something, and reads why only after that.
            self.is_done_due = False
            self.later(self.write_line, "done")

    def answer_line(self, line):
        step = "done " + line.rstrip(":")
        if self.faults.get(step, ("none",))[0] in ("exit", "kill"):
            self.is_done_due = True
        self.write_step(step, "done")

    def ask_for_restore(self):
        self.write_step("restore", "restore:xenguest")

    def write_step(self, step, line):
        """Writes xenopsd's line of this step, or does what goes wrong there."""
        fault = self.faults.get(step, ("none",))
        if fault[0] == "hang up":
            self.close_control()
        elif self.perform(step):
            pass
        elif fault[0] == "instead":
            self.write_line(fault[1])
        elif fault[0] == "before":
            self.write_line(fault[1] + f"\n{line}\n")
        elif fault[0] == "after":
            self.write_line(f"{line}\n{fault[1]}\n")
        elif fault[0] not in ("cancel", "missing"):
            self.write_line(line)

    # QEMU.

    def take_qmp(self):
        if not self.qmp or not self.qmp.socket:
            return
        found = self.qmp.read()
        if found is None:
            self.note("program", "closes QEMU's socket")
            self.qmp_commands.append("closed")
            self.qmp.close()
            return
        for value in found:
            self.note("program", "to QEMU: " + json.dumps(value))
            self.qmp_commands.append(json.dumps(value, sort_keys=True))
            name = str(value.get("execute"))
            self.answer("qemu " + name, self.qmp, '{"return": {}}\r\n')

    # xenguest.

    def begin_guest(self):
        self.driver, _ = self.driver_listener.accept()
        while not self.driver_text.endswith(b"\nend\n"):
            part = self.driver.recv(65536)
            if not part:
                return
            self.driver_text += part
        first, *facts, _, _ = self.driver_text.decode().split("\n")
        self.guest = int(first)
        self.xenguest_facts = ["word N" if fact == f"word {self.domain}" else
                               "a descriptor more" if fact.startswith("descriptor") else fact for fact in facts]
        self.note("xenguest", "starts")
        if self.perform("start") and self.faults["start"][0] != "line":
            return
        if self.faults.get("socket") != ("missing",):
            self.emp_listener = listen(f"/run/xen/xenguest-control-{self.domain}")
        fault = self.faults.get("ready", ("none",))
        if fault[0] == "instead":
            self.order_guest(fault[1])
        elif not self.perform("ready"):
            if fault[0] in ("cancel", "terminate"):
                self.later(self.order_guest, b"R")
            else:
                self.order_guest(b"R")

    def take_end(self):
        """xenguest was killed: the kernel closes what it has."""
        self.was_killed = self.was_ended = True
        self.note("xenguest", "is killed by the program")
        self.hang_up()

    def take_commands(self):
        if not self.emp.socket:
            return
        found = self.emp.read()
        # What the program wrote before it sent this.
        self.take_lines()
        self.take_qmp()
        if found is None:
            self.note("program", "closes xenguest's socket")
            self.emp.close()
            return
        for value in found:
            self.take_command(value)

    def take_command(self, value):
        name = str(value.get("execute"))
        self.note("program", json.dumps(value))
        self.commands.append(json.dumps(value, sort_keys=True))
        self.order.append(name)
        if self.emp.received:
            self.stream = self.emp.received.pop(0)
        text = RETURN
        if name == "set_args" and self.faults.get("mem_pnode") and "mem_pnode" in value.get("arguments", {}):
            text = '{ "error" : "Bad Args" }\n'
        if name in ("migrate_live", "migrate_nonlive"):
            self.write_stream(IMAGE[:HEADERS])
        if self.answer("emp " + name, self.emp, text):
            self.follow(name)

    def follow(self, name):
        """What xenguest does after its answer."""
        scenario = self.scenario
        if name == "migrate_init" and scenario.is_restore:
            self.later(self.ask_for_restore)
        elif name == "migrate_live":
            for event in scenario.events:
                self.later(self.write_event, event)
            self.later(self.perform, "after the rounds")
            if scenario.has_tail:
                for event in TAIL:
                    self.later(self.write_event, event)
        elif name == "migrate_pause":
            self.is_paused = True
        elif name == "migrate_nonlive":
            self.later(self.complete)
        elif name == "migrate_paused" and scenario.is_live:
            self.later(self.complete)
        elif name == "restore":
            self.read_image()
            self.later(self.complete)
        elif name == "quit":
            self.was_ended = True
            self.order_guest(bytes((ord("X"), scenario.quit_status)))

    def write_event(self, event):
        if not self.is_paused and "xenguest" not in self.hung:
            self.write_message(self.emp, event)

    def complete(self):
        fault = self.faults.get("completion", ("none",))
        if "xenguest" in self.hung or self.perform("completion"):
            return
        text = RESTORED if self.scenario.is_restore else COMPLETED
        text = {"instead": fault[-1], "before": str(fault[-1]) + text,
                "after": text + str(fault[-1])}.get(fault[0], text)
        if fault[0] in ("cancel", "terminate", "line"):
            self.later(self.write_message, self.emp, text)
        else:
            self.write_message(self.emp, text)

    def end_stream(self):
        if not self.scenario.is_restore:
            self.write_stream(IMAGE[HEADERS:])
        if self.stream is not None:
            os.close(self.stream)
            self.stream = None

    def write_stream(self, data):
        if self.stream is not None:
            with contextlib.suppress(OSError):
                os.write(self.stream, data)

    def read_image(self):
        """Reads as far as END; not further, and no longer than something comes."""
        while self.stream is not None and len(self.restored) < len(IMAGE):
            if not select.select([self.stream], [], [], 2)[0]:
                return
            part = os.read(self.stream, len(IMAGE) - len(self.restored))
            if not part:
                return
            self.restored += part

    # The loop.

    def play(self):
        """Runs the program to its end; returns whether it came by itself."""
        self.start()
        patience = FAST_PATIENCE if self.fast else PATIENCE
        while True:
            poller = select.poll()
            entries = {self.from_manager: self.take_lines, self.end: None}
            if not self.driver:
                entries[self.driver_listener.fileno()] = self.begin_guest
            elif not self.was_ended:
                entries[self.driver.fileno()] = self.take_end
            if self.emp_listener and not self.emp:
                entries[self.emp_listener.fileno()] = self.take_connection
            if self.emp and self.emp.socket:
                entries[self.emp.socket.fileno()] = self.take_commands
            if self.qmp_listener and not self.qmp:
                entries[self.qmp_listener.fileno()] = self.take_qemu
            if self.qmp and self.qmp.socket:
                entries[self.qmp.socket.fileno()] = self.take_qmp
            for descriptor in entries:
                poller.register(descriptor, select.POLLIN)
            ready = {descriptor for descriptor, _ in poller.poll(2 if self.queue else 100)}
            if self.end in ready:
                self.take_lines()
                self.finish()
                return True
            handlers = [entries[descriptor] for descriptor in entries if descriptor in ready]
            if self.from_manager in ready and not self.take_lines():
                # It has closed its end, or is about to end.
                time.sleep(0.001)
            for handler in handlers:
                if handler != self.take_lines:
                    handler()
            if not ready and self.queue and self.is_settled():
                action, arguments = self.queue.pop(0)
                action(*arguments)
            now = time.monotonic()
            if now - self.last_time > patience or now - self.start_time > LIMIT:
                self.process.kill()
                self.finish()
                return False

    def take_connection(self):
        connection, _ = self.emp_listener.accept()
        self.emp = Peer(connection)
        self.note("program", "connects to xenguest")

    def take_qemu(self):
        connection, _ = self.qmp_listener.accept()
        self.qmp = Peer(connection)
        self.note("program", "connects to QEMU")
        self.answer("qemu greeting", self.qmp, GREETING)

    def finish(self):
        self.status = self.process.wait()
        self.note("program", f"ends with {self.status}")
        # Its sockets are closed now, if they were not.
        self.take_qmp()
        self.guest_end = "was not started"
        if self.driver:
            self.driver.settimeout(1)
            try:
                is_gone = not self.driver.recv(1)
            except ConnectionResetError:
                is_gone = True
            except TimeoutError:
                is_gone = False
            self.guest_end = "was killed" if self.was_killed else (
                "ended" if self.was_ended else "was killed" if is_gone else "was not ended")
        self.hang_up()
        for one in (self.driver, self.driver_listener, self.emp_listener, self.qmp_listener):
            if one:
                one.close()
        if self.qmp:
            self.qmp.close()
        self.read_rest()
        for descriptor in (self.from_manager, self.end, self.to_manager):
            if descriptor is not None:
                os.close(descriptor)
        for path in (f"/run/emp-compare/{self.domain}", f"/run/xen/xenguest-control-{self.domain}",
                     f"/run/xen/qmp-libxl-{self.domain}", f"/run/emp-compare/stream-{self.domain}"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def stream_facts(self):
        """What a run that was good has made of the stream."""
        if not any(line.startswith("result:") for line in self.lines):
            return ""
        if self.scenario.is_restore:
            is_right = self.restored == IMAGE and self.stream_bytes == NEXT
        else:
            is_right = self.stream_bytes == IMAGE
        return "the image" if is_right else f"other bytes: {(self.restored + self.stream_bytes).hex()}"

    def result(self, came):
        """What is compared, by aspect."""
        end = "never ends" if not came else "good" if self.status == 0 else (
            "failed" if self.status > 0 else signal.Signals(-self.status).name)
        return {
            "lines": self.lines, "progress": self.progress, "commands": self.commands,
            "qmp": self.qmp_commands, "order": self.order, "exit": end,
            "xenguest": [*self.xenguest_facts, self.guest_end], "stream": self.stream_facts(),
        }


def event(**data):
    """A report of xenguest."""
    return json.dumps({"event": "MIGRATION", "data": data}) + "\n"


# Ends the rounds for every rule.
TAIL = [event(sent=5000, remaining=20, iteration=5), event(sent=5020, remaining=0, iteration=6)]
