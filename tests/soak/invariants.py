"""The design's seven invariants, each held against the oracle; what is not as it should be is a sentence.

Called once, when the soak is over and the node has come to rest. Asks the agent for nothing but its ledger, its Events in the
API's store and, where a number must be 0, its metrics.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

from agent.cgroup.layout import classify
from agent.ledger import LedgerReader
from agent.ledger.rows import notice_of
from agent.ledger.store import FILE
from agent.model import OomKill
from tests.kernel.conftest import MODE, NODE
from tests.lab.kubelet import MOUNT
from tests.soak.actions import SECRET
from tests.soak.hostile import HOSTILE
from tests.soak.oracle import disagreements, truths
from tests.soak.world import Kind, Sample, World

KNOB = "memory.oom.group"
RSS_SLACK_MIB, DESCRIPTOR_SLACK = 8.0, 6
MOST_WAKEUPS_PER_S = 2.5
MOST_WAKEUPS_A_REQUEST = 6  # the poster asks and hears, the loop hands over and is told: 4, measured
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Rest:
    """The end of the soak, looked at from outside: ``seconds`` in which nothing happened."""

    seconds: float
    wakeups: int
    requests: int  # to the API, in that time: of kills long past whose counts are told at widening intervals
    writes: int  # of the agent's, in that time
    last: Sample
    fresh: Sample  # another agent, started after it on the same node


def kills_of(world: World) -> list[OomKill]:
    """The ledger's, but for attackers' pods."""
    reader = LedgerReader(world.node.work / "state")
    kills = reader.kills(limit=1_000_000)
    reader.close()
    hostile = {i.pod.uid for i in world.node.kubelet.instances if i.pod.namespace.startswith(HOSTILE)}
    return [kill for kill in kills if uid_of(kill) not in hostile]


def uid_of(kill: OomKill) -> str | None:
    """The pod's, by the cgroup where the API was too late to name the pod; None: it is no pod's."""
    return kill.pod_uid or classify(kill.cgroup_path).pod_key


def events_of(world: World) -> list[dict[str, Any]]:
    """The API's, but for attackers' pods."""
    return [e for e in world.node.api.events if not e["regarding"].get("namespace", "").startswith(HOSTILE)]


def nothing_else_is_written(world: World, rest: Rest) -> list[str]:
    """1. Nothing but memory.oom.group, of containers, and nothing once all is as it should be."""
    found = [f"{count} writes to {name}" for name, count in world.witness.files.items() if name != KNOB]
    allowed = world.container_paths()
    found += [f"{path} was written to, which is no container's" for path in world.witness.paths if path not in allowed]
    if rest.writes:
        found.append(f"{rest.writes} writes while nothing happened")
    if not world.witness.paths:
        found.append("the agent wrote nothing in all that time: this proves nothing")
    return found


def held(world: World, rest: Rest) -> list[str]:
    """2. Every container that runs has what its pod asks for."""
    return world.wrong_knobs()


def every_kill_is_recorded_once(world: World, rest: Rest) -> list[str]:
    """3. As many as the kernel counted, on the right container."""
    kills = kills_of(world)
    recorded: Counter[str] = Counter()
    nameless = 0
    for kill in kills:
        if kill.container_id is None:
            nameless += kill.processes
        else:
            recorded[kill.container_id] += kill.processes
    found = disagreements(truths(world.node.kubelet.instances, world.blind), dict(recorded), nameless)
    if not kills:
        found.append("there was no kill in all that time: this proves nothing")
    concerned = {
        kill.container_id
        for kill in kills
        if kill.container_id and any(kill.container_id[:12] in each for each in found)
    }
    return found + [f"for that: {kill}" for kill in kills if kill.container_id in concerned]


def the_events_count_what_the_ledger_has(world: World, rest: Rest) -> list[str]:
    """4. The Events count every kill once, of a known pod or else of the node; the API has been told of each, and of no more."""
    expected: Counter[str] = Counter()
    for kill in kills_of(world):
        if kill.pod is not None or kill.container_id is None:
            expected[kill.pod or NODE] += 1 if kill.group_kill else max(1, kill.processes)
    counted: Counter[str] = Counter()
    with sqlite3.connect(f"file:{world.node.work / 'state' / FILE}?mode=ro", uri=True) as ledger:
        for (body,) in ledger.execute("SELECT body FROM notice WHERE body LIKE '%OOMKilled%'"):
            notice = notice_of(body)
            if not notice.about.namespace.startswith(HOSTILE):
                counted[notice.about.name] += notice.count
    told: Counter[str] = Counter()
    for event in events_of(world):
        if "OOMKilled" in event["reason"]:
            told[event["regarding"]["name"]] += event.get("series", {"count": 1})["count"]
    return [
        f"{pod}: {expected[pod]} kills, its Events count {counted[pod]}, the API was told of {told[pod]}"
        for pod in expected | counted | told
        if counted[pod] != expected[pod] or not 0 < told[pod] <= expected[pod] * (1 + (pod in world.retold))
    ]


def vanished_cgroups_are_normal(world: World, rest: Rest) -> list[str]:
    """5. No agent ended by itself, no error was counted, none was logged."""
    found = list(world.deaths)
    found += [f"{name} rose by {count}" for name, count in world.repairs.items() if count]
    for line in world.node.agent.log_path.read_text().splitlines():
        entry = json.loads(line) if line.startswith("{") else {"level": "error", "message": line}
        if entry["level"] in ("error", "critical") or "exception" in entry:
            found.append(f"in the log: {str(entry['message'])[:300]}")
    return found


def idle_means_asleep(world: World, rest: Rest) -> list[str]:
    """6. As ``asleep``, and its memory is flat."""
    return [*asleep(world, rest), *flat_memory(world, rest)]


def asleep(world: World, rest: Rest) -> list[str]:
    """Few wake-ups but for Events whose time has come; descriptors and watches as a fresh agent's."""
    found = []
    if rest.wakeups > MOST_WAKEUPS_PER_S * rest.seconds + MOST_WAKEUPS_A_REQUEST * rest.requests:
        told = f"in which nothing happened but {rest.requests} requests to the API"
        found.append(f"{rest.wakeups} wake-ups in {rest.seconds:.0f} s {told}")
    if surplus := rest.last.watched - rest.fresh.watched:
        found.append(f"watches that a fresh agent doesn't have: {paths_of(surplus)}")
    if missing := rest.fresh.watched - rest.last.watched:
        found.append(f"watches that only a fresh agent has: {paths_of(missing)}")
    if rest.last.descriptors > rest.fresh.descriptors + DESCRIPTOR_SLACK:
        found.append(f"{rest.last.descriptors} descriptors, a fresh agent has {rest.fresh.descriptors}")
    return found


