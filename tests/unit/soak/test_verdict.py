"""The soak's verdict sees what the honest tenants did not get, and nothing where they got all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agent.model import OomKill, Outcome, Scope, Victim
from tests.lab.spec import Container, Instance, Pod
from tests.soak.verdict import Seen, judge

SINGLE = Pod("single-1", (Container("main", ("herd",)),), "honest-a", {"oomward.dev/mode": "single"})
GROUP = Pod("group-2", (Container("main", ("family",)),), "honest-b", {"oomward.dev/mode": "group"})
MIB = 1 << 20


def instance(pod: Pod, events: dict[str, int], ended_s: float) -> Instance:
    return Instance(pod, "main", f"id-{pod.name}", "path", 1, 1, 0, 0.0, events, 137, ended_s)


def event(pod: Pod, reason: str) -> dict[str, Any]:
    return {"reason": reason, "regarding": {"namespace": pod.namespace, "name": pod.name, "uid": pod.uid}, "note": "…"}


def kill(pod: Pod, processes: int, outcome: Outcome) -> OomKill:
    names: dict[str, Any] = {
        "namespace": pod.namespace,
        "pod": pod.name,
        "pod_uid": pod.uid,
        "container_id": f"id-{pod.name}",
    }
    victim = Victim(9, "worker")
    known: dict[str, Any] = {"victims": (victim,), "scope": Scope.CONTAINER, "outcome": outcome}
    return OomKill("boot", 1, 1, 1.0, "node", "path", processes, **names, **known)


def agent(at_s: float, rss_mib: float = 50.0) -> list[Any]:
    return ["agent", at_s, rss_mib * MIB, rss_mib * MIB, 50, 10, 40, MIB, at_s / 100, 60]


def scrape(at_s: float, took_s: float, page: dict[str, int]) -> list[Any]:
    return ["scrape", "/metrics", at_s, at_s + took_s, 200, page]


LINES = [
    ["kill", "id-single-1", 9.95, 10.0, 1, 0],
    ["kill", "id-group-2", 11.95, 12.0, 4, 1],
    scrape(9.0, 0.1, {}),
    scrape(13.0, 0.1, {"single-1 container": 1, "group-2 container": 3}),
    scrape(20.0, 0.1, {"single-1 container": 1, "group-2 container": 3}),
    *(agent(float(at_s)) for at_s in range(0, 40, 2)),
]
GOOD = Seen(
    LINES,
    [
        (10.6, event(SINGLE, "ProcessOOMKilled")),
        (12.6, event(GROUP, "ContainerOOMKilled")),
        (1.0, event(GROUP, "OOMModeApplied")),
    ],
    [
        instance(SINGLE, {"oom_kill": 1, "oom_group_kill": 0}, 30.0),
        instance(GROUP, {"oom_kill": 4, "oom_group_kill": 1}, 12.1),
    ],
    {"single-1": 30.0, "group-2": 30.0},
    [kill(SINGLE, 1, Outcome.SURVIVED), kill(GROUP, 3, Outcome.DIED)],
)


def test_nothing_is_wrong_where_nothing_is() -> None:
    wrong, figures = judge(GOOD)
    assert wrong == []
    assert figures["kill → Event at the API, s"].startswith("2 measured")


@pytest.mark.parametrize(
    ("seen", "what"),
    [
        (replace(GOOD, events=GOOD.events[1:]), "no ProcessOOMKilled of single-1"),
        (replace(GOOD, events=[(15.1, GOOD.events[0][1]), *GOOD.events[1:]]), "5.15 s after the kill"),
        (
            replace(GOOD, events=[*GOOD.events, (13.0, event(SINGLE, "ContainerOOMKilled"))]),
            "false: ContainerOOMKilled",
        ),
        (
            replace(GOOD, lines=[*LINES, scrape(21.0, 1.1, {"single-1 container": 1, "group-2 container": 3})]),
            "after 1.10 s",
        ),
        (
            replace(GOOD, lines=[*LINES, scrape(21.0, 0.1, {"single-1 container": 2, "group-2 container": 3})]),
            "2 kills of single-1",
        ),
        (
            replace(GOOD, lines=[*LINES, scrape(21.0, 0.1, {"single-1 node": 1, "group-2 container": 3})]),
            "limit of the node",
        ),
        (replace(GOOD, lines=[*LINES, scrape(21.0, 0.1, {"group-2 container": 3})]), "lacks kills of single-1"),
        (replace(GOOD, lines=[*LINES, ["scrape", "/healthz", 21.0, 21.1, 0, 0]]), "/healthz: 0"),
        (replace(GOOD, kills=GOOD.kills[:1]), "the ledger has 0"),
        (replace(GOOD, kills=[replace(GOOD.kills[0], outcome=Outcome.DIED), GOOD.kills[1]]), "outcome died"),
        (replace(GOOD, kills=[replace(GOOD.kills[0], scope=Scope.NODE), GOOD.kills[1]]), "false: "),
        (replace(GOOD, deleted_s={"single-1": 31.0, "group-2": 30.0}), "single-1 ended though"),
        (
            replace(GOOD, lines=[*LINES, *(agent(40.0 + n, 50.0 + n) for n in range(40))]),
            "its growth after the warm-up",
        ),
        (replace(GOOD, lines=[*LINES, agent(41.0, 129.0)]), "anonymous memory"),
    ],
)
def test_what_an_honest_tenant_did_not_get_is_seen(seen: Seen, what: str) -> None:
    wrong, _ = judge(seen)
    assert any(what in each for each in wrong), wrong


def test_a_starved_machine_is_nobodys_fault() -> None:
    late = replace(GOOD, events=[(15.1, GOOD.events[0][1]), *GOOD.events[1:]], lines=[*LINES, ["late", 14.0, 1.0]])
    assert judge(late)[0] == []
