"""Builds the real emu-managers and the programs of ours that play around them."""
import pathlib
import re
import shutil
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
# Their own warnings are no business of ours; a fault in how they call our stand-in is.
FLAGS = ["-std=gnu11", "-O1", "-g", "-w", "-D_GNU_SOURCE", "-Werror=implicit-function-declaration",
         "-Werror=incompatible-pointer-types"]
# Seconds of a program that pass in one where its clock is fast.
FACTOR = 30


class BuildError(Exception):
    """A program cannot be built; the message is for the user."""


def run(command, **options):
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                            errors="replace", **options)
    if result.returncode:
        raise BuildError(f"{' '.join(map(str, command[:3]))}...: {result.stderr.strip()[-800:]}")
    return result.stdout.strip()


def compile(sources, out, *options):
    run(["cc", *FLAGS, "-o", out, *sources, *options])


def fetch(source, folder):
    """Puts the source DIR-or-URL[@REV] into the folder."""
    place, at, revision = source.rpartition("@")
    if not at or "/" in revision or ":" in revision:
        place, revision = source, ""
    if pathlib.Path(place).is_dir() and not revision and not is_repository(place):
        shutil.copytree(place, folder)
        return
    run(["git", "clone", "-q", place, folder])
    if revision:
        run(["git", "-C", folder, "checkout", "-q", revision])


def is_repository(place):
    return subprocess.run(["git", "-C", place, "rev-parse"], capture_output=True).returncode == 0


def revision(folder):
    if not (folder / ".git").exists():
        return "unknown"
    return run(["git", "-C", folder, "rev-parse", "--short=7", "HEAD"])


def build_manager(source, generic, folder):
    """Builds one emu-manager; returns its name and its path. `generic` gives the path of XCP-ng's library,
    which is built into its emu-manager. Neither cmake nor make is used: the build files want libraries
    installed that are not to be had outside XCP-ng. Nothing of the sources is changed: their paths are
    those of a root directory that is made for them (see root.py)."""
    fetch(source, folder / "source")
    # Both include <emp.h> and <libempserver.h>.
    includes = folder / "include"
    includes.mkdir()
    shutil.copy(HERE / "libempserver.h", includes / "libempserver.h")
    (includes / "emp.h").write_text('#include "libempserver.h"\n')
    stand_in = HERE / "libempserver.c"
    source = folder / "source"
    json = ["-I/usr/include/json-c", "-ljson-c", "-lpthread"]
    out = folder / "emu-manager"
    if (source / "src/emu.c").exists():
        library = generic()
        sources = sorted((source / "src").glob("*.c")) + [
            library / "src" / name for name in (
                "io.c", "network.c", "string.c", "stacktrace/stacktrace.c",
                "stacktrace/platform/std-stacktrace.c")]
        compile([*sources, stand_in], out, f"-I{includes}", f"-I{library / 'include'}", *json)
        found = re.search(r"project\(\S+ VERSION (\S+)", (source / "CMakeLists.txt").read_text())
        return f"xcp-{found[1] if found else revision(source)}", out
    if (source / "emum.c").exists():
        sources = [source / name for name in ("emum.c", "em-client.c", "lib.c", "qmp.c")]
        compile([*sources, stand_in], out, f"-I{includes}", f"-I{source}", *json)
        return f"xenserver-{revision(source)}", out
    raise BuildError(f"{source}: neither XCP-ng's emu-manager (src/emu.c) nor XenServer's (emum.c)")


def build_all(sources, generic, folder):
    """Builds all; returns the paths of the emu-managers by name, and the folder with the other programs."""
    libraries = []

    def library():
        if not libraries:
            fetch(generic, folder / "generic")
            libraries.append(folder / "generic")
        return libraries[0]

    managers = {}
    for index, source in enumerate(sources):
        place = folder / f"manager-{index}"
        place.mkdir()
        name, path = build_manager(source, library, place)
        if name in managers:
            raise BuildError(f"{source}: {name} is there already")
        managers[name] = path
    others = folder / "programs"
    others.mkdir()
    compile([HERE / "xenguest.c"], others / "xenguest")
    compile([HERE / "fast-clock.c"], others / "fast-clock.so", "-shared", "-fPIC", f"-DFACTOR={FACTOR}")
    return managers, others