def flat_memory(world: World, rest: Rest) -> list[str]:
    """Resident, by the first and the last third of the last agent's life."""
    samples = [sample for sample in world.samples if sample.pid == rest.last.pid]
    third = len(samples) // 3
    if not third:
        return [f"only {len(samples)} looks at the last agent: this proves nothing"]
    before = median(sample.rss_bytes for sample in samples[:third]) / MIB
    after = median(sample.rss_bytes for sample in samples[-third:]) / MIB
    if after > before + RSS_SLACK_MIB:
        return [f"{after:.1f} MiB resident in the last third, {before:.1f} MiB in the first"]
    return []


def paths_of(inodes: frozenset[int]) -> list[str]:
    """What they are; a number for what is no more."""
    known = {path.stat().st_ino: str(path.relative_to(MOUNT)) for path in MOUNT.rglob("*")}
    return [known.get(inode, f"inode {inode}") for inode in inodes]


def bad_input_is_somebody_elses_bad_day(world: World, rest: Rest) -> list[str]:
    """7. Fake lines are believed by nobody; a label that asks for nothing is told, and changes nothing (2 sees to that)."""
    found = [f"a kill of a process that never was: {kill}" for kill in kills_of(world) if _fake(kill)]
    told = {e["regarding"]["uid"] for e in events_of(world) if e["reason"] == "OOMModeInvalid"}
    odd = [x.pod for x in world.lodgers if x.kind is Kind.BAD]
    found += [f"nobody was told of {pod.labels[MODE]!r} on {pod.name}" for pod in odd if pod.uid not in told]
    return found + [f"told of a label that was fine: {uid}" for uid in told - world.odd_uids]


def nothing_is_published_that_must_not_be(world: World, rest: Rest) -> list[str]:
    """No secret of a command line, and nothing that a terminal would act on, in Events, metrics and log."""
    texts = {
        "Events": "\n".join(f"{e['regarding'].get('name')} {e['note']}" for e in world.node.api.events),
        "metrics": world.node.agent.get("/metrics")[1],
        "the log": world.node.agent.log_path.read_text(errors="replace"),
    }
    secret = SECRET.partition("=")[2]
    found = [f"{where} have {secret}" for where, text in texts.items() if secret in text]
    return found + [f"{where} have control characters" for where, text in texts.items() if "\x1b" in text]


def _fake(kill: OomKill) -> bool:
    return any(victim.comm == "fake" for victim in kill.victims)


INVARIANTS: dict[str, Callable[[World, Rest], list[str]]] = {
    "nothing but memory.oom.group is written": nothing_else_is_written,
    "held, not set": held,
    "every kill once, on the right container": every_kill_is_recorded_once,
    "every Event once": the_events_count_what_the_ledger_has,
    "a vanished cgroup is normal": vanished_cgroups_are_normal,
    "idle means asleep": idle_means_asleep,
    "bad input is not ours": bad_input_is_somebody_elses_bad_day,
    "nothing is published that must not be": nothing_is_published_that_must_not_be,
}
