"""From the counters and the kernel's log to the ledger, the metrics and the Event: whose kill it was, each kill once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import agent.loop.kills as kills_module
import agent.pods.lookup as facts_module
from agent.ledger import Ledger
from agent.model import Mode, OomReport, Original, Outcome, PodDeleted, Scope, TaskRow, Victim
from tests.unit.cgroup.fakes import make, remove
from tests.unit.loop.world import CONTAINER, ID, MODE, POD, SANDBOX, UID, World, pod

WORKER = Victim(4312, "worker", 1000, anon_bytes=180 << 20)
SERVICE = "system.slice/backup.service"
OTHER_UID = "2b4e28ba-2fa1-11d2-883f-0016d3cca427"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """With the kernel's log to wait for."""
    world = World(tmp_path, kmsg=True, announce=False)
    yield world
    world.end()


def report(path: str = CONTAINER, *victims: Victim, domain: str | None = None, group: bool = False) -> OomReport:
    return OomReport(
        first_sequence=70,
        last_sequence=99,
        at_us=1,
        victims=victims or (WORKER,),
        global_oom=False,
        oom_memcg=f"/{domain or path}",
        task_memcg=f"/{path}",
        group_memcg=f"/{path}" if group else None,
        limit_bytes=256 << 20,
        usage_bytes=256 << 20,
        tasks=(TaskRow(1, "herder", 1 << 20), TaskRow(4312, "worker", 180 << 20)),
    )


def kills(world: World, container: str = "main", mode: str = "single", scope: str = "container") -> float | None:
    labels = f'container="{container}",mode="{mode}",namespace="default",pod="herder-1",scope="{scope}"'
    return world.metric(f"oomward_oom_kills_total{{{labels}}}")


def start(world: World, labels: dict[str, str] | None = None) -> None:
    world.told(pod(labels))
    world.make(knob=1)


@pytest.mark.parametrize("log_first", [True, False])
def test_a_kill_has_the_counters_word_and_the_logs_whichever_comes_first(world: World, log_first: bool) -> None:
    start(world, {MODE: "single"})
    if log_first:
        world.node.kills.reports([report()], world.now)
        world.turn()
        assert world.ledger.kills() == [], "the counter has not spoken"
        world.kill()
    else:
        world.kill()
        assert world.ledger.kills() == [], "the log follows within milliseconds"
        world.node.kills.reports([report()], world.now)
        world.turn()
    (kill,) = world.ledger.kills()
    assert (kill.container, kill.victims, kill.mode, kill.scope) == ("main", (WORKER,), Mode.SINGLE, Scope.CONTAINER)
    assert (kill.limit_bytes, kill.largest[0].comm, kill.details_missing) == (256 << 20, "worker", False)
    world.turn(after_s=0.6)
    (notice,) = world.posted
    assert notice.reason.value == "ProcessOOMKilled"
    assert "OOM-killed worker (PID 4312, 180 MiB) in container main" in notice.note
    assert "The container is still running (mode single)." in notice.note


def test_a_kill_that_the_log_never_told_is_recorded_without_its_victim(world: World) -> None:
    start(world, {MODE: "single"})
    world.kill()
    world.turn(after_s=0.05)
    (kill,) = world.ledger.kills()
    assert (kill.victims, kill.details_missing) == ((), True)
    assert kills(world) == 1
    assert world.metric("oomward_oom_kills_without_details_total") == 1
    world.turn(after_s=0.6)
    assert "The process is not known" in world.posted[0].note


def test_a_report_that_comes_late_adds_its_details_to_the_ledger_and_counts_nothing(world: World) -> None:
    start(world, {MODE: "single"})
    world.kill()
    world.turn(after_s=0.05)
    world.node.kills.reports([report()], world.now)
    world.turn(after_s=0.1)
    (kill,) = world.ledger.kills()
    assert kill.victims == (WORKER,)
    assert kills(world) == 1
    world.turn(after_s=0.6)
    assert "OOM-killed worker (PID 4312" in world.posted[0].note


