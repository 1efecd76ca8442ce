"""The ledger: is it readable and writable, and is there disk space? Reads only, so it is safe beside a running agent."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from agent.commands.probes.checks import Check, passed, warned
from agent.ledger import LedgerReader, NoLedgerError
from agent.ledger.store import FILE
from agent.wording.text import bytes_text

NAME = "ledger"
LITTLE_BYTES = 64 << 20
IN_MEMORY = "kills are kept in memory only and lost at a restart"
ADVICE = "Give the agent a writable directory that survives restarts (hostPath), and pass it as --state-dir."


def ledger(state_dir: Path) -> Iterator[Check]:
    """Only warnings: without a ledger the agent works in memory and logs that."""
    place = next(at for at in (state_dir.absolute(), *state_dir.absolute().parents) if at.exists())
    file = state_dir / FILE
    if not place.is_dir():
        yield warned(NAME, f"{place} is not a directory: {IN_MEMORY}", ADVICE)
    elif not os.access(place, os.W_OK | os.X_OK) or (file.exists() and not os.access(file, os.W_OK)):
        yield warned(NAME, f"{file if file.exists() else place} is not writable: {IN_MEMORY}", ADVICE)
    elif (free := _free_bytes(place)) < LITTLE_BYTES:
        advice = "Free some space there, or give another directory with --state-dir."
        yield warned(NAME, f"{bytes_text(free)} free at {place}: on a full disk {IN_MEMORY}", advice)
    elif not file.exists():
        where = "" if place == state_dir else f" and its directory below {place}"
        yield passed(NAME, f"none at {file} yet: the agent creates it{where}")
    else:
        try:
            with closing(LedgerReader(state_dir)) as reader:
                reader.kills(limit=1)
                reader.kept_decisions()
            yield passed(NAME, f"{file} can be read and written")
        except NoLedgerError as error:
            moved = f"at its start the agent moves {file} aside and creates a new one"
            yield warned(NAME, str(error), f"If no other program has it open, nothing: {moved}.")


def _free_bytes(place: Path) -> int:
    """Free space for this user: root may use the reserved blocks (statvfs(3))."""
    found = os.statvfs(place)
    return (found.f_bfree if os.geteuid() == 0 else found.f_bavail) * found.f_frsize
