"""``oomward once``: write every container's desired memory.oom.group once, show what would be written, or restore all values.

Decides and writes as the agent does, and keeps the original values in the same ledger.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import TextIO

from agent.cgroup.files import CgroupError, CgroupFiles
from agent.cgroup.layout import classify, find_hierarchy
from agent.commands import EXIT_FAILED, EXIT_OK
from agent.commands.output.streams import say
from agent.commands.output.table import Output, show_rows
from agent.commands.survey import survey
from agent.kernel.kmsg import boot_id
from agent.ledger import AgentLock, Ledger
from agent.look.looking import Recorded, tolerated
from agent.look.survey import Survey
from agent.look.view import NAME_LIMIT, Column, Listing, plain, styled
from agent.model import Cgroup, OomGroupWrite, Original, WriteOutcome
from agent.modes.desired import DesiredMode, oom_group_values
from agent.modes.enforcer import Attempt, Enforcer
from agent.settings import Settings
from agent.wording.text import safe
from agent.wording.view import Cell

GOOD = (WriteOutcome.WRITTEN, WriteOutcome.ALREADY, WriteOutcome.DRY_RUN, WriteOutcome.GONE)


@dataclass(frozen=True, slots=True)
class WriteRow:
    """A write of one memory.oom.group, done or dry. Names that are None are unknown. Field names are JSON keys.

    ``oom_group_before`` None: not readable, or the kernel has no such file. ``why``: the reason for the mode, or the error.
    """

    namespace: str | None
    pod: str | None
    container: str | None
    cgroup_path: str
    oom_group_before: int | None
    oom_group_desired: int
    write_outcome: WriteOutcome
    why: str


class _AtOnce(Ledger):
    """Each original is in the file before the value is changed: no container's start waits for this command."""

    def remember_original(self, original: Original) -> None:
        super().remember_original(original)
        self.commit()


class _Planned:
    """The ledger's originals for a dry run, which writes none."""

    def __init__(self, found: Survey) -> None:
        self.original = found.originals().get

    def remember_original(self, original: Original) -> None:
        raise AssertionError(f"a dry run wrote {original.path}")

    def forget_original(self, inode: int) -> None:
        """The ledger keeps it."""


def apply(settings: Settings, output: Output, file: TextIO) -> int:
    """Write every desired value once. Returns 1 if one is not in force or its original not kept, or the API is not reachable.

    Raises LockedError while an agent runs with this state directory: it enforces the modes already.
    """
    with (
        AgentLock(settings.state_dir, settings.node_name, settings.cgroup_mount, of_agent=False),
        survey(settings) as found,
        closing(_AtOnce.open(settings.state_dir, boot_id())) as ledger,
    ):
        code = _apply(found, Enforcer(found.files, ledger, time.time), output, file)
        return code if _is_kept(ledger) else EXIT_FAILED


def dry_run(settings: Settings, output: Output, file: TextIO) -> int:
    """Show what ``apply`` would write; write nothing. Needs no lock, so it runs beside an agent."""
    with survey(settings) as found:
        return _apply(found, Enforcer(found.files, _Planned(found), time.time, dry_run=True), output, file)


def restore(settings: Settings, output: Output, file: TextIO) -> int:
    """Restore every memory.oom.group as it was before oomward's first write in this boot. Returns 1 if one failed.

    Raises LockedError while an agent runs with this state directory: it would write its own values again at once.
    """
    with (
        AgentLock(settings.state_dir, settings.node_name, settings.cgroup_mount, of_agent=False),
        closing(Ledger.open(settings.state_dir, boot_id())) as ledger,
    ):
        rows = _restored(settings, ledger)
        for uid in {decision.pod_uid for decision in ledger.kept_decisions()}:
            ledger.forget_pod(uid)  # else an agent that starts without the API would enforce them again
        if rows:
            show_rows(WRITES, rows, output, file)
        else:
            none = "has no value that was changed since this boot"
            say([f"nothing to restore: the ledger in {settings.state_dir} {none}"])
        return EXIT_OK if _is_kept(ledger) and all(row.write_outcome in GOOD for row in rows) else EXIT_FAILED


