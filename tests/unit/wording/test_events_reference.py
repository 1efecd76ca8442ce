"""The page about Events says what the code says: every reason, its type and action, and notes as they really read."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from agent.model import (
    AtLimit,
    InvalidSetting,
    MemoryUse,
    MemoryVolume,
    Mode,
    OnExceeded,
    OnStall,
    Outcome,
    Reason,
    Scope,
    SeenProcess,
    Source,
    StallPolicy,
    Tolerance,
    Victim,
)
from agent.wording import kills as wording
from agent.wording import notes, pressure
from tests.unit.wording.kills import FILLED, GROUP, HOST, KILL, LOST, MIB, PID_1, USED

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "events.md"
LIMITS = {"herder": 256 << 20, "sidecar": None}
TYPES = {
    Reason.PROCESS_OOM_KILLED: ("Warning", "OOMKill"),
    Reason.CONTAINER_OOM_KILLED: ("Warning", "OOMKill"),
    Reason.MODE_APPLIED: ("Normal", "EnforceOOMGroup"),
    Reason.MODE_INVALID: ("Warning", "ReadMode"),
    Reason.MODE_FAILED: ("Warning", "EnforceOOMGroup"),
    Reason.TOLERANCE_EXCEEDED: ("Warning", "EnforceOOMGroup"),
    Reason.CONTAINER_RESTARTED: ("Warning", "KillContainer"),
    Reason.LIMIT_PRESSURE: ("Warning", "WatchMemory"),
    Reason.STALL_RESOLVED: ("Warning", "EndStall"),
}
AT_LIMIT = AtLimit(
    256 * MIB, 255 * MIB, 4711, 0, MemoryUse(anon=240 * MIB, file=9 * MIB, kernel=6 * MIB, by_report=False)
)
SEEN = [SeenProcess(4312, "worker", rss_bytes=180 * MIB), SeenProcess(4313, "worker", rss_bytes=44 * MIB)]
NOTES = {
    Reason.PROCESS_OOM_KILLED: wording.kill_note(replace(KILL, use=USED), container_limits=LIMITS),
    Reason.CONTAINER_OOM_KILLED: wording.kill_note(replace(GROUP, use=USED), container_limits=LIMITS),
    Reason.MODE_APPLIED: notes.mode_applied_note("herder", Mode.SINGLE, "label oomward.dev/mode=single"),
    Reason.MODE_INVALID: notes.mode_invalid_note(
        InvalidSetting(Source.LABEL, "oomward.dev/mode", "singel", None, "is not a mode")
    ),
    Reason.MODE_FAILED: notes.group_on_v1_note("herder"),
    Reason.TOLERANCE_EXCEEDED: notes.tolerance_exceeded_note(
        "herder", Tolerance(5, 600.0, said_by="annotation oomward.dev/tolerate")
    ),
    Reason.CONTAINER_RESTARTED: notes.killed_as_a_whole_note("herder", OnExceeded.RESTART, ""),
    Reason.LIMIT_PRESSURE: pressure.pressure_note("herder", AT_LIMIT, 0.21, SEEN, lasts_s=0.0, shared=False),
    Reason.STALL_RESOLVED: pressure.stall_resolved_note(
        "herder",
        StallPolicy(OnStall.KILL_LARGEST, said_by="annotation oomward.dev/on-stall"),
        SEEN[0],
        61.0,
        (0.98, 256 * MIB),
        (0.0, 76 * MIB),
    ),
}

NODES = replace(KILL, scope=Scope.NODE, limit_bytes=None)
SANDBOX = replace(
    KILL, scope=Scope.POD, container=None, sandbox=True, outcome=Outcome.DIED, limit_bytes=200 << 10, usage_bytes=200 << 10, largest=(),
    victims=(Victim(4300, "pause", 65535, MIB, MIB, 0, 0, -998),),
)  # fmt: skip
MORE = {
    "The container died, since its PID 1 was killed": wording.kill_note(PID_1, container_limits=LIMITS),
    "Nobody saw whether the container survived": wording.kill_note(
        replace(KILL, outcome=None), container_limits=LIMITS
    ),
    "The agent ended the container (`on-exceeded: restart`)": wording.kill_note(
        KILL, container_limits=LIMITS, ended_by_agent=True
    ),
    "The pod's limit": wording.kill_note(
        replace(KILL, scope=Scope.POD, limit_bytes=512 << 20, usage_bytes=512 << 20), container_limits=LIMITS
    ),
    "Another container filled the pod's limit": wording.kill_note(
        FILLED["the pod's limit, by another container"], container_limits=LIMITS
    ),
    "Page cache filled the limit, and could not be written to disk in time": wording.kill_note(
        FILLED["full of page cache that is not written back"], container_limits=LIMITS
    ),
    "Files in an emptyDir in memory filled the limit": wording.kill_note(
        FILLED["full of files in memory"], container_limits=LIMITS, volumes=(MemoryVolume("cache"),)
    ),
    "Kernel memory filled the limit": wording.kill_note(FILLED["full of kernel memory"], container_limits=LIMITS),
    "The node was out of memory": wording.kill_note(NODES, container_limits=LIMITS),
    "The node was out of memory, and the container has no limit": wording.kill_note(
        NODES, container_limits={"herder": None}
    ),
    "It is not known which limit was hit": wording.kill_note(
        replace(KILL, scope=None, limit_bytes=None, usage_bytes=None), container_limits=LIMITS
    ),
    "The kernel's log has no report": wording.kill_note(LOST, container_limits=LIMITS),
    "The pod's sandbox": wording.kill_note(SANDBOX, container_limits={"herder": 200 << 10}),
    "Outside of pods, on the node": wording.kill_note(HOST, container_limits=None),
}


def write_examples() -> None:
    """Put the examples of the page in order: ``python -m tests.unit.wording.test_events_reference``."""
    page = REFERENCE.read_text()
    examples = "\n\n".join(f"`{reason.value}`:\n\n> {NOTES[reason]}" for reason in Reason)
    examples += "\n\nOther kills:\n\n" + "\n\n".join(f"{title}:\n\n> {note}" for title, note in MORE.items())
    REFERENCE.write_text(page[: page.index("## Examples")] + f"## Examples\n\n{examples}\n")


def test_the_reference_lists_every_reason_with_its_type_and_action_and_no_other() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| `(\w+)` \| [^|]{20,} \|$", REFERENCE.read_text(), re.MULTILINE)
    assert {reason: (kind, action) for reason, kind, action in rows} == {r.value: t for r, t in TYPES.items()}
    assert set(TYPES) == set(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_the_example_of_each_reason_is_what_the_code_says(reason: Reason) -> None:
    examples = dict(re.findall(r"^`(\w+)`:\n\n> (.*)$", REFERENCE.read_text(), re.MULTILINE))
    assert set(examples) == {reason.value for reason in Reason}
    assert examples[reason.value] == NOTES[reason]


def test_the_examples_of_other_kills_are_what_the_code_says() -> None:
    examples = dict(re.findall(r"^([^`\n].*):\n\n> (.*)$", REFERENCE.read_text(), re.MULTILINE))
    assert examples == MORE


if __name__ == "__main__":
    write_examples()
