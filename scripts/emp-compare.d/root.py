"""The root directory in which the programs run: this machine's, with an /etc, a /run and a /dev of its own.

The programs find xenguest, the sockets and the configuration by the paths that are compiled into them.
Nothing of this machine is written to, and nothing of it is changed: all of it is in a mount namespace.
"""
import ctypes
import os
import pathlib
import shutil

CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
OWN = ("etc", "run", "dev", "proc", "usr")
DEVICES = ("null", "zero", "full", "random", "urandom")

libc = ctypes.CDLL(None, use_errno=True)


def call(name, *arguments):
    if getattr(libc, name)(*arguments) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)} (is it allowed to make namespaces?)")


def end_with_parent(parent):
    """From now on the kernel ends this process with its parent."""
    PR_SET_PDEATHSIG, SIGKILL = 1, 9
    call("prctl", PR_SET_PDEATHSIG, SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def mount(source, target, kind=None, flags=0):
    call("mount", *(os.fsencode(word) if word else None for word in (source, target, kind)), flags, None)


def separate():
    """Gives this process a mount namespace of its own, and root's rights in it."""
    user, group = os.getuid(), os.getgid()
    call("unshare", CLONE_NEWNS | (CLONE_NEWUSER if user else 0))
    if user:
        pathlib.Path("/proc/self/setgroups").write_text("deny")
        pathlib.Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        pathlib.Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    mount(None, "/", None, MS_REC | MS_PRIVATE)


def bind(source, target):
    """Shows a file or directory of this machine at another place too."""
    if source.is_symlink():
        os.symlink(os.readlink(source), target)
        return
    if source.is_dir():
        target.mkdir()
    else:
        target.touch()
    mount(source, target, None, MS_BIND | MS_REC)


def bind_all(source, target, but=()):
    """Shows the entries of a directory."""
    for entry in sorted(source.iterdir()) if source.is_dir() else []:
        if entry.name not in but and (entry.is_symlink() or entry.is_dir() or entry.is_file()):
            bind(entry, target / entry.name)


def enter(folder, files):
    """Makes the root in `folder`, puts the files (path: source, or text) into it, and goes there."""
    root = pathlib.Path(folder)
    mount("emp-compare", root, "tmpfs")
    bind_all(pathlib.Path("/"), root, OWN)
    for name in OWN:
        (root / name).mkdir()
    mount("/proc", root / "proc", None, MS_BIND | MS_REC)
    bind_all(pathlib.Path("/usr"), root / "usr", ("libexec", "lib64"))
    for name in ("usr/libexec", "usr/lib64"):
        (root / name).mkdir()
        bind_all(pathlib.Path("/", name), root / name, ("xen",))
    for name in DEVICES:
        bind(pathlib.Path("/dev", name), root / "dev" / name)
    # Where the loader finds libraries.
    for name in ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives"):
        if pathlib.Path("/etc", name).exists():
            bind(pathlib.Path("/etc", name), root / "etc" / name)
    for path, content in files.items():
        place = root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            place.write_text(content)
        else:
            shutil.copy(content, place)
    os.chroot(root)
    os.chdir("/")
