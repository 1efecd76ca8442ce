"""Kills as fast as a kernel can make them, over many containers, the reports rate-limited, the agent killed meanwhile.

Sizes by environment: STORM_KILLS, STORM_CONTAINERS, STORM_DEATHS, STORM_FULL (`make storm` has the large ones).
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from agent.ledger import LedgerReader
from agent.ledger.rows import notice_of
from agent.ledger.store import FILE
from agent.model import OomKill, Outcome, Scope
from tests.kernel.conftest import MODE, NODE, Node, make_node
from tests.lab.agent_process import AgentProcess
from tests.lab.cgroups import V1
from tests.lab.spec import Container, Pod
from tests.lab.storm import Storm, hits
from tests.soak.oracle import Truth, disagreements, truths

KILLS = int(os.environ.get("STORM_KILLS", "600"))
CONTAINERS = int(os.environ.get("STORM_CONTAINERS", "20"))
DEATHS = int(os.environ.get("STORM_DEATHS", "8"))
# With pods that are killed as a group again and again, and pods' limits that are hit as well as their containers'. Only `make storm`:
# where agents are killed in the middle of a group kill, one kill in some hundreds is still counted or described falsely.
FULL = os.environ.get("STORM_FULL") == "1"
SECONDS = (
    300 + KILLS / 4
)  # 9 kills a second on v1 with a processor of its own, a third of that where others want it too
DYING = ("family", "2", "0", "100")  # a group kill of PID 1 and its children about every second
SURELY_READ_S = 15.0  # after an agent's start or pause: until it has read every counter
SETTLE_S = 60 + KILLS / 100 + DEATHS


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = make_node(tmp_path_factory.mktemp("node"), "systemd", status_delay_s=0.5, backoff_factor=0.05)
    node.start_agent("--mode-applied-events", "false")
    yield node
    node.close()


@pytest.fixture(scope="module")
def storm(node: Node) -> Storm:
    """Its containers, each named and held."""
    storm = Storm(node.kubelet, CONTAINERS)
    if not V1:
        node.agent.wait_for(
            lambda: (
                all(node.knob(i.path) == "0" for i in storm.instances)
                and sum(name == "oomward_container_oom_group" for name, _ in node.agent.metrics()) == CONTAINERS
            ),
            60,
            "held",
        )
    return storm


def recorded(node: Node) -> list[OomKill]:
    reader = LedgerReader(node.work / "state")
    kills = reader.kills(limit=1_000_000)
    reader.close()
    assert reader.bad_rows == 0
    return kills


def processes_killed(node: Node) -> int:
    reader = LedgerReader(node.work / "state")
    killed = sum(reader.processes_killed().values())
    reader.close()
    return killed


def by_container(kills: list[OomKill]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for kill in kills:
        assert kill.container_id is not None
        found[kill.container_id] += kill.processes
    return dict(found)


def settle(node: Node, counted: dict[str, int]) -> list[OomKill]:
    """The ledger's kills, when they are as many as the kernel's; the comparison by container is exact."""
    node.agent.wait_for(
        lambda: processes_killed(node) >= sum(counted.values()),
        SETTLE_S,
        f"{sum(counted.values())} recorded",
    )
    time.sleep(2)
    kills = recorded(node)
    assert by_container(kills) == {container_id: count for container_id, count in counted.items() if count}
    names = [kill.kill_id for kill in kills]
    assert len(names) == len(set(names))
    # Without the log's report the hits tell: each kill at a limit has one, counted before it, in a counter that outlives the agent.
    # v1 has no such counter: there a kill whose report the rate limit took is of no known limit, and the node's on neither.
    odd = [kill for kill in kills if kill.scope is not Scope.CONTAINER]
    print(f"{len(odd)} of another scope: {odd[:3]}")
    assert {kill.scope for kill in kills} <= ({Scope.CONTAINER, None} if V1 else {Scope.CONTAINER})
    assert node.agent.total("oomward_oom_kills_total") == sum(counted.values())
    assert node.agent.total("oomward_unattributed_oom_kills_total") == 0
    assert node.agent.total("oomward_host_oom_kills_total") == 0
    return kills


def leave_figures(name: str, figures: dict[str, object]) -> None:
    out = Path(os.environ["OOMWARD_LAB_OUT"]) / f"storm-{name}.json"
    out.write_text(json.dumps(figures, indent=2))
    print(json.dumps(figures))


def test_every_kill_of_a_storm_is_counted_on_the_right_container(node: Node, storm: Storm) -> None:
    before = by_container(recorded(node))
    began = time.monotonic()
    storm.begin()
    storm.wait_for(KILLS, SECONDS, lambda: time.sleep(0.1))
    counted = storm.end()
    lasted = time.monotonic() - began
    kills = [kill for kill in settle(node, before | counted) if kill.container_id in counted]
    the_events_count_every_kill_once(node)
    details = sum(not kill.details_missing for kill in kills)
    named = sum(bool(kill.victims) for kill in kills)
    leave_figures(
        "plain",
        {
            "kills": len(kills),
            "containers": CONTAINERS,
            "kills_per_s": round(len(kills) / lasted, 1),
            "with_full_details": details,
            "with_names": named,
        },
    )
    assert Counter(kill.outcome for kill in kills) == {Outcome.SURVIVED: len(kills)}
    assert all(i.running for i in storm.instances)


class Interruptions:
    """The agent is killed, absent or stopped, in random order, for some seconds each; each kind at the beginning once."""

    def __init__(self, node: Node, chance: random.Random) -> None:
        self._node = node
        self._chance = chance
        self._first = chance.sample((self.killed, self.absent, self.stopped), 3)
        self.done: Counter[str] = Counter()
        self.blind: list[tuple[float, float]] = []  # CLOCK_MONOTONIC: no agent read anything, or not surely

    def next(self) -> None:
        """One of them, some seconds after the last."""
        time.sleep(self._chance.uniform(0.0, 3.0))
        assert self._node.agent.process.poll() is None, self._node.agent.log_path.read_text()[-3000:]
        kinds, weights = (self.killed, self.absent, self.stopped), (4, 1, 1)
        interrupt = self._first.pop() if self._first else self._chance.choices(kinds, weights)[0]
        began = time.monotonic()
        interrupt()
        self.blind.append((began, time.monotonic() + SURELY_READ_S))
        self.done[interrupt.__name__] += 1

    def killed(self) -> None:
        """At any instruction: while it starts, reads what happened meanwhile, records, or posts."""
        assert self._node.agent.stop(signal.SIGKILL) == -signal.SIGKILL
        self._node.agents.append(start(self._node))

    def absent(self) -> None:
        """As in an upgrade; also while it starts."""
        assert self._node.agent.stop(signal.SIGTERM) in (0, -signal.SIGTERM)
        time.sleep(self._chance.uniform(0.0, 5.0))
        self._node.agents.append(start(self._node))

    def stopped(self) -> None:
        """Its processor belongs to others for a while."""
        process = self._node.agent.process
        process.send_signal(signal.SIGSTOP)
        time.sleep(self._chance.uniform(0.5, 5.0))
        process.send_signal(signal.SIGCONT)


def dying_pods(node: Node) -> list[Pod]:
    """Their containers are killed as a group again and again, and started again after a back-off. Their pods' limits differ."""
    limits = () if V1 else (64, None)  # of the pods: the container's is hit, or the pod's, which is as low
    pods = [
        Pod(f"dying-{n}", (Container("main", DYING, 8),), labels={MODE: "group"}, limit_mib=m)
        for n, m in enumerate(limits)
    ]
    for pod in pods:
        node.kubelet.run_pod(pod)
    return pods