def _is_kept(ledger: Ledger) -> bool:
    """Whether the originals are in the file; says why not."""
    if ledger.trouble:
        say([ledger.trouble])
    return ledger.persistent


def _apply(found: Survey, enforcer: Enforcer, output: Output, file: TextIO) -> int:
    rows: list[WriteRow] = []
    known = Recorded(None, tolerated(found))
    for container in found.containers():
        try:
            desired = found.desired(container)
        except CgroupError as error:
            found.trouble(error)
            continue
        child, mode = found.child(container), known.effective(container, desired.decision.mode)
        values = {} if mode is None else oom_group_values(container, child, mode)
        for cgroup in {container, child or container}:
            done = None
            if cgroup in values:
                done = enforcer.enforce(cgroup, values[cgroup], desired.pod_uid or "", time.monotonic())
            elif desired.pod_uid is not None:
                done = enforcer.release(cgroup)
            # A cgroup without a container name and with the right value is a pause sandbox: not worth a row.
            if done is not None and (desired.container is not None or done.write.outcome is not WriteOutcome.ALREADY):
                rows.append(_row(found, desired, done))
    show_rows(WRITES, sorted(rows, key=lambda row: row.cgroup_path), output, file)
    say(found.troubles)
    return EXIT_OK if found.registry.listed and all(row.write_outcome in GOOD for row in rows) else EXIT_FAILED


def _row(found: Survey, desired: DesiredMode, done: Attempt) -> WriteRow:
    place, write = done.cgroup.place, done.write
    pod, named = found.registry.pod_of(place), found.registry.identity(place)
    namespace, name = (pod.namespace, pod.name) if pod else (named.namespace, named.pod) if named else (None, None)
    why = write.detail or desired.decision.why
    return WriteRow(namespace, name, desired.container, place.path, write.before, write.wanted, write.outcome, why)


def _restored(settings: Settings, ledger: Ledger) -> list[WriteRow]:
    hierarchy = find_hierarchy(settings.cgroup_mount)
    rows = []
    with closing(CgroupFiles(hierarchy.memory_mount, hierarchy.version)) as files:
        for original in sorted(ledger.originals(), key=lambda original: original.path):
            path, value = original.path, original.value
            try:
                write = files.set_oom_group(Cgroup(classify(path), original.inode), value)
            except ValueError as error:  # a ledger edited by hand
                write = OomGroupWrite(WriteOutcome.DENIED, None, value, str(error))
            if write.outcome in GOOD:
                ledger.forget_original(original.inode)
            why = write.detail or "the value before oomward's first write"
            rows.append(WriteRow(None, None, None, path, write.before, value, write.outcome, why))
    return rows


def _write_outcome(row: WriteRow) -> Cell:
    text = "would write" if row.write_outcome is WriteOutcome.DRY_RUN else row.write_outcome.value
    return styled(text, style="" if row.write_outcome in GOOD else "bold red")


WRITE_COLUMNS: tuple[Column[WriteRow], ...] = (
    Column("POD", lambda row: plain(row.cgroup_path if row.pod is None else f"{row.namespace}/{row.pod}")),
    Column("CONTAINER", lambda row: plain("-" if row.container is None else row.container)),
    Column(
        "BEFORE", lambda row: styled("-" if row.oom_group_before is None else str(row.oom_group_before)), right=True
    ),
    Column("DESIRED", lambda row: styled(str(row.oom_group_desired)), right=True),
    Column("OUTCOME", _write_outcome),
    Column("WHY", lambda row: styled(safe(row.why, NAME_LIMIT)), spare=1, prose=True),
    Column("CGROUP", lambda row: plain(row.cgroup_path), spare=2),
)
WRITES = Listing("writes", WRITE_COLUMNS, asdict, "Nothing to do: no running container on this node requests a mode.")
