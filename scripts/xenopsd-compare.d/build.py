"""Builds the judge: judge.ml, with the parts of xenopsd's source that it names."""
import pathlib
import re
import shutil
import subprocess

import processes
from processes import Failure

HERE = pathlib.Path(__file__).resolve().parent
PREPROCESSOR = "ppx_sexp_conv"
COMMANDS = {"ocamlfind": "ocaml-findlib", "ocamlopt": "ocaml-nox", "git": "git", "zstd": "zstd"}
LIBRARIES = {"astring": "libastring-ocaml-dev", "base64": "libbase64-ocaml-dev", "logs": "liblogs-ocaml-dev",
             "ptime.clock.os": "libptime-ocaml-dev", "sexplib": "libsexplib-ocaml-dev",
             "uuidm": "libuuidm-ocaml-dev", PREPROCESSOR: "libppx-sexp-conv-ocaml-dev"}
TAKE = re.compile(r"\(\* take (\S+\.ml)(?: before ([^:*]+?))?(?: in ([^:*]+?))?(?::\s*([^*]+?))?\s*\*\)")
# What an item of OCaml begins with.
START = r"(?:let|and|type|exception|module|open|include|external|\(\*|\[@@@)(?![\w'])"


def run(command, **options):
    """Runs a command; returns its standard output."""
    status, output, errors = processes.run(command, stderr=subprocess.PIPE, **options)
    if status:
        message = " ".join(errors.decode(errors="replace").split()) or f"exit status {status}"
        raise Failure(f"{' '.join(map(str, command[:3]))}...: {message[-800:]}")
    return output.decode()


def check_packages():
    """Refuses to build where Debian packages are missing, and names them."""
    def is_there(library):
        query = ["ocamlfind", "query", "-qe", "-qo", library]
        return bool(shutil.which("ocamlfind")) and subprocess.run(query).returncode == 0

    missing = [package for command, package in COMMANDS.items() if not shutil.which(command)]
    missing += [package for library, package in LIBRARIES.items() if not is_there(library)]
    if missing:
        raise Failure(f"missing Debian packages: {' '.join(missing)}")


class Source:
    """The source DIR-or-URL[@REV]: a directory, or a repository, of which only files that are named are read."""

    def __init__(self, name, folder):
        location, at, revision = name.rpartition("@")
        if not at or "/" in revision or ":" in revision:
            location, revision = name, ""
        self.folder, self.revision = pathlib.Path(location), revision or "HEAD"
        self.is_repository = True
        if self.folder.is_dir():
            self.is_repository = bool(revision) or (self.folder / "HEAD").exists()
        else:
            self.folder = folder / "source"
            run(["git", "init", "-q", "--bare", self.folder])
            run(["git", "-C", self.folder, "fetch", "-q", "--depth=1", location, self.revision])
            self.revision = "FETCH_HEAD"

    def read(self, path):
        if self.is_repository:
            return run(["git", "-C", self.folder, "show", f"{self.revision}:{path}"])
        try:
            return (self.folder / path).read_text()
        except OSError as error:
            raise Failure(f"{self.folder / path}: {error.strerror}") from error


def find_item(lines, name, path):
    """The range of lines of an item such as "let suspend": of those with that name the outermost one."""
    found = [index for index, line in enumerate(lines) if re.match(rf" *{re.escape(name)}(?![\w'])", line)]
    indents = [len(lines[index]) - len(lines[index].lstrip()) for index in found]
    if not found or indents.count(min(indents)) > 1:
        raise Failure(f"{path}: {name}: {'not found' if not found else 'found more than once'}")
    indent = min(indents)
    first = found[indents.index(indent)]
    end = re.compile(rf" {{0,{indent}}}{START}" + (rf"| {{0,{indent - 1}}}end\b" if indent else ""))
    return first, next((index for index in range(first + 1, len(lines)) if end.match(lines[index])), len(lines))


def take(source, path, before, module, names):
    """Text of the source, with its line numbers for messages of the compiler."""
    lines = source.read(path).split("\n")
    first, last = find_item(lines, module, path) if module else (0, len(lines))
    if before:
        last = find_item(lines, before, path)[0]
    ranges = [(first, last)]
    if names:
        inside = [find_item(lines[first + bool(module):last], name, path) for name in re.split(r",\s*", names)]
        ranges = [(first + bool(module) + start, first + bool(module) + end) for start, end in inside]
    text = "".join(f'# {start + 1} "{path}"\n' + "\n".join(lines[start:end]) + "\n" for start, end in ranges)
    # The derivations for calls by RPC need libraries of xen-api's, and no image has to do with them.
    return re.sub(r"\s*\[@@deriving rpcty\]", "", re.sub(r"rpcty, (?=sexp)|(?<=sexp), rpcty", "", text))


def fill(source):
    """judge.ml with all that it takes."""
    text = (HERE / "judge.ml").read_text()

    def replace(found):
        line = text.count("\n", 0, found.end()) + 1
        return f'\n{take(source, *found.groups())}# {line} "judge.ml"\n'
    return TAKE.sub(replace, text)


def compile_judge(folder):
    # ocamlfind would run the preprocessor by ppx_deriving; linked by itself it does without.
    query = ["ocamlfind", "query", "-r", "-predicates", "native,ppx_driver", "-format", "-I %d %+a"]
    libraries = run([*query, PREPROCESSOR, "ppxlib.runner"]).split()
    run(["ocamlopt", "-linkall", "-o", "ppx", *libraries], cwd=folder)
    packages = [name for name in LIBRARIES if name != PREPROCESSOR]
    run(["ocamlfind", "ocamlopt", "-w", "-a", "-thread", "-linkpkg", "-package",
         ",".join(["threads.posix", f"{PREPROCESSOR}.runtime-lib", *packages]), "-ppx", "./ppx --as-ppx", "-o",
         "judge", "judge.ml"], cwd=folder)


def build(source, folder):
    """Builds the judge of the source; returns the program's path."""
    (folder / "judge.ml").write_text(fill(source))
    compile_judge(folder)
    return folder / "judge"