def test_with_the_agent_absent_killed_and_stopped_in_between_no_kill_is_missed_or_reported_twice_or_falsely(
    node: Node,
) -> None:
    node.agent.stop(signal.SIGKILL)
    before = recorded(node)
    storm = Storm(node.kubelet, CONTAINERS, tight=FULL and not V1)
    node.agents.append(start(node))
    node.agent.wait_ready()
    if not V1:
        node.agent.wait_for(lambda: all(node.knob(i.path) == "0" for i in storm.instances), 60, "enforced")
    interruptions = Interruptions(node, random.Random(int(os.environ.get("STORM_SEED", "4"))))
    began = time.monotonic()
    dying = dying_pods(node) if FULL else []
    storm.begin()
    while interruptions.done["killed"] < DEATHS or sum(interruptions.done.values()) < 3:
        interruptions.next()
    storm.wait_for(KILLS, SECONDS, interruptions.next)
    node.agent.wait_ready(120)
    counted = storm.end()
    lasted = time.monotonic() - began
    hits_of_pods = {pod.name: hits(node.kubelet.driver.pod_path(pod)) for pod in dying}
    for pod in dying:
        node.kubelet.delete_pod(pod)
    died = [truth for truth in truths(node.kubelet.instances, interruptions.blind) if truth.pod.startswith("dying-")]
    least = sum(counted.values()) + sum(truth.least for truth in died)
    least += sum(kill.processes for kill in before)
    node.agent.wait_for(lambda: processes_killed(node) >= least, SETTLE_S, f"{least} recorded")
    time.sleep(2)
    known = {kill.kill_id for kill in before}
    kills = [kill for kill in recorded(node) if kill.kill_id not in known]
    (Path(os.environ["OOMWARD_LAB_OUT"]) / "storm-kills.txt").write_text("".join(f"{kill}\n" for kill in kills))
    every_kill_is_on_its_container(kills, counted, died)
    scopes = no_scope_is_false(kills, storm, hits_of_pods)
    outcomes = no_outcome_is_false(kills, counted)
    assert node.agent.total("oomward_host_oom_kills_total") == 0
    with sqlite3.connect(node.work / "state" / FILE) as ledger:
        assert ledger.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    the_events_count_every_kill_once(node)
    leave_figures(
        "interrupted",
        {
            **interruptions.done,
            "kills": sum(counted.values()),
            "kills_per_s": round(sum(counted.values()) / lasted, 1),
            "group_kills": sum(kill.group_kill for kill in kills),
            "containers_that_died": len(died),
            "died_unseen": sum(truth.unseen for truth in died),
            "scopes": scopes,
            "outcomes": outcomes,
            "without_container": sum(kill.container_id is None for kill in kills),
            "with_full_details": sum(not kill.details_missing for kill in kills),
        },
    )


