"""Puts this very Python into the image's tree, with the libraries it loads and nothing else: `python -I interpreter.py ROOT`.

Everything comes to the path where it is here. Left out of the standard library are tests, Tk, IDLE, pip's wheels and the
extension modules for terminals and desktop databases. Of the system: each shared library that is linked, the CA bundle,
names of users, and for scanners of vulnerabilities what Debian's package manager knows of these libraries.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
import shutil
import ssl
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

LEFT_OUT = {
    "__pycache__", "config", "curses", "dbm", "dist-packages", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "site-packages",
    "sitecustomize.py", "test", "tests", "tkinter", "turtle.py", "turtledemo", "venv",
}  # fmt: skip
CONFIG = re.compile(r"config-\d.*")
EXTENSIONS_LEFT_OUT = re.compile(
    r"(_curses|_curses_panel|_dbm|_gdbm|_tkinter|readline|nis|xx\w+|_test\w*|_ctypes_test)\."
)
# Loaded by name at run time, so that nothing is linked with it: the C library needs it to end a thread.
BY_NAME = ("libgcc_s.so.1",)
LINKED = re.compile(r"(?:=> )?(/\S+) \(0x")
ELF = b"\x7fELF"
PASSWD = "root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n"
GROUP = "root:x:0:\nnogroup:x:65534:\n"
NSSWITCH = "passwd: files\ngroup: files\nhosts: files dns\n"


class Tree:
    """The image's / below ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def at(self, path: Path) -> Path:
        return self.root / path.relative_to("/")

    def add(self, path: Path) -> Path:
        """A file with all links on the way to it, as here; returns where it really is."""
        done = Path("/")
        waiting = list(path.parts[1:])
        while waiting:
            step = done / waiting.pop(0)
            if step.is_symlink():
                target = step.readlink()
                if not self.at(step).is_symlink():
                    self.at(step.parent).mkdir(parents=True, exist_ok=True)
                    self.at(step).symlink_to(target)
                done, waiting = Path("/"), [*Path(os.path.normpath(done / target)).parts[1:], *waiting]
            else:
                done = step
        self.at(done.parent).mkdir(parents=True, exist_ok=True)
        if not self.at(done).exists():
            shutil.copy2(done, self.at(done))
        return done

    def write(self, path: str, text: str) -> None:
        file = self.at(Path(path))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def wanted(folder: str, names: list[str]) -> set[str]:
    """For copytree: what of a folder of the standard library is left out."""
    gone = {name for name in names if name in LEFT_OUT or CONFIG.fullmatch(name)}
    return gone | {name for name in names if folder.endswith("lib-dynload") and EXTENSIONS_LEFT_OUT.match(name)}


def binaries(root: Path) -> Iterator[Path]:
    """Programs and shared libraries in the tree."""
    for path in root.rglob("*"):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                if file.read(4) == ELF:
                    yield path


def linked(binary: Path) -> set[Path]:
    """What the loader would load for it. Raises SystemExit when something is missing."""
    done = subprocess.run(["ldd", str(binary)], capture_output=True, text=True, check=False)
    if "not found" in done.stdout:
        raise SystemExit(f"interpreter.py: {binary}: {done.stdout}")
    return {Path(found) for found in LINKED.findall(done.stdout)}


def loaded_by_name(name: str) -> Path:
    """Where the loader finds it."""
    ctypes.CDLL(name)
    for line in Path("/proc/self/maps").read_text().splitlines():
        if line.endswith(f"/{name}"):
            return Path(line.split(maxsplit=5)[5])
    raise SystemExit(f"interpreter.py: {name} was loaded, but is nowhere in /proc/self/maps")


def debian_package(file: Path) -> str | None:
    """Which package of Debian's it is from; None: of none. Since / and /usr are one, it may know either name."""
    for name in (file, Path("/", *file.parts[2:])):
        done = subprocess.run(["dpkg", "-S", str(name)], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return done.stdout.partition(": ")[0].split(",")[0]
    return None


def note_packages(tree: Tree, files: set[Path]) -> None:
    """What dpkg says of the packages that these files are from, a file a package, and their licences."""
    if shutil.which("dpkg") is None:
        return
    for package in sorted({name for name in map(debian_package, files) if name}):
        bare = package.partition(":")[0]
        status = subprocess.run(["dpkg-query", "--status", package], capture_output=True, text=True, check=True).stdout
        tree.write(f"/var/lib/dpkg/status.d/{bare}", status)
        licence = Path(f"/usr/share/doc/{bare}/copyright")
        if licence.exists():
            tree.add(licence)


def certificates(tree: Tree) -> None:
    """The system's CAs in one file, where OpenSSL looks for it, and OpenSSL's settings."""
    paths = ssl.get_default_verify_paths()
    bundle = Path(paths.openssl_capath) / "ca-certificates.crt"
    if bundle.exists():
        tree.add(bundle)
        where = tree.at(Path(paths.openssl_cafile))
        where.parent.mkdir(parents=True, exist_ok=True)
        where.unlink(missing_ok=True)
        where.symlink_to(bundle.resolve())
    settings = Path(paths.openssl_cafile).with_name("openssl.cnf")
    if settings.exists():
        tree.add(settings)


def main(root: Path) -> None:
    """Fill the tree."""
    tree = Tree(root)
    program = tree.add(Path(sys.executable).resolve())
    stdlib = Path(sysconfig.get_path("stdlib"))
    shutil.copytree(stdlib, tree.at(stdlib), ignore=wanted, symlinks=True, dirs_exist_ok=True)
    libraries = {found for binary in binaries(root) for found in linked(binary)}
    real = {program} | {tree.add(path) for path in libraries | {loaded_by_name(name) for name in BY_NAME}}
    certificates(tree)
    tree.write("/etc/passwd", PASSWD)
    tree.write("/etc/group", GROUP)
    tree.write("/etc/nsswitch.conf", NSSWITCH)
    if Path("/etc/os-release").exists():
        tree.add(Path("/etc/os-release"))
    folders = sorted({str(path.parent) for path in real - {program}})
    tree.write("/etc/ld.so.conf", "".join(f"{folder}\n" for folder in folders))
    subprocess.run([shutil.which("ldconfig", path="/sbin:/usr/sbin") or "ldconfig", "-r", str(root)], check=True)
    note_packages(tree, real)
    tree.write("/usr/share/oomward/python-version", f"{platform.python_version()}\n")
    for folder in ("proc", "sys", "dev", "tmp", "run", "etc/oomward", "var/lib/oomward", "root"):
        (root / folder).mkdir(parents=True, exist_ok=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
