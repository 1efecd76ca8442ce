"""systemd's unit files and their drop-ins, read as systemd reads them (systemd.unit(5), systemd.syntax(7)).

Paths are the node's; ``root`` is where its root directory is for us. No link leads out of ``root``, no file larger than LARGEST_BYTES
is read, and nothing waits: a FIFO is no file.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

LARGEST_BYTES = 1 << 20
MOST_FILES = 100  # of one unit
MOST_STEPS = 100  # of one path, including those through links
CONTINUED = " "  # what a backslash before the line break becomes
WHITESPACE = " \t\n\r"
COMMENTS = ("#", ";")
NO_UTF8 = re.compile("[\udc80-\udcff]")  # as surrogateescape decodes it


@dataclass(frozen=True, slots=True)
class UnitFile:
    """``changed_ns``: when its content or name changed last, by the node's clock."""

    path: str
    text: str
    changed_ns: int


def assignments(text: str, section: str) -> Iterator[tuple[str, str]]:
    """Key and value of each assignment in this section, in order. A line that systemd rejects ends the file, as it does for systemd."""
    within = ""
    for raw in _logical_lines(text):
        line = raw.strip(WHITESPACE)
        if not line or line.startswith(COMMENTS):
            continue
        if NO_UTF8.search(line) or (line.startswith("[") and not line.endswith("]")):
            return
        if line.startswith("["):
            within = line[1:-1]
            continue
        key, equals, value = line.partition("=")
        if equals and within == section:
            yield key.strip(WHITESPACE), value.strip(WHITESPACE)


def _logical_lines(text: str) -> Iterator[str]:
    """Lines joined where a backslash ends one; comments in between are left out."""
    joined = ""
    for line in text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\n").split("\n"):
        if line.lstrip(WHITESPACE).startswith(COMMENTS):
            continue
        joined += line
        if (len(joined) - len(joined.rstrip("\\"))) % 2:
            joined = joined[:-1] + CONTINUED
            continue
        yield joined
        joined = ""
    if joined:
        yield joined


def names_of_drop_ins(unit: str) -> list[str]:
    """The folders of drop-ins that are named after the unit, the most specific first, without that of the type.

    ``a-b-c.scope`` has ``a-b-c.scope.d``, ``a-b-.scope.d`` and ``a-.scope.d``.
    """
    name, _, kind = unit.rpartition(".")
    folders = [f"{unit}.d"]
    while (at := name.removesuffix("-").rfind("-")) > 0:
        name = name[: at + 1]
        folders.append(f"{name}.{kind}.d")
    return folders


def _changed_ns(found: os.stat_result) -> int:
    """No program can set this time, and a new name changes it too."""
    return found.st_ctime_ns


class NodeFiles:
    """Reads files of the node below ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._top = "" if root == Path("/") else str(root)

    def resolve(self, path: str) -> Path | None:
        """Where this path of the node is for us, its links followed as the node would; None: too many of them."""
        rest, done = path.split("/")[::-1], [self._top]  # strings: this is the inner loop of a reading
        for _ in range(MOST_STEPS):
            if not rest:
                return Path("/".join(done) or "/")
            part = rest.pop()
            if part in ("", "."):
                continue
            if part == "..":
                del done[max(1, len(done) - 1) :]
                continue
            try:
                target = os.readlink("/".join((*done, part)))
            except OSError:  # no link, or not there
                done.append(part)
                continue
            if target.startswith("/"):
                del done[1:]
            rest += target.split("/")[::-1]
        return None

    def changed_ns(self, path: str) -> int | None:
        """When this file or folder, or its name, changed last; None: it is not there or not visible."""
        found = self._stat(path)
        return None if found is None else _changed_ns(found)

    def modified_ns(self, path: str) -> int | None:
        """Its modification time, which a program may set; None: it is not there or not visible."""
        found = self._stat(path)
        return None if found is None else found.st_mtime_ns

    def _stat(self, path: str) -> os.stat_result | None:
        at = self.resolve(path)
        try:
            return None if at is None else os.stat(at, follow_symlinks=False)
        except OSError:
            return None

    def names(self, path: str) -> list[str]:
        """Names in a folder, sorted as bytes; none if it is not there or not visible."""
        at = self.resolve(path)
        try:
            return [] if at is None else sorted(os.listdir(at), key=os.fsencode)
        except OSError:
            return []

    def read(self, path: str) -> UnitFile | None:
        """None: it is not there, not visible, too large or no regular file. A device, such as a link to /dev/null, is an empty file."""
        at = self.resolve(path)
        if at is None:
            return None
        try:
            fd = os.open(at, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        except OSError:
            return None
        try:
            found = os.fstat(fd)
            if stat.S_ISCHR(found.st_mode):
                return UnitFile(path, "", _changed_ns(found))
            raw = os.read(fd, LARGEST_BYTES + 1) if stat.S_ISREG(found.st_mode) else None
        except OSError:
            return None
        finally:
            os.close(fd)
        if raw is None or len(raw) > LARGEST_BYTES:
            return None
        return UnitFile(path, raw.decode(errors="surrogateescape"), _changed_ns(found))

    def present(self, folders: Iterable[str]) -> list[str]:
        """Those of these folders, or links to folders, that are there. One system call each, as folders share their parents."""
        parents: dict[str, str] = {}
        found = []
        for folder in folders:
            parent, _, name = folder.rpartition("/")
            if parent not in parents:
                at = self.resolve(parent)
                parents[parent] = str(at) if at is not None and at.is_dir() else ""
            if parents[parent] and os.path.lexists(f"{parents[parent]}/{name}"):
                found.append(folder)
        return found

    def drop_ins(self, folders: Iterable[str]) -> list[UnitFile]:
        """The ``.conf`` files of these folders in the order in which systemd applies them: by name, whatever their folder.

        Of files with the same name only that of the first folder counts, also if it is empty or a link to /dev/null.
        """
        chosen: dict[str, str] = {}
        for folder in self.present(folders):
            for name in self.names(folder):
                if name.endswith(".conf") and not name.startswith(".") and len(chosen) < MOST_FILES:
                    chosen.setdefault(name, folder)
        files = (self.read(f"{chosen[name]}/{name}") for name in sorted(chosen, key=os.fsencode))
        return [file for file in files if file is not None]
