"""What ``explain`` shows of one pod: the records of it, and how they are printed, for people and for programs.

Takes a PodExplanation, prints sections of named lines. Nothing from the kernel or a pod reaches the terminal before
``safe()``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TextIO

from rich.text import Text

from agent.commands.output.cells import UNKNOWN
from agent.commands.output.containers import Tolerated
from agent.commands.output.diagnoses import diagnosis_sections
from agent.commands.output.sections import Line, print_sections
from agent.commands.output.table import Output
from agent.model import Mode
from agent.model.diagnosis import Diagnosis
from agent.wording.kills import bytes_text, safe
from agent.wording.notes import duration_text

PATH_LIMIT = 2000
NAME_LIMIT = 320


@dataclass(frozen=True, slots=True)
class CgroupFacts:
    """One cgroup's memory. ``limit_bytes`` None: no limit. ``unread`` names the fields that could not be read.

    Counters since the cgroup's making, as memory.events has them; None where the kernel doesn't keep that one. On v1 there
    is ``oom_kill`` only.
    """

    path: str
    limit_bytes: int | None = None
    usage_bytes: int | None = None
    peak_bytes: int | None = None
    oom_kill: int | None = None
    oom_group_kill: int | None = None
    oom: int | None = None
    local_oom: int | None = None
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Knob:
    """memory.oom.group of one cgroup: 0 or 1. ``original`` is what it was before oomward's first write in this boot."""

    path: str
    value: int
    original: int | None = None


@dataclass(frozen=True, slots=True)
class ContainerExplanation:
    """``name`` None: not known. ``cgroup`` None: it has none, since it does not run. ``mode_actual`` None: likewise, or unread.

    ``rule`` is the annotation, label or configured rule that decided, "" when none did. What only the API tells (``kind``,
    ``spec_limit_bytes``, ``restarts``, ``state`` and on) is None without it. ``kills``: processes, as far back as the ledger
    reaches; None without one.
    """

    name: str | None
    kind: str | None
    container_id: str | None
    mode_wanted: Mode | None
    rule: str
    why: str
    mode_actual: Mode | None = None
    knobs: tuple[Knob, ...] = ()
    cgroup: CgroupFacts | None = None
    spec_limit_bytes: int | None = None
    kills: int | None = None
    restarts: int | None = None
    state: str | None = None
    state_reason: str | None = None
    last_reason: str | None = None
    last_exit_code: int | None = None
    last_finished: str | None = None
    tolerated: Tolerated | None = None  # None: any number of kills


@dataclass(frozen=True, slots=True)
class FileNames:
    """What a value is called on cgroup v2 and on v1."""

    what: str
    v2: str
    v1: str


@dataclass(frozen=True, slots=True)
class PodExplanation:
    """``namespace``, ``name`` and ``phase`` None: the API has not told. ``cgroup`` None: the pod has none here (any more).

    ``limits`` says how the pod's limit relates to its containers', ``limits_sum_bytes`` is those added up, None when one of
    them has none. ``sandboxes`` are paths of cgroups that the API names no container for. ``grouped_above``: cgroups above
    the containers whose memory.oom.group is 1. ``notes`` are sentences: labels that are no modes, and the like. ``diagnoses``
    are of its containers that aren't well.
    """

    uid: str
    namespace: str | None
    name: str | None
    phase: str | None
    cgroup_version: str
    mount: str
    containers: tuple[ContainerExplanation, ...]
    sandboxes: tuple[str, ...]
    sandbox_name: str
    cgroup: CgroupFacts | None
    spec_limit_bytes: int | None
    limits_sum_bytes: int | None
    limits: str
    grouped_above: tuple[str, ...]
    notes: tuple[str, ...]
    files: tuple[FileNames, ...]
    diagnoses: tuple[Diagnosis, ...] = ()


def show_explanation(pod: PodExplanation, output: Output, file: TextIO) -> None:
    """Print it."""
    if output is Output.JSON:
        file.write(json.dumps({"pod": asdict(pod)}, indent=2, ensure_ascii=True) + "\n")
        return
    print_sections(_sections(pod), file)


# -------------------------------------------------------------------------------------------------------------- sections


def _sections(pod: PodExplanation) -> Iterator[tuple[str, list[Line]]]:
    named = f"{pod.namespace or UNKNOWN}/{pod.name}" if pod.name is not None else "not known by name"
    yield f"Pod {safe(named, NAME_LIMIT)}", list(_pod(pod))
    for container in pod.containers:
        kind = f" ({container.kind})" if container.kind else ""
        name = "of unknown name" if container.name is None else safe(container.name)
        yield f"Container {name}{kind}", list(_container(container))
    yield from diagnosis_sections(pod.diagnoses)
    for path in pod.sandboxes:
        yield pod.sandbox_name[0].upper() + pod.sandbox_name[1:], [("Cgroup", _path(path))]
    here = {"v1": "v1 (here)", "v2": "v2 (here)"}.get(pod.cgroup_version, "")
    names = [(one.what, Text(f"{one.v2:24}{one.v1}")) for one in pod.files]
    head = (
        "",
        Text(f"{here if pod.cgroup_version == 'v2' else 'v2':24}{here if pod.cgroup_version == 'v1' else 'v1'}"),
    )
    yield f"Files below {safe(pod.mount, PATH_LIMIT)}/<cgroup>", [head, *names]


