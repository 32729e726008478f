"""The emulated machine of xen-lab: QEMU, Xen and dom0, spoken to over two sockets.

The serial line carries jobs and their output (see dom0-init), the control socket QEMU's own
protocol, with which a booted machine is frozen to disk and thawed later.
"""
import contextlib
import ctypes
import io
import json
import re
import signal
import socket
import subprocess
import time

IN_BYTES, OUT_BYTES = 1 << 30, 8 << 30     # sizes of the sparse disks that /in and /out go through
BOOT_SECONDS = 300

# The emulated machine.  Xen's options: cpuidle and lazy FPU switching do not survive emulation; nor
# do the CPU features taken out.  Frozen machines and saved guests are tied to this CPU model.
MACHINE = [
    "qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,thread=multi",
    "-cpu", "EPYC,+svm,+npt,-monitor,-smap,-rdtscp", "-smp", "2", "-m", "2304",
    "-nodefaults", "-no-reboot", "-display", "none",
    "-append", "console=com1 com1=115200 dom0_mem=1024M,max:1024M bootscrub=0 loglvl=info"
               " guest_loglvl=info cpuidle=0 spec-ctrl=eager-fpu",
]
DOM0_OPTIONS = "console=hvc0 loglevel=5 audit=0 panic=5 mitigations=off"
SETTINGS = (MACHINE, DOM0_OPTIONS)


class LabError(Exception):
    """The lab itself does not work; the message is one line for the user."""


def die_with_parent():
    """Runs in a child before exec: the kernel kills it when this process ends, however it ends."""
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def run_tool(command):
    """Runs a program of the host for its effect."""
    result = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if result.returncode:
        raise LabError(f"{command[0]}: {result.stderr.strip() or result.returncode}")


class Machine:
    """One emulated machine, whose files are in `directory`; a context manager that ends QEMU."""

    def __init__(self, directory, start, xen):
        """Starts QEMU in `directory`, with a disk on top of the one in `start`, which may hold a
        frozen machine, and the hypervisor in `xen`.  All are children of the lab's directory, and all
        paths are relative to `directory`: the lab may have any name, and may be moved."""
        self.console, self.out = directory / "console.log", directory / "out.raw"
        self.directory = directory
        self.frozen = (start / "memory").exists()
        origin = f"../{start.name}"
        run_tool(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b",
                  f"{origin}/root.qcow2", directory / "root.qcow2"])
        for name, size in ("in.raw", IN_BYTES), ("out.raw", OUT_BYTES):
            with open(directory / name, "ab") as file:
                file.truncate(size)
        arguments = MACHINE + [
            "-kernel", f"../{xen.name}/xen.elf",
            "-initrd", f"../image/dom0-vmlinux {DOM0_OPTIONS},../image/dom0-initrd.cpio",
            "-serial", "file:console.log"]
        for disk_name, kind in ("root.qcow2", "qcow2"), ("in.raw", "raw"), ("out.raw", "raw"):
            arguments += ["-drive", f"if=none,id={disk_name},file={disk_name},format={kind},"
                          "cache=unsafe", "-device", f"virtio-blk-pci,drive={disk_name}"]
        if self.frozen:
            arguments += ["-incoming", f"exec:cat {origin}/memory"]
        self.serial, serial = socket.socketpair()
        control, monitor = socket.socketpair()
        self.control = control.makefile("rw")
        arguments += [
            "-chardev", f"socket,id=serial,fd={serial.fileno()}", "-serial", "chardev:serial",
            "-chardev", f"socket,id=control,fd={monitor.fileno()}",
            "-mon", "chardev=control,mode=control"]
        with open(directory / "qemu.log", "wb") as log:
            self.qemu = subprocess.Popen(
                arguments, cwd=directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                pass_fds=[serial.fileno(), monitor.fileno()], start_new_session=True,
                preexec_fn=die_with_parent)
        serial.close()
        monitor.close()
        self.command("qmp_capabilities")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.qemu.kill()
        self.qemu.wait()

    def start(self):
        """Waits until xl works, or lets a frozen machine, where it does, go on."""
        if not self.frozen:
            self.wait_for(rb"\x1blab-ready\n", BOOT_SECONDS, "dom0 did not come up")
            return
        while self.command("query-status")["status"] == "inmigrate":
            time.sleep(0.05)
        self.command("cont")

    def freeze(self):
        """Stops the machine for good and leaves its memory beside its root disk."""
        self.command("stop")
        self.command("migrate-set-parameters", **{"max-bandwidth": 4 << 30})
        self.command("migrate", uri="exec:cat > memory")
        while (status := self.command("query-migrate").get("status")) != "completed":
            if status in ("failed", "cancelled"):
                raise LabError(f"QEMU could not freeze the machine: {status}")
            time.sleep(0.1)
        self.command("quit")
        self.qemu.wait()
        self.out.unlink()
        (self.directory / "in.raw").unlink()

    def command(self, name, **arguments):
        """One command of the QEMU Machine Protocol; returns its result."""
        self.control.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
        self.control.flush()
        for line in self.control:
            answer = json.loads(line)
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise LabError(f"QEMU refused {name}: {answer['error'].get('desc')}")
        raise LabError(f"QEMU ended: {self.last_words('qemu.log')}")

    def run(self, seconds, output, silence=None):
        """Has dom0 run the job on the in disk and copies what it prints to `output`; its status.  A job
        that prints nothing for `silence` seconds has failed."""
        self.serial.sendall(b"run %d\n" % seconds)
        end = self.wait_for(rb"\x1blab-exit (\d+)\n", seconds + 60, "no answer from dom0", output,
                            silence)
        return int(end[1])

    def wait_for(self, pattern, seconds, failure, output=io.BytesIO(), silence=None):
        """Reads the serial line up to a match of `pattern`, which starts with the only or last
        escape character in it; `output` gets, as it arrives, all that comes before."""
        deadline = time.monotonic() + seconds
        heard = time.monotonic()
        received = b""
        self.serial.settimeout(1)
        while not (match := re.match(pattern, received)):
            try:
                if not (data := self.serial.recv(65536)):
                    raise LabError(f"QEMU ended: {self.last_words('qemu.log')}")
                received += data
                heard = time.monotonic()
                escape = received.rfind(b"\x1b")
                sure = received if escape < 0 else received[:escape]
                output.write(sure)
                output.flush()
                received = received[len(sure):]
            except TimeoutError:
                # An emulated timer interrupt can get lost, and then all may sleep for minutes.
                # The interrupt of this byte, an empty order to dom0, gets things going again.
                # While dom0 takes none, they pile up; that is no reason to give up.
                with contextlib.suppress(TimeoutError):
                    self.serial.send(b"\n")
            console = self.console.read_bytes()
            if re.search(rb"Panic on CPU|Kernel panic|Dom(ain )?0 crashed", console):
                raise LabError(f"Xen or dom0 crashed: {self.last_words('console.log')}")
            if silence and time.monotonic() > heard + silence:
                raise LabError(f"dom0 was silent for {silence} s: {self.last_words('console.log')}")
            if time.monotonic() > deadline:
                raise LabError(f"{failure} in {seconds} s: {self.last_words('console.log')}")
        return match

    def last_words(self, log):
        """The last line that was printed to a log in the machine's directory."""
        lines = (self.directory / log).read_text(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "no message")
