"""``oomward once``: write every container's desired memory.oom.group once, show what would be written, or restore all values.

Decides and writes as the agent does, and keeps the original values in the same ledger.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from typing import TextIO

from agent.cgroup.files import CgroupError, CgroupFiles
from agent.cgroup.layout import classify, find_hierarchy
from agent.commands import EXIT_FAILED, EXIT_OK
from agent.commands.output.screen import WriteRow, show_writes
from agent.commands.output.table import Output
from agent.commands.survey import Survey, survey
from agent.kernel.kmsg import boot_id
from agent.ledger import AgentLock, Ledger
from agent.model import Cgroup, KnobWrite, Original, WriteOutcome
from agent.modes.desired import DesiredMode
from agent.modes.enforcer import Attempt, Enforcer
from agent.settings import Settings

GOOD = (WriteOutcome.WRITTEN, WriteOutcome.ALREADY, WriteOutcome.DRY_RUN, WriteOutcome.GONE)


def apply(settings: Settings, output: Output, file: TextIO) -> int:
    """Write every desired value once. Returns 1 if a value is not in force, the API is not reachable, or an original value
    could not be kept for ``restore``.

    Raises LockedError while an agent runs with this state directory: it enforces the modes already.
    """
    with AgentLock(settings.state_dir, settings.node_name), survey(settings) as found:
        ledger = Ledger.open(settings.state_dir, boot_id())
        try:
            code = _apply(found, Enforcer(found.files, _AtOnce(ledger), time.time), output, file)
            if ledger.trouble:
                _say([ledger.trouble])
            return code if ledger.persistent else EXIT_FAILED
        finally:
            ledger.close()


def dry_run(settings: Settings, output: Output, file: TextIO) -> int:
    """Show what ``apply`` would write; write nothing. Needs no lock, so it runs beside an agent."""
    with survey(settings) as found:
        return _apply(found, Enforcer(found.files, _NoOriginals(), time.time, dry_run=True), output, file)


def restore(settings: Settings, output: Output, file: TextIO) -> int:
    """Restore every memory.oom.group as it was before oomward's first write in this boot. Returns 1 if one failed.

    Raises LockedError while an agent runs with this state directory: it would write its own values again at once.
    """
    with AgentLock(settings.state_dir, settings.node_name):
        ledger = Ledger.open(settings.state_dir, boot_id())
        try:
            return _restore(settings, ledger, output, file)
        finally:
            ledger.close()


class _AtOnce:
    """The ledger's originals, each in the file before the value is changed: no container's start waits for this command."""

    def __init__(self, ledger: Ledger) -> None:
        self.original = ledger.original
        self.forget_original = ledger.forget_original
        self._ledger = ledger

    def remember_original(self, original: Original) -> None:
        self._ledger.remember_original(original)
        self._ledger.commit()


class _NoOriginals:
    """The ledger of a dry run."""

    def remember_original(self, original: Original) -> None:
        raise AssertionError(f"a dry run wrote {original.path}")

    def original(self, inode: int) -> Original | None:  # noqa: ARG002
        return None

    def forget_original(self, inode: int) -> None:
        """Nothing is remembered."""


def _apply(found: Survey, enforcer: Enforcer, output: Output, file: TextIO) -> int:
    rows: list[WriteRow] = []
    troubles = list(found.troubles)
    for container in found.containers():
        try:
            wish = found.wish(container)
        except CgroupError as error:
            troubles.append(str(error))
            continue
        wanted = found.knobs(container, wish)
        for cgroup in {container, found.child(container) or container}:
            held = None
            if cgroup in wanted:
                held = enforcer.enforce(cgroup, wanted[cgroup], wish.pod_uid or "", time.monotonic())
            elif wish.pod_uid is not None:
                held = enforcer.release(cgroup)
            if held is not None and _worth_showing(held, wish):
                rows.append(_row(found, wish, held))
    show_writes(sorted(rows, key=lambda row: row.path), output, file)
    _say(troubles)
    return EXIT_OK if found.registry.listed and all(row.outcome in GOOD for row in rows) else EXIT_FAILED


def _worth_showing(held: Attempt, wish: DesiredMode) -> bool:
    """A cgroup without a container name and with the right value is a pause sandbox: not worth a row."""
    return wish.container is not None or held.write.outcome is not WriteOutcome.ALREADY


def _row(found: Survey, wish: DesiredMode, held: Attempt) -> WriteRow:
    pod = found.registry.pod_of(held.cgroup.place)
    named = found.registry.identity(held.cgroup.place)
    write = held.write
    return WriteRow(
        held.cgroup.path,
        write.before,
        write.wanted,
        write.outcome,
        write.detail or wish.decision.why,
        pod.namespace if pod else (named.namespace if named else None),
        pod.name if pod else (named.pod if named else None),
        wish.container,
    )


def _restore(settings: Settings, ledger: Ledger, output: Output, file: TextIO) -> int:
    hierarchy = find_hierarchy(settings.cgroup_mount)
    files = CgroupFiles(hierarchy.memory_mount, hierarchy.version)
    rows = []
    try:
        for original in sorted(ledger.originals(), key=lambda original: original.path):
            write = _restored(files, original)
            if write.outcome in GOOD:
                ledger.forget_original(original.inode)
            why = write.detail or "the value before oomward's first write"
            rows.append(WriteRow(original.path, write.before, original.value, write.outcome, why))
    finally:
        files.close()
    for uid in {decision.pod_uid for decision in ledger.kept_decisions()}:
        ledger.forget_pod(uid)  # else an agent that starts without the API would enforce them again
    if not rows:
        _say([f"nothing to restore: the ledger in {settings.state_dir} has no value that was changed since this boot"])
    else:
        show_writes(rows, output, file)
    if ledger.trouble:
        _say([ledger.trouble])
    good = all(row.outcome in GOOD for row in rows) and ledger.persistent
    return EXIT_OK if good else EXIT_FAILED


def _restored(files: CgroupFiles, original: Original) -> KnobWrite:
    place = classify(original.path)
    try:
        return files.hold_oom_group(Cgroup(place, original.inode), original.value)
    except ValueError as error:  # a ledger edited by hand
        return KnobWrite(WriteOutcome.DENIED, None, original.value, str(error))


def _say(troubles: Iterable[str]) -> None:
    for trouble in troubles:
        print(f"oomward: {trouble}", file=sys.stderr)  # noqa: T201
