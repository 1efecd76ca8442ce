"""Fuzz target for systemd's unit files: any bytes as a drop-in, and each line as a unit's name.

No bytes are an error, what a file begins with counts whatever follows, and every folder of a unit's drop-ins is named after it.
"""

from __future__ import annotations

import os

from agent.runtime.unit_files import assignments, names_of_drop_ins

BEGINNING = "[Scope]\nOOMPolicy=continue\n"


def check(data: bytes) -> None:
    """Check what must be true of every file."""
    text = data.decode(errors="surrogateescape")
    for key, value in assignments(text, "Scope"):
        if key != key.strip() and key.strip(" \t\n\r") != key:
            raise AssertionError(f"a key with white space around it: {key!r}")
        if "\n" in value or "\r" in value or "\0" in value:
            raise AssertionError(f"a value of several lines: {value!r}")
    first = next(assignments(BEGINNING + text, "Scope"), None)
    if first != ("OOMPolicy", "continue"):
        raise AssertionError(f"what follows has changed what was before: {first}")
    for line in data.split(b"\n"):
        _check_name(os.fsdecode(line))


def _check_name(name: str) -> None:
    unit = f"{name}.scope"
    folders = names_of_drop_ins(unit)
    if folders[0] != f"{unit}.d" or len(folders) > 1 + name.count("-"):
        raise AssertionError(f"not the folders of {unit!r}: {folders}")
    for folder in folders[1:]:
        prefix = folder.removesuffix(".scope.d")
        if not prefix.endswith("-") or not name.startswith(prefix) or len(prefix) >= len(name):
            raise AssertionError(f"{folder!r} is not of {unit!r}")
