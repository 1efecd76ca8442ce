"""Kills as fast as a kernel can make them, over many containers, the reports rate-limited, the agent killed meanwhile.

Sizes by environment: STORM_KILLS, STORM_CONTAINERS, STORM_DEATHS (`make storm` has the large ones).
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.ledger import LedgerReader
from agent.ledger.rows import notice_of
from agent.ledger.store import FILE
from agent.model import OomKill, Scope
from tests.kernel.conftest import NODE, Node, make_node
from tests.lab.agent_process import AgentProcess
from tests.lab.cgroups import V1
from tests.lab.storm import Storm

KILLS = int(os.environ.get("STORM_KILLS", "600"))
CONTAINERS = int(os.environ.get("STORM_CONTAINERS", "20"))
DEATHS = int(os.environ.get("STORM_DEATHS", "8"))
SECONDS = (
    300 + KILLS / 4
)  # 9 kills a second on v1 with a processor of its own, a third of that where others want it too
SETTLE_S = 60 + KILLS / 100 + DEATHS


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = make_node(tmp_path_factory.mktemp("node"), "systemd", status_delay_s=0.5)
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
    assert all(i.running for i in storm.instances)


def test_an_agent_killed_at_any_moment_of_a_storm_misses_no_kill_and_tells_none_twice(node: Node) -> None:
    """At any instruction: while it starts, reads what happened meanwhile, records, or tells."""
    assert node.agent.stop(signal.SIGKILL) == -signal.SIGKILL
    before = recorded(node)
    storm = Storm(node.kubelet, CONTAINERS)
    chance = random.Random(int(os.environ.get("STORM_SEED", "4")))
    deaths = 0
    node.agents.append(start(node))
    node.agent.wait_ready()
    if not V1:
        node.agent.wait_for(lambda: all(node.knob(i.path) == "0" for i in storm.instances), 60, "held")
    storm.begin()
    while deaths < DEATHS:
        time.sleep(chance.uniform(0.0, 3.0))
        assert node.agent.process.poll() is None, node.agent.log_path.read_text()[-3000:]
        node.agent.stop(signal.SIGKILL)
        deaths += 1
        node.agents.append(start(node))
    node.agent.wait_ready(120)
    counted = storm.end() | by_container(before)
    settle(node, counted)
    with sqlite3.connect(node.work / "state" / FILE) as ledger:
        assert ledger.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    the_events_count_every_kill_once(node)
    leave_figures("killed", {"deaths": deaths, "kills": sum(counted.values()) - len(before)})


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