def test_a_group_kill_is_one_kill_of_so_many_processes(world: World) -> None:
    start(world)
    victims = (WORKER, Victim(1, "herder"), Victim(5, "sh"))
    world.kill(count=4, groups=1)
    world.node.kills.reports([report(CONTAINER, *victims, group=True)], world.now)
    world.turn(after_s=0.1)
    (kill,) = world.ledger.kills()
    assert (kill.processes, kill.group_kill, kill.mode, kill.outcome) == (3, True, Mode.GROUP, Outcome.DIED)
    assert kills(world, mode="group") == 3
    assert world.reasons() == ["ContainerOOMKilled"]


def test_many_kills_are_each_recorded_and_named_apart(world: World) -> None:
    start(world, {MODE: "single"})
    for _ in range(20):
        world.kill()
        world.turn(after_s=0.05)
    assert len({kill.kill_id for kill in world.ledger.kills()}) == 20
    assert kills(world) == 20
    world.turn(after_s=1)
    assert {notice.name for notice in world.posted} == {world.posted[0].name}, "one Event counts them all"
    assert world.posted[-1].count == 20


def test_notifications_that_were_merged_lose_no_kill(world: World) -> None:
    start(world, {MODE: "single"})
    world.kill(count=7)
    world.turn(after_s=0.05)
    assert sum(kill.processes for kill in world.ledger.kills()) == 7


def test_a_kill_in_the_runtimes_child_is_the_containers(world: World) -> None:
    world.told(pod({MODE: "single"}))
    child = f"{CONTAINER}/container"
    world.make(child, knob=1)
    world.kill(child)
    world.node.kills.reports([report(child)], world.now)
    world.turn()
    (kill,) = world.ledger.kills()
    assert (kill.container, kill.cgroup_path, kill.victims) == ("main", CONTAINER, (WORKER,))


def test_a_container_that_vanished_unread_is_found_by_its_pods_counter_and_the_log(world: World) -> None:
    start(world)
    world.kill_unseen(count=2, groups=1)
    world.remove(CONTAINER)
    world.node.kills.reports([report(CONTAINER, WORKER, group=True)], world.now)
    world.turn(after_s=1)
    (kill,) = world.ledger.kills()
    assert (kill.container, kill.processes, kill.outcome) == ("main", 1, Outcome.DIED)
    assert world.reasons() == ["ContainerOOMKilled"]
    assert world.metric("oomward_unattributed_oom_kills_total") == 0


def test_a_kill_that_no_container_can_be_named_for_is_said_to_be_unattributed(world: World) -> None:
    world.told(pod(ids={"main": ID, "other": "b" * 64}))
    world.make()
    world.make(f"{POD}/{'b' * 64}")
    world.kill(POD)
    world.turn(after_s=1)
    assert world.metric("oomward_unattributed_oom_kills_total") == 1
    assert len(world.ledger.kills()) == 1


def test_a_kill_waits_for_its_containers_name_some_seconds(world: World) -> None:
    world.told(pod({MODE: "single"}, ids={"main": None}))
    world.make(knob=1)
    world.kill()
    world.turn(after_s=2)
    assert world.ledger.kills() == [], "the kubelet tells the name late"
    world.told(pod({MODE: "single"}))
    (kill,) = world.ledger.kills()
    assert kill.container == "main"


def test_a_kill_whose_pod_the_api_never_told_of_is_recorded_all_the_same(world: World) -> None:
    world.make(knob=1)
    world.kill()
    world.turn(after_s=6)
    (kill,) = world.ledger.kills()
    assert (kill.pod, kill.container_id) == (None, ID)
    assert world.metric("oomward_host_oom_kills_total") == 0, "it was in a pod"
    world.turn(after_s=1)
    assert world.posted == [], "there is no pod to post it on"


def test_a_kill_is_still_named_after_its_pod_has_left_the_api(world: World) -> None:
    start(world)
    world.node.message(PodDeleted(UID), world.now)
    world.kill()
    world.turn(after_s=0.35)
    assert [kill.pod for kill in world.ledger.kills()] == ["herder-1"]
    world.turn(after_s=1)
    assert [notice.about.uid for notice in world.posted] == [UID]