def every_kill_is_on_its_container(kills: list[OomKill], counted: dict[str, int], died: list[Truth]) -> None:
    """Exactly as often as the kernel counted; of containers that were removed unseen perhaps without a container."""
    names = [kill.kill_id for kill in kills]
    assert len(names) == len(set(names))
    found = by_container([kill for kill in kills if kill.container_id is not None])
    assert {each: found.pop(each, 0) for each in counted} == counted
    nameless = sum(kill.processes for kill in kills if kill.container_id is None)
    reports = [kill.report_sequence for kill in kills if kill.report_sequence is not None]
    assert len(reports) == len(set(reports)), "a report of the kernel's log is one kill's"
    wrong = disagreements(died, found, nameless)
    assert not wrong, "\n".join([*wrong, *(f"{kill}" for kill in kills if kill.container_id not in counted)])


def no_scope_is_false(kills: list[OomKill], storm: Storm, hits_of_dying: dict[str, int]) -> dict[str, int]:
    """A limit was hit at least as often as kills are said to be at it. Returns how many there are of each; unknown is allowed."""
    assert {kill.scope for kill in kills} <= {Scope.CONTAINER, Scope.POD, None}
    if not V1:
        of_containers, of_pods = storm.hits()
        of_pods |= hits_of_dying
        at_containers = Counter(
            k.container_id for k in kills if k.scope is Scope.CONTAINER and k.container_id in of_containers
        )
        at_pods = Counter(k.pod for k in kills if k.scope is Scope.POD)
        assert {
            each: (n, of_containers[each]) for each, n in at_containers.items() if each and n > of_containers[each]
        } == {}
        assert {
            each: (n, of_pods.get(each or "", 0)) for each, n in at_pods.items() if n > of_pods.get(each or "", 0)
        } == {}
    return dict(Counter(str(kill.scope) for kill in kills))


def no_outcome_is_false(kills: list[OomKill], survivors: Iterable[str]) -> dict[str, int]:
    """The storm's containers run until its end, whatever is killed in them; the others end with each kill. Unknown is allowed."""
    alive = set(survivors)
    false = [k for k in kills if k.outcome is (Outcome.DIED if k.container_id in alive else Outcome.SURVIVED)]
    assert not false, "\n".join(f"{kill}" for kill in false)
    of_survivors = Counter(str(k.outcome) for k in kills if k.container_id in alive)
    of_others = Counter(str(k.outcome) for k in kills if k.container_id not in alive)
    return {f"survivors: {outcome}": n for outcome, n in of_survivors.items()} | {
        f"others: {outcome}": n for outcome, n in of_others.items()
    }


def the_events_count_every_kill_once(node: Node) -> None:
    """The ledger's Events count them all; the API has been told of as many, or of fewer as long as an interval lasts.

    A kill is counted when its outcome is known, half a second after it is recorded, and told by another thread: both are waited for.
    """
    expected = Counter(kill.pod for kill in recorded(node) for _ in range(1 if kill.group_kill else kill.processes))
    node.agent.wait_for(lambda: counted_by_events(node) >= expected, SETTLE_S, f"counted by Events: {expected}")
    node.agent.wait_for(lambda: told_to_the_api(node).keys() >= expected.keys(), SETTLE_S, f"told of {expected.keys()}")
    assert counted_by_events(node) == expected
    names = [event["metadata"]["name"] for event in node.api.events]
    assert len(names) == len(set(names))
    told = told_to_the_api(node)
    assert told.keys() == expected.keys()
    assert told <= expected


def counted_by_events(node: Node) -> Counter[str | None]:
    """Kills by pod, as the ledger's Events count them."""
    with sqlite3.connect(f"file:{node.work / 'state' / FILE}?mode=ro", uri=True) as ledger:
        bodies = ledger.execute("SELECT body FROM notice WHERE body LIKE '%OOMKilled%'").fetchall()
    counted: Counter[str | None] = Counter()
    for notice in (notice_of(body) for (body,) in bodies):
        counted[notice.about.name] += notice.count
    return counted


def told_to_the_api(node: Node) -> Counter[str | None]:
    """The same as the API was told."""
    told: Counter[str | None] = Counter()
    for event in node.api.events:
        if "OOMKilled" in event["reason"]:
            told[event["regarding"]["name"]] += event.get("series", {"count": 1})["count"]
    return told


def start(node: Node) -> AgentProcess:
    """Without waiting for anything."""
    return AgentProcess(node.work, node.work / "kubeconfig", node_name=NODE, extra=("--mode-applied-events", "false"))
