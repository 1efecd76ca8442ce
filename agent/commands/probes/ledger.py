"""The ledger: can it be read, written, and does it have room? Looks only, so that it can be asked beside a running agent."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from agent.commands.output.checklist import Check
from agent.commands.probes.answers import passed, warned
from agent.ledger import LedgerReader, NoLedgerError
from agent.ledger.store import FILE
from agent.wording.kills import bytes_text

NAME = "ledger"
LITTLE_BYTES = 64 << 20
IN_MEMORY = "kills would be kept in memory only and be lost at a restart"
MEND = "Give the agent a folder that it may write, kept over restarts (hostPath), and name it with --state-dir."


def ledger(state_dir: Path) -> Iterator[Check]:
    """Nothing here keeps the agent from working: without a ledger it goes on in memory and says so."""
    place = _nearest(state_dir)
    file = state_dir / FILE
    if not place.is_dir():
        yield warned(NAME, f"{place} is no directory: {IN_MEMORY}", MEND)
    elif not os.access(place, os.W_OK | os.X_OK) or (file.exists() and not os.access(file, os.W_OK)):
        yield warned(NAME, f"{file if file.exists() else place} can't be written: {IN_MEMORY}", MEND)
    elif (free := _free_bytes(place)) < LITTLE_BYTES:
        yield warned(
            NAME,
            f"{bytes_text(free)} free at {place}: on a full disk {IN_MEMORY}",
            "Free some space there, or name another folder with --state-dir.",
        )
    elif not file.exists():
        begun = "in the folder that is there" if place == state_dir else f"in a folder to be made below {place}"
        yield passed(NAME, f"none at {file} yet: the agent begins it, {begun}")
    else:
        yield _contents(state_dir, file)


def _contents(state_dir: Path, file: Path) -> Check:
    try:
        reader = LedgerReader(state_dir)
        try:
            reader.kills(limit=1)
            reader.kept_decisions()
        finally:
            reader.close()
    except NoLedgerError as error:
        return warned(
            NAME,
            str(error),
            f"If no other program has it open, nothing: the agent sets {file} aside at its start and begins a new one.",
        )
    return passed(NAME, f"{file} can be read and written")


def _nearest(path: Path) -> Path:
    """The path, or the first above it that is there."""
    return next(at for at in (path.absolute(), *path.absolute().parents) if at.exists())


def _free_bytes(place: Path) -> int:
    """For us: a reserve that is root's counts for root (statvfs(3))."""
    found = os.statvfs(place)
    return (found.f_bfree if os.geteuid() == 0 else found.f_bavail) * found.f_frsize