def test_the_pods_limit_is_told_from_the_containers(world: World) -> None:
    start(world, {MODE: "single"})
    world.kill()
    world.node.kills.reports([report(domain=POD)], world.now)
    world.turn()
    world.turn(after_s=0.6)
    (kill,) = world.ledger.kills()
    assert kill.scope is Scope.POD
    assert kills(world, scope="pod") == 1
    assert "the pod's memory limit of 256 MiB" in world.posted[0].note


def test_one_limit_at_both_levels_is_the_containers_to_a_user(world: World) -> None:
    start(world, {MODE: "single"})
    for path in (POD, CONTAINER):
        (world.mount / path / "memory.max").write_text(f"{256 << 20}\n")
    world.kill()
    world.node.kills.reports([report(domain=POD)], world.now)
    world.turn()
    assert world.ledger.kills()[0].scope is Scope.CONTAINER


def test_a_process_of_the_nodes_own_is_an_event_on_the_node(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that reached its own limit: /proc/vmstat counts it, no pod does."""
    for module in (kills_module, facts_module):
        monkeypatch.setattr(module, "node_oom_kills", lambda: 1)
    world.node.kills.reports([report(SERVICE)], world.now)
    world.turn(after_s=1)
    (kill,) = world.ledger.kills()
    assert (kill.cgroup_path, kill.pod, kill.victims) == (SERVICE, None, (WORKER,))
    assert world.metric("oomward_host_oom_kills_total") == 1
    world.turn(after_s=1)
    (notice,) = world.posted
    assert (notice.about.kind, notice.about.name) == ("Node", "node-1")
    assert f"in cgroup {SERVICE} at the cgroup's memory limit of 256 MiB" in notice.note


@pytest.mark.parametrize(("first", "asked"), [(True, [4312]), (False, []), (None, [])])
def test_a_pid_of_the_kernels_log_is_asked_for_its_cgroup_only_where_it_means_that_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: bool | None, asked: list[int]
) -> None:
    """Without hostPID the pid is another process in our namespace, or none."""
    pids: list[int] = []
    monkeypatch.setattr(kills_module, "is_first_pid_namespace", lambda: first)
    monkeypatch.setattr(kills_module, "cgroup_of", pids.append)
    world = World(tmp_path, kmsg=True)
    world.node.kills.reports([replace(report(), task_memcg=None)], world.now)
    assert pids == asked
    world.end()


def test_a_sandboxs_kill_is_recorded_for_its_pod(world: World) -> None:
    start(world)
    world.make(SANDBOX)
    world.kill(SANDBOX)
    world.turn(after_s=6)
    (kill,) = world.ledger.kills()
    assert (kill.pod, kill.container) == ("herder-1", None)


def test_a_kill_of_a_restarted_container_is_named_too(world: World) -> None:
    start(world, {MODE: "single"})
    world.remove(CONTAINER)
    again = f"{POD}/{'b' * 64}"
    world.make(again, knob=1)
    one = pod({MODE: "single"})
    world.told(replace(one, containers=(replace(one.containers[0], container_id="b" * 64, previous_id=ID),)))
    world.kill(again)
    world.turn(after_s=0.05)
    assert [kill.container_id for kill in world.ledger.kills()] == ["b" * 64]
    assert kills(world) == 1


@pytest.mark.parametrize("named", [True, False])
def test_a_group_kill_whose_cgroup_is_gone_still_has_the_containers_limit(world: World, named: bool) -> None:
    """One limit at both levels; the container's file went with it, before or after anybody had a reason to read it."""
    world.told(pod({MODE: "group"}, ids={"main": ID if named else None}, main=256 << 20))
    world.make()
    (world.mount / POD / "memory.max").write_text(f"{256 << 20}\n")
    (world.mount / CONTAINER / "memory.max").write_text(f"{256 << 20}\n")
    world.kill_unseen(count=3, groups=1)
    world.remove(CONTAINER)
    world.node.kills.reports([report(CONTAINER, domain=POD, group=True)], world.now)
    world.turn(after_s=10.0)
    (kill,) = world.ledger.kills()
    assert kill.scope is Scope.CONTAINER


@pytest.mark.parametrize(
    ("sibling", "limit", "scope"),
    [("named", "max", Scope.POD), ("unnamed", str(256 << 20), Scope.POD), ("unnamed", "max", Scope.CONTAINER)],
    ids=["a container that the API names", "a container not named yet", "the sandbox"],
)
def test_one_limit_at_both_levels_is_the_pods_if_the_pod_has_another_container(
    world: World, sibling: str, limit: str, scope: Scope
) -> None:
    """A limit that is set for the pod is each container's as well (KEP-2837): together they reached it."""
    world.told(pod({MODE: "single"}, ids={"main": ID, "second": "5" * 64 if sibling == "named" else None}))
    for path, memory in ((CONTAINER, str(256 << 20)), (SANDBOX, limit)):
        world.make(path)
        (world.mount / path / "memory.max").write_text(f"{memory}\n")
    (world.mount / POD / "memory.max").write_text(f"{256 << 20}\n")
    world.kill()
    world.node.kills.reports([report(domain=POD)], world.now)
    world.turn()
    assert world.ledger.kills()[0].scope is scope


def test_a_pod_that_comes_back_under_its_name_counts_from_zero_also_after_a_restart(world: World) -> None:
    """Else a restart of the agent would show kills that never were."""
    start(world, {MODE: "single"})
    world.kill()
    world.turn(after_s=1)
    world.node.message(PodDeleted(UID), world.now)
    world.remove(CONTAINER)
    world.now += 400
    world.node.housekeeping(world.now)
    world.now += 400
    world.node.housekeeping(world.now)
    series = (
        'oomward_oom_kills_total{container="main",mode="single",namespace="default",pod="herder-1",scope="container"}'
    )
    assert world.metric(series) is None
    world.end()
    world.begin()
    again = pod({MODE: "single"}, ids={"main": "b" * 64})
    world.make(f"{POD}/{'b' * 64}")
    world.listed(again)
    assert (world.metric(series) or 0) == 0
    assert len(world.ledger.kills()) == 1, "what happened stays in the ledger"


@pytest.mark.parametrize("others", [{}, {"other": None}])
def test_a_kill_that_only_the_pods_counter_shows_is_its_only_containers(
    world: World, others: dict[str, str | None]
) -> None:
    """Which instance it was is not known: it came and went while no agent ran."""
    world.told(pod(ids={"main": None, **others}))
    world.make()
    world.end()
    remove(world.mount, CONTAINER)
    world.kill_unseen(POD)
    world.begin()
    world.listed(pod(ids={"main": None, **others}))
    for _ in range(3):
        world.turn(1.0)
    (kill,) = world.ledger.kills()
    assert (kill.pod, kill.container, kill.container_id) == ("herder-1", None if others else "main", None)


def test_a_kill_while_the_agent_was_down_has_one_outcome_and_counts_once_in_its_event(tmp_path: Path) -> None:
    world = World(tmp_path, kmsg=False, announce=False)
    world.make(knob=1)
    world.told(pod({MODE: "single"}))
    world.turn(1.0)
    world.end()
    world.kill_unseen()
    world.posted.clear()
    world.begin()
    for after_s in (0.0, 0.6, 1.0):
        world.turn(after_s)
    labels = 'container="main",namespace="default",outcome="survived",pod="herder-1"'
    assert world.metric(f"oomward_oom_kill_outcomes_total{{{labels}}}") == 1
    assert {notice.count for notice in world.posted if "OOMKilled" in notice.reason.value} == {1}
    world.end()


@pytest.mark.parametrize("before", ["a start that failed", "kill -9 right after the ledger was opened", "once"])
def test_kills_from_before_oomward_are_never_reported_however_far_an_earlier_start_got(
    tmp_path: Path, before: str
) -> None:
    (tmp_path / "mount").mkdir()
    make(tmp_path / "mount", CONTAINER)
    for at in (CONTAINER, POD):
        file = tmp_path / "mount" / at / "memory.events"
        file.write_text(file.read_text().replace("oom_kill 0", "oom_kill 3"))
    earlier = Ledger.open(tmp_path / "state", "boot")
    if before == "once":
        earlier.remember_original(Original(7, CONTAINER, 1, UID, 1.0))
    if before == "kill -9 right after the ledger was opened":
        earlier._store.close()
    else:
        earlier.close()
    world = World(tmp_path, announce=False)
    world.listed(pod({MODE: "single"}))
    world.turn(after_s=10.0)
    world.turn(after_s=10.0)
    assert (world.ledger.kills(), world.posted) == ([], [])
    world.die()
    world.kill_unseen()
    world.begin()
    world.turn(after_s=10.0)
    assert [kill.processes for kill in world.ledger.kills()] == [1], "what came after the first baselines is reported"
    world.end()


@pytest.mark.parametrize(
    "foreign", ["user.slice/user-1000.slice/user@1000.service", f"kubepods/burstable/pod{OTHER_UID}/{'b' * 64}"]
)
def test_a_foreign_or_nested_cgroup_that_is_named_as_a_pods_never_counts_for_that_pod(
    world: World, foreign: str
) -> None:
    start(world, {MODE: "single"})
    if foreign.startswith("kubepods"):
        world.make(foreign)
    attacker = Victim(666, "attacker")
    world.node.kills.reports([replace(report(f"{foreign}/{CONTAINER}", attacker), first_sequence=7)], world.now)
    world.kill()
    world.node.kills.reports([report()], world.now)
    world.turn()
    world.turn(after_s=1.0)
    (kill,) = world.ledger.kills()
    assert [victim.comm for victim in kill.victims] == ["worker"]
    assert world.metric("oomward_host_oom_kills_total") == 0


def test_a_kill_in_a_cgroup_of_a_users_that_is_named_as_a_pods_is_reported_on_the_node(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(world, {MODE: "single"})
    for module in (facts_module, kills_module):
        monkeypatch.setattr(module, "node_oom_kills", lambda: 1)
    world.node.kills.reports([report(f"user.slice/user-1000.slice/{CONTAINER}")], world.now)
    world.turn(after_s=1.0)
    world.turn(after_s=1.0)
    (kill,) = world.ledger.kills()
    assert (kill.pod, kill.container, kill.outcome) == (None, None, None)
    assert [notice.about.kind for notice in world.posted if "OOM-killed" in notice.note] == ["Node"]
    assert world.metric("oomward_host_oom_kills_total") == 1


def test_kills_from_before_the_api_was_reached_are_reported_on_their_pod_afterwards(tmp_path: Path) -> None:
    world = World(tmp_path, announce=False)
    world.make(knob=1)
    world.kill()
    world.turn(after_s=6.0)
    world.turn(after_s=1.0)
    assert [kill.pod for kill in world.ledger.kills()] == [None]
    assert world.posted == []
    world.end()
    world.begin()  # nor does a restart meanwhile lose it
    world.listed(pod({MODE: "single"}))
    world.turn(after_s=1.0)
    (notice,) = world.posted
    assert (notice.about.kind, notice.about.name) == ("Pod", "herder-1")
    assert [(kill.pod, kill.container) for kill in world.ledger.kills()] == [("herder-1", "main")]
    world.end()


def test_a_pod_that_the_api_names_before_the_kills_outcome_is_known_gets_the_event_without_any_further_message(
    tmp_path: Path,
) -> None:
    world = World(tmp_path, announce=False)
    world.make(knob=1)
    world.kill()
    world.turn(after_s=6.0)
    assert [kill.pod for kill in world.ledger.kills()] == [None]
    world.listed(pod({MODE: "single"}))
    assert world.posted == [], "the outcome is not known yet"
    world.turn(after_s=1.0)
    assert [notice.about.name for notice in world.posted if notice.warning] == ["herder-1"]
    world.end()


def test_a_container_that_was_scaled_away_while_the_agent_was_down_is_not_said_to_have_died(tmp_path: Path) -> None:
    world = World(tmp_path, announce=False)
    start(world, {MODE: "single"})
    world.end()
    for _ in range(4):
        world.kill_unseen()
    remove(world.mount, CONTAINER)
    world.begin()
    world.listed(pod({MODE: "single"}))
    for _ in range(8):
        world.turn(after_s=1.0)
    assert [(kill.processes, kill.outcome) for kill in world.ledger.kills()] == [(1, None)] * 4
    assert {notice.reason.value for notice in world.posted} == {"ProcessOOMKilled"}
    assert all("whether the container survived is not known" in notice.note.lower() for notice in world.posted)
    world.end()