def _pod(pod: PodExplanation) -> Iterator[Line]:
    yield "Uid", Text(safe(pod.uid))
    yield "Phase", Text(safe(pod.phase or UNKNOWN))
    if pod.cgroup is None:
        yield "Cgroup", Text("none here")
    else:
        yield from _cgroup(pod.cgroup, pod.spec_limit_bytes)
    yield "Limits", Text(safe(pod.limits, PATH_LIMIT))
    for path in pod.grouped_above:
        text = f"memory.oom.group is 1 at {safe(path, PATH_LIMIT)}: when the limit of that level or of one above it is hit, "
        yield "Above", Text(f"{text}everything below it dies, whatever the container's own says", style="bold red")
    for note in pod.notes:
        yield "Note", Text(safe(note, PATH_LIMIT), style="yellow")


def _container(one: ContainerExplanation) -> Iterator[Line]:
    yield "Wanted", Text(f"{one.mode_wanted.value if one.mode_wanted else 'no mode'}: {safe(_why(one), NAME_LIMIT)}")
    if one.cgroup is not None:
        yield "Actual", _actual(one)
    yield "Id", Text(safe(one.container_id or "none yet", 80))
    if one.cgroup is None:
        yield "Cgroup", Text("none here: it does not run")
        if one.spec_limit_bytes is not None:
            yield "Limit", Text(f"{bytes_text(one.spec_limit_bytes)} in the spec")
    else:
        yield from _cgroup(one.cgroup, one.spec_limit_bytes)
    if one.kills is not None:
        yield "Kills", Text(f"{one.kills} of its processes, as far back as the ledger reaches")
    if one.tolerated is not None:
        yield "Allows", _tolerated(one.tolerated)
    if one.state is not None:
        yield "State", Text(_state(one))


def _tolerated(tolerated: Tolerated) -> Text:
    told = tolerated.tolerance
    time, by = duration_text(told.window_s), safe(told.said_by, NAME_LIMIT)
    text = f"{told.kills} killed processes in {time}, {tolerated.killed} just now ({by})"
    if not tolerated.armed:
        return Text(text)
    return Text(
        f"{text}; it was exceeded: this instance is armed, its next OOM kill takes all of it", style="bold yellow"
    )


def _why(one: ContainerExplanation) -> str:
    return one.why if not one.rule or one.rule in one.why else f"{one.why} ({one.rule})"


def _actual(one: ContainerExplanation) -> Text:
    if one.mode_actual is None:
        return Text(UNKNOWN)
    if not one.knobs:
        return Text(f"{one.mode_actual.value}: cgroup v1 has no memory.oom.group, and each kill takes one process")
    told: list[str] = []
    for knob in one.knobs:
        before = "" if knob.original is None else f" ({knob.original} before oomward's first write)"
        where = f" at {safe(knob.path.rpartition('/')[2])} below, where crun has the processes" if told else ""
        told.append(f"{knob.value}{where}{before}")
    drifted = one.mode_wanted is not None and one.mode_wanted is not one.mode_actual
    text = f"{one.mode_actual.value}: memory.oom.group is {' and '.join(told)}"
    return Text(text, style="bold red" if drifted else "")


def _state(one: ContainerExplanation) -> str:
    state = safe(one.state or "not reported yet")
    state += f" ({safe(one.state_reason)})" if one.state_reason else ""
    state += f", {one.restarts} restart{'' if one.restarts == 1 else 's'}" if one.restarts else ""
    if one.last_reason is None and one.last_exit_code is None:
        return state
    code = f", exit code {one.last_exit_code}" if one.last_exit_code is not None else ""
    when = f", at {safe(one.last_finished)}" if one.last_finished else ""
    return f"{state}; the instance before ended: {safe(one.last_reason or UNKNOWN)}{code}{when}"


def _cgroup(facts: CgroupFacts, spec_limit_bytes: int | None) -> Iterator[Line]:
    yield "Cgroup", _path(facts.path)
    limit = _size(facts, "limit_bytes", "none")
    if spec_limit_bytes is not None and spec_limit_bytes - (facts.limit_bytes or 0) not in range(1 << 16):
        limit += (
            f" ({bytes_text(spec_limit_bytes)} in the spec)"  # the kernel rounds down to pages, of 64 KiB at the most
        )
    yield "Limit", Text(limit)
    share = ""
    if facts.limit_bytes and facts.usage_bytes is not None:
        share = f", {100 * facts.usage_bytes // facts.limit_bytes} % of the limit"
    yield "Usage", Text(f"{_size(facts, 'usage_bytes', UNKNOWN)}{share}; peak {_size(facts, 'peak_bytes', 'not kept')}")
    yield "OOM", Text(_counters(facts))


def _size(facts: CgroupFacts, name: str, without: str) -> str:
    size: int | None = getattr(facts, name)
    if size is not None:
        return bytes_text(size)
    return UNKNOWN if name in facts.unread else without


def _counters(facts: CgroupFacts) -> str:
    if "oom_kill" in facts.unread:
        return UNKNOWN
    names = ("oom_kill", "oom_group_kill", "oom")
    told = [f"{name} {value}" for name in names if (value := getattr(facts, name)) is not None]
    own = "" if facts.local_oom is None else f" (this cgroup's own limit: {facts.local_oom})"
    return ", ".join(told) + own


def _path(path: str) -> Text:
    return Text(safe(path, PATH_LIMIT))
