"""Each kill once, on the right container, whatever of its traces is missing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.model import NODE, MemoryEvents, OomKill, Outcome, Scope, SeenProcess
from tests.unit.kills.world import POD, ROOT, A, Agent, B, World, report


@pytest.fixture
def world() -> World:
    world = World()
    world.make(ROOT, POD, A, B)
    return world


def test_a_kill_whose_report_is_there_is_recorded_at_once(world: World) -> None:
    agent = Agent(world)
    world.kill(A)
    agent.attribution.reported(report(A, 4312), world.now)
    agent.read()
    (kill,) = agent.after(0.0).kills
    assert (kill.container, kill.processes, kill.scope) == ("name-a", 1, Scope.CONTAINER)
    assert [v.pid for v in kill.victims] == [4312]
    assert kill.sources == {"counters", "kmsg"}
    assert not kill.details_missing


VICTIM = SeenProcess(4312, "worker", "celery -Q images", ("celery", "tini"), ("celery -A shop", "tini"), 9 << 20)
OTHER = SeenProcess(17, "celery", "celery -A shop", ("tini",), ("tini",), 1 << 20)


@pytest.mark.parametrize(
    ("before", "after", "known"),
    [
        ((), (OTHER,), (OTHER,)),
        ((), (OTHER, VICTIM), (VICTIM, OTHER)),
        ((OTHER,), (OTHER, VICTIM), (VICTIM, OTHER)),
        ((OTHER,), (), (OTHER,)),
        ((VICTIM,), (OTHER, replace(VICTIM, command="")), (VICTIM,)),
        ((OTHER,), (replace(OTHER, comm="new"),), (OTHER,)),
        ((), (), ()),
    ],
    ids=[
        "others, read late",
        "the victim, read late",
        "the victim joins others",
        "forgotten since",
        "the victim was known",
        "others were known",
        "off, or not read",
    ],
)
def test_a_settled_kill_has_the_processes_that_were_read_after_it_was_recorded(
    world: World,
    before: tuple[SeenProcess, ...],
    after: tuple[SeenProcess, ...],
    known: tuple[SeenProcess, ...],
) -> None:
    """With one processor the kernel has killed, and its report is there, before a process can be read."""
    agent, world.processes[A] = Agent(world), before
    world.kill(A)
    agent.attribution.reported(report(A, 4312), world.now)
    agent.read()
    recorded_s = world.now
    findings = agent.after(0.0)
    assert [kill.seen for kill in findings.kills] == [before]
    assert findings.completed == findings.settled == ()
    world.processes[A] = after
    findings = agent.after(1.0)
    assert [kill.seen for kill in findings.settled] == [known]
    assert findings.completed == (findings.settled if known != before else ())
    assert set(world.seen_of[1:]) <= {recorded_s}, "who lives later is not the victim"


def test_details_that_come_late_ask_for_the_processes_of_when_the_kill_was_recorded(world: World) -> None:
    agent = Agent(world)
    world.kill(A)
    agent.read()
    (kill,) = agent.after(1.0).kills
    recorded_s, world.processes[A] = world.now, (VICTIM,)
    world.now += 0.1
    agent.attribution.reported(report(A, 4312), world.now)
    (amended,) = agent.after(0.1).amended
    assert (kill.seen, amended.seen) == ((), (VICTIM,))
    assert recorded_s in world.seen_of


def test_a_kill_without_any_report_waits_while_the_log_has_not_been_read_to_its_end(world: World) -> None:
    """After a stop of the agent, or on a node without a free processor, its report may be there."""
    agent = Agent(world)
    world.kill(A)
    agent.read()
    agent.attribution.log_read(unread=True, now_s=world.now)
    assert agent.after(1.0).kills == ()
    agent.attribution.reported(report(A, 9), world.now)
    (kill,) = agent.after(0.0).kills
    assert [v.pid for v in kill.victims] == [9]


def test_a_log_that_is_never_read_to_its_end_keeps_no_kill_waiting_for_long(world: World) -> None:
    agent = Agent(world)
    world.kill(A)
    agent.read()
    agent.attribution.log_read(unread=True, now_s=world.now)
    (kill,) = agent.after(2.1).kills
    assert kill.details_missing


def test_nor_does_a_kill_that_was_read_long_before_go_without_a_report_that_may_be_there(world: World) -> None:
    """Seen on a node without memory: the agent got no processor for seconds after it had read the counter."""
    agent = Agent(world)
    world.kill(A, hit=False)
    agent.read()
    world.now += 3.0
    agent.attribution.log_read(unread=True, now_s=world.now)
    assert agent.after(0.0).kills == ()
    agent.attribution.reported(replace(report(A, 9), global_oom=True, oom_memcg=None), world.now)
    agent.attribution.log_read(unread=False, now_s=world.now)
    (kill,) = agent.after(0.01).kills
    assert ([v.pid for v in kill.victims], kill.scope) == ([9], Scope.NODE)


def test_a_kill_without_any_report_is_recorded_after_a_short_wait_and_says_that_details_are_missing(
    world: World,
) -> None:
    agent = Agent(world)
    world.kill(A)
    agent.read()
    assert agent.after(0.0).kills == ()
    (kill,) = agent.after(0.031).kills
    assert kill.details_missing
    assert kill.victims == ()
    assert kill.scope is Scope.CONTAINER


def test_a_kernel_that_counts_no_group_kills_has_its_report_waited_for_until_that_is_over(world: World) -> None:
    """Before 5.17, and on v1, any kill may be the first of a group's, so its report stays open for 30 ms of quiet."""
    world.tallies = {path: MemoryEvents(0, 0, None, 0) for path in world.tallies}
    agent = Agent(world)
    world.kill(A)
    world.tallies = {path: replace(events, oom_group_kill=None) for path, events in world.tallies.items()}
    agent.read()
    assert agent.after(0.005 + agent.attribution.log_quiet_s(False)).kills == (), "a line 5 ms after the counter"
    agent.attribution.reported(report(A, 7), world.now)
    (kill,) = agent.after(0.001).kills
    assert [victim.pid for victim in kill.victims] == [7]


def test_a_kill_is_recorded_once_however_often_its_counter_is_read(world: World) -> None:
    agent = Agent(world)
    world.kill(A)
    agent.attribution.reported(report(A, 1), world.now)
    agent.read()
    assert len(agent.after(0.0).kills) == 1
    agent.read()
    assert sum(len(agent.after(0.4).kills) for _ in range(5)) == 0


def test_without_a_log_nothing_is_waited_for(world: World) -> None:
    agent = Agent(world, kmsg=False)
    world.kill(A)
    agent.read()
    assert len(agent.after(0.0).kills) == 1


def test_once_the_log_is_found_again_reports_are_waited_for(world: World) -> None:
    agent = Agent(world, kmsg=False)
    agent.attribution.log_found(world.now)
    world.kill(A)
    agent.read()
    assert agent.after(0.0).kills == ()
    agent.attribution.reported(report(A, 1), world.now)
    (kill,) = agent.after(0.0).kills
    assert [victim.pid for victim in kill.victims] == [1]


def test_kills_counted_while_the_log_was_away_get_their_reports_and_the_next_kill_gets_its_own(world: World) -> None:
    agent = Agent(world)
    agent.attribution.log_lost()
    for _ in range(2):
        world.kill(A)
        agent.read()
        assert len(agent.after(60.0).kills) == 1
    agent.attribution.log_found(world.now)
    for pid in (1, 2):
        agent.attribution.reported(report(A, pid, sequence=pid * 10), world.now)
    assert [kill.victims[0].pid for kill in agent.after(0.0).amended] == [1, 2]
    world.kill(A)
    agent.read()
    agent.attribution.reported(report(A, 3, sequence=30), world.now)
    assert [kill.victims[0].pid for kill in agent.after(0.0).kills] == [3]


def test_a_kill_whose_report_was_not_read_any_more_gets_it_with_the_log_found_again(world: World) -> None:
    agent = Agent(world)
    world.kill(A)
    agent.read()
    assert len(agent.after(0.5).kills) == 1
    agent.attribution.log_lost()
    agent.after(60.0)
    agent.attribution.log_found(world.now)
    agent.attribution.reported(report(A, 1), world.now)
    assert [kill.victims[0].pid for kill in agent.after(0.0).amended] == [1]


def test_a_kill_whose_report_does_not_come_with_the_log_found_again_is_amended_no_more(world: World) -> None:
    agent = Agent(world)
    world.kill(A)
    agent.read()
    agent.attribution.log_lost()
    agent.after(60.0)
    agent.attribution.log_found(world.now)
    agent.after(5.0)
    agent.attribution.reported(report(A, 1), world.now)
    assert agent.after(0.0).amended == ()


def test_several_kills_merged_into_one_notification_are_several_kills(world: World) -> None:
    agent = Agent(world)
    for pid in (1, 2, 3):
        world.kill(A)
        agent.attribution.reported(report(A, pid, sequence=pid * 10), world.now)
    agent.read()
    kills = agent.after(0.0).kills
    assert [k.victims[0].pid for k in kills] == [1, 2, 3]
    assert len({k.kill_id for k in kills}) == 3


def test_a_group_kill_counts_its_processes_and_not_its_doubled_first_victim(world: World) -> None:
    agent = Agent(world)
    world.kill(A, raw=4, groups=1)
    agent.attribution.reported(report(A, 1, 2, 3, group=A), world.now)
    agent.read()
    (kill,) = agent.after(0.0).kills
    assert (kill.processes, kill.group_kill, kill.outcome) == (3, True, Outcome.DIED)


def test_a_group_kill_without_a_report_is_one_kill_of_all_but_the_doubled_first(world: World) -> None:
    agent = Agent(world)
    world.kill(A, raw=4, groups=1)
    agent.read()
    (kill,) = agent.after(0.081).kills
    assert (kill.processes, kill.group_kill, kill.details_missing) == (3, True, True)


def test_a_group_kill_still_being_counted_is_waited_for(world: World) -> None:
    agent = Agent(world)
    world.kill(A, raw=2, groups=1)
    agent.read()
    agent.after(0.015)
    world.kill(A, raw=3)
    agent.read()
    assert agent.after(0.070).kills == ()
    (kill,) = agent.after(0.081).kills
    assert kill.processes == 4


def test_a_group_kill_in_which_the_kernel_was_interrupted_is_one_kill(world: World) -> None:
    """Seen on 7.2: 30 ms between two victims, after which the log and the counters had gone together as far as they were."""
    agent = Agent(world)
    world.kill(A, raw=3, groups=1)
    world.empty.clear()
    agent.read()
    agent.attribution.reported(report(A, 1, 2, group=A), world.now)
    assert agent.after(0.2).kills == (), "a process is left: there may be more to come"
    world.kill(A, raw=1, hit=False)
    world.empty.add(A)
    agent.read()
    (kill,) = agent.after(0.081).kills
    assert (kill.processes, kill.group_kill) == (3, True)


def test_a_group_kill_that_was_only_begun_when_we_looked_is_one_kill(world: World) -> None:
    """The kernel counts the first victim before it counts the group kill, and may be interrupted in between."""
    world.grouped.add(A)
    agent = Agent(world)
    world.kill(A, raw=1)
    agent.read()
    assert agent.attribution.log_quiet_s(False) == 0.300, "its report goes on"
    assert agent.after(0.2).kills == ()
    world.kill(A, raw=3, groups=1, hit=False)
    agent.read()
    agent.attribution.reported(report(A, 1, 2, 3, group=A), world.now)
    (kill,) = agent.after(0.081).kills
    assert (kill.processes, kill.group_kill) == (3, True)


def test_a_kill_below_a_container_in_mode_group_that_takes_one_process_is_told_all_the_same(world: World) -> None:
    """Of a cgroup that the container made for itself: the kernel looks for groups up to the level whose limit was hit."""
    world.grouped.add(A)
    agent = Agent(world)
    world.kill(A, raw=1)
    agent.read()
    agent.attribution.reported(report(A, 7), world.now)
    (kill,) = agent.after(0.301).kills
    assert (kill.processes, kill.group_kill) == (1, False)


def test_a_report_whose_kill_no_counter_shows_yet_is_not_over(world: World) -> None:
    assert Agent(world).attribution.log_quiet_s(False) == 0.300


def test_a_group_kill_that_spared_a_process_is_told_all_the_same(world: World) -> None:
    """oom_score_adj -1000: the kernel kills all others (mm/oom_kill.c, oom_kill_memcg_member)."""
    agent = Agent(world)
    world.kill(A, raw=3, groups=1)
    world.empty.clear()
    agent.read()
    agent.attribution.reported(report(A, 1, 2, group=A), world.now)
    assert agent.after(1.999).kills == ()
    (kill,) = agent.after(0.002).kills
    assert (kill.processes, kill.group_kill) == (2, True)


@pytest.mark.parametrize(
    ("groups", "told", "emptied", "quiet_s"),
    [
        (0, False, False, 0.0),
        (1, False, False, 0.300),
        (1, True, False, 0.300),
        (1, True, True, 0.030),
        (0, True, False, 0.300),
        (None, False, False, 0.030),
        (None, True, False, 0.300),
    ],
    ids=str,
)
def test_the_log_is_waited_for_as_long_as_a_group_kill_may_go_on(
    world: World, groups: int | None, told: bool, emptied: bool, quiet_s: float
) -> None:
    """``groups`` None: a kernel before 5.17 doesn't count them, so every kill may be the first of a group's."""
    agent = Agent(world)
    if groups is None:
        world.tallies = {path: MemoryEvents(0, 0, None, 0) for path in world.tallies}
    world.kill(A, raw=2, groups=groups or 0)
    if groups is None:
        world.tallies = {path: replace(events, oom_group_kill=None) for path, events in world.tallies.items()}
    if not emptied:
        world.empty.clear()
    agent.read()
    assert agent.attribution.log_quiet_s(told) == quiet_s


def test_while_the_mode_is_not_known_a_group_kill_may_still_be_printed(world: World) -> None:
    agent = Agent(world)
    world.kill(A)
    agent.read()
    world.dead.add(A)
    assert agent.attribution.log_quiet_s(False) == 0.005


def test_beside_a_kill_in_mode_single_the_log_of_a_group_kill_is_waited_for(world: World) -> None:
    world.grouped.add(B)
    agent = Agent(world)
    world.kill(A)
    world.kill(B)
    agent.read()
    assert agent.attribution.log_quiet_s(False) == 0.300


def test_the_report_that_lost_its_cgroup_line_is_given_to_the_only_container_that_counted(world: World) -> None:
    agent = Agent(world)
    world.kill(A)
    agent.attribution.reported(report(None, 77), world.now)
    agent.read()
    (kill,) = agent.after(0.031).kills
    assert kill.victims[0].pid == 77


def test_the_report_that_lost_its_cgroup_line_is_given_to_nobody_when_two_containers_counted(world: World) -> None:
    agent = Agent(world)
    world.kill(A)
    world.kill(B)
    agent.attribution.reported(report(None, 77), world.now)
    agent.read()
    kills = agent.after(0.031).kills
    assert {k.container for k in kills} == {"name-a", "name-b"}
    assert all(k.victims == () for k in kills)


def test_a_report_that_comes_late_amends_its_kill(world: World) -> None:
    agent = Agent(world)
    world.kill(A)
    agent.read()
    (kill,) = agent.after(0.031).kills
    agent.attribution.reported(report(A, 9), world.now)
    (amended,) = agent.after(0.1).amended
    assert amended.kill_id == kill.kill_id
    assert amended.victims[0].pid == 9


def test_a_container_that_vanished_unread_is_named_by_its_report_and_counted_by_its_pod(world: World) -> None:
    agent = Agent(world)
    world.kill(A, raw=4, groups=1)
    agent.attribution.reported(report(A, 1, 2, 3, group=A), world.now)
    agent.attribution.removed(world.remove(A), world.now)
    agent.read()
    found = agent.after(0.6)
    (kill,) = found.kills
    assert (kill.container, kill.processes, kill.outcome) == ("name-a", 3, Outcome.DIED)
    assert kill.sources == {"hierarchy", "kmsg"}
    assert found.unattributed == ()


def test_a_container_that_vanished_unread_and_unreported_is_still_found_when_it_is_the_only_one(world: World) -> None:
    agent = Agent(world)
    world.kill(A)
    agent.attribution.removed(world.remove(A), world.now)
    agent.after(0.0)
    agent.read()
    (kill,) = agent.after(0.6).kills
    assert kill.container == "name-a"


@pytest.mark.parametrize("guilty_first", [True, False])
def test_of_two_that_vanished_one_after_the_other_the_one_whose_end_left_a_kill_unexplained_is_named(
    world: World, guilty_first: bool
) -> None:
    """The pod's counter is compared with its children's at each end, so it tells whose last kill nobody could read."""
    agent = Agent(world)
    for path in (A, B) if guilty_first else (B, A):
        if path == A:
            world.kill(A, raw=7)
        agent.attribution.removed(world.remove(path), world.now)
        agent.after(0.1)
    agent.read()
    kills = agent.after(0.6).kills
    assert {kill.container for kill in kills} == {"name-a"}
    assert sum(kill.processes for kill in kills) == 7


def test_what_no_container_can_be_named_for_is_recorded_for_its_pod_and_called_unattributed(world: World) -> None:
    agent = Agent(world)
    world.kill(f"{POD}/{'c' * 64}")
    agent.read()
    found = agent.after(0.6)
    (kill,) = found.kills
    assert (kill.pod, kill.container) == ("herder-1", None)
    assert found.unattributed == (kill,)


def test_kills_of_live_containers_leave_nothing_for_the_audit_to_find(world: World) -> None:
    agent = Agent(world)
    for _ in range(5):
        world.kill(A)
        world.kill(B)
    agent.read(ROOT, POD)
    assert agent.after(0.1).kills == ()
    agent.read()
    assert len(agent.after(0.1).kills) == 10
    agent.read()
    assert agent.after(1.0).kills == ()


def test_a_kill_outside_of_pods_is_the_nodes(world: World) -> None:
    agent = Agent(world)
    world.node_kills += 1
    agent.attribution.reported(report("system.slice/backup.service", 5), world.now)
    agent.attribution.counted_node(world.node_kills, world.now)
    found = agent.after(0.6)
    (kill,) = found.kills
    assert kill.cgroup_path == "system.slice/backup.service"
    assert (kill.pod, kill.container, kill.outcome) == (None, None, None)
    assert found.unattributed == ()


def test_an_agent_that_starts_anew_finds_what_was_killed_meanwhile_and_nothing_twice(world: World) -> None:
    first = Agent(world)
    world.kill(A)
    first.read()
    assert len(first.after(0.031).kills) == 1
    world.kill(A)
    world.kill(B)
    second = Agent(world, kept=dict(first.kept), seen_this_boot=True)
    kills = second.after(0.031).kills
    assert sorted(k.container or "" for k in kills) == ["name-a", "name-b"]
    assert {k.kill_id for k in kills} == {f"boot-{world.cgroups[A].inode}-2", f"boot-{world.cgroups[B].inode}-1"}
    second.read()
    assert second.after(1.0).kills == ()


def test_a_container_born_while_no_agent_ran_counts_from_zero(world: World) -> None:
    first = Agent(world)
    first.after(0.1)
    late = f"{POD}/{'d' * 64}"
    world.make(late)
    world.kill(late)
    second = Agent(world, kept=dict(first.kept), seen_this_boot=True)
    (kill,) = second.after(0.6).kills
    assert kill.container == "name-d"


def test_kills_before_the_boots_first_agent_are_not_told(world: World) -> None:
    world.kill(A)
    world.kill(f"{POD}/{'e' * 64}")
    agent = Agent(world)
    agent.read()
    assert agent.after(1.0).kills == ()


def test_the_limit_of_a_pod_with_one_container_is_called_the_containers(world: World) -> None:
    world.limits = {A: 256, POD: 256}
    world.remove(B)
    agent = Agent(world)
    world.kill(A, limit_of=POD)
    agent.attribution.reported(report(A, 1, domain=POD), world.now)
    agent.read()
    assert agent.after(0.0).kills[0].scope is Scope.CONTAINER


def test_a_limit_of_the_pod_that_all_its_containers_have_is_the_pods(world: World) -> None:
    """The kubelet gives a limit that is set for the pod to each container without one (KEP-2837)."""
    world.limits = {A: 256, B: 256, POD: 256}
    agent = Agent(world)
    for sequence in (1, 20):
        world.kill(A, limit_of=POD)
        agent.attribution.reported(report(A, sequence, sequence=sequence, domain=POD), world.now)
    world.kill(B, limit_of=POD)
    agent.read()
    assert [kill.scope for kill in agent.after(0.1).kills] == [Scope.POD] * 3


@pytest.mark.parametrize(("domain", "scope"), [(A, Scope.CONTAINER), (POD, Scope.POD), (ROOT, Scope.KUBEPODS)])
def test_without_a_report_the_limit_is_that_of_the_level_whose_oom_rose(
    world: World, domain: str, scope: Scope
) -> None:
    agent = Agent(world)
    world.kill(A, limit_of=domain)
    agent.read()
    assert agent.after(0.031).kills[0].scope is scope


def test_whose_limit_it_was_is_asked_of_the_levels_above_when_their_word_has_not_come_yet(world: World) -> None:
    """Nothing is waited for without a log, and the container's notification may be read before its pod's."""
    agent = Agent(world, kmsg=False)
    world.kill(A, limit_of=POD)
    agent.read(A)
    (kill,) = agent.after(0.0).kills
    assert kill.scope is Scope.POD
    agent.read()
    assert agent.after(1.0).kills == ()


def test_a_kill_of_pid_1_is_the_containers_death(world: World) -> None:
    world.inits[A] = 500
    agent = Agent(world)
    world.kill(A)
    agent.attribution.reported(report(A, 500), world.now)
    agent.read()
    assert agent.after(0.0).kills[0].outcome is Outcome.DIED


def test_a_container_that_goes_on_is_called_survived_half_a_second_later(world: World) -> None:
    agent = Agent(world)
    world.kill(A)
    agent.attribution.reported(report(A, 7), world.now)
    agent.read()
    (kill,) = agent.after(0.0).kills
    assert kill.outcome is None
    (settled,) = agent.after(0.5).settled
    assert (settled.kill_id, settled.outcome) == (kill.kill_id, Outcome.SURVIVED)


def test_a_container_that_ends_soon_after_is_called_died_as_soon_as_it_is_gone(world: World) -> None:
    agent = Agent(world)
    world.kill(A)
    agent.attribution.reported(report(A, 7), world.now)
    agent.read()
    agent.after(0.0)
    agent.attribution.removed(world.remove(A), world.now)
    (settled,) = agent.after(0.0).settled
    assert settled.outcome is Outcome.DIED


def test_a_container_whose_name_the_api_has_not_told_is_waited_for(world: World) -> None:
    world.unnamed.add(A)
    agent = Agent(world)
    world.kill(A)
    agent.attribution.reported(report(A, 7), world.now)
    agent.read()
    assert agent.after(0.1).kills == ()
    world.unnamed.clear()
    assert agent.after(0.0).kills[0].container == "name-a"


def test_a_name_that_never_comes_is_not_waited_for_for_ever(world: World) -> None:
    world.unnamed.add(A)
    agent = Agent(world)
    world.kill(A)
    agent.read()
    (kill,) = agent.after(5.1).kills
    assert (kill.container, kill.container_id) == (None, "a" * 64)


def test_a_report_that_no_counter_asks_for_is_given_up_and_counted(world: World) -> None:
    agent = Agent(world)
    agent.attribution.reported(report(A, 1), world.now)
    assert agent.after(1.0).unmatched_reports == 0
    assert agent.attribution.oldest_waiting_sequence == 1
    assert agent.after(10.0).unmatched_reports == 1
    assert agent.attribution.oldest_waiting_sequence is None


def test_the_hit_of_the_next_kill_that_is_read_with_this_ones_is_not_lost_for_it(world: World) -> None:
    """The limit's hit is counted before its kill, so in a storm a reading often holds one more of them."""
    agent = Agent(world, kmsg=False)
    world.kill(A)
    world.hit(A)
    agent.read()
    assert agent.after(0.0).kills[0].scope is Scope.CONTAINER
    world.kill(A, hit=False)
    agent.read()
    assert agent.after(0.0).kills[0].scope is Scope.CONTAINER


def test_a_hit_that_led_to_no_kill_does_not_blame_the_container_for_a_later_one(world: World) -> None:
    agent = Agent(world, kmsg=False)
    world.hit(A)
    agent.read()
    agent.after(31.0)
    world.kill(A, hit=False)
    agent.read()
    assert agent.after(0.0).kills[0].scope is None


@pytest.mark.parametrize("another", [False, True])
def test_of_kills_while_no_agent_ran_no_container_is_named_but_by_the_log_since_others_may_have_come_and_gone(
    world: World, another: bool
) -> None:
    agent = Agent(world)
    kept = {b.inode: b for b in agent.after(0.0).baselines}
    gone = world.cgroups[A].inode
    world.remove(A)
    if another:
        world.make(f"{POD}/{'c' * 64}")
        world.kill(f"{POD}/{'c' * 64}", raw=2)
        world.remove(f"{POD}/{'c' * 64}")
    else:
        world.kill(POD, raw=2, limit_of=POD)
    later = Agent(world, kept, seen_this_boot=True)
    assert later.attribution.forget_removed() == (gone,)
    later.read()
    found = later.after(0.6)
    assert [(kill.pod, kill.container) for kill in found.kills] == [("herder-1", None)] * 2
    assert found.unattributed == found.kills


def test_a_container_that_went_while_no_agent_ran_is_named_when_the_log_names_it(world: World) -> None:
    agent = Agent(world)
    kept = {b.inode: b for b in agent.after(0.0).baselines}
    world.kill(A)
    world.remove(A)
    later = Agent(world, kept, seen_this_boot=True)
    later.attribution.forget_removed()
    later.attribution.reported(report(A, 9), world.now)
    later.read()
    (kill,) = later.after(0.6).kills
    assert (kill.container, kill.outcome) == ("name-a", None), "it may have survived, and been removed by its owner"


@pytest.mark.parametrize(("missed_kills", "later_kills"), [(2, 0), (0, 1)])
def test_a_container_that_came_and_went_before_anyone_looked_is_named_for_what_its_pod_shows_from_then_on(
    world: World, missed_kills: int, later_kills: int
) -> None:
    agent = Agent(world)
    agent.attribution.removed(world.remove(A), world.now)
    agent.after(0.1)
    missed = f"{POD}/{'c' * 64}"
    world.make(missed)
    world.kill(missed, raw=missed_kills)
    agent.attribution.missed(world.remove(missed).place, world.now)
    agent.after(0.1)
    world.kill(B, raw=later_kills)
    agent.attribution.removed(world.remove(B), world.now)
    agent.read()
    kills = agent.after(0.6).kills
    assert [kill.container for kill in kills] == ["name-c"] * missed_kills + ["name-b"] * later_kills


@pytest.mark.parametrize("pod_is_read", [True, False])
def test_a_kill_that_waits_for_its_containers_name_is_not_recorded_for_a_level_above_when_the_pod_goes(
    world: World, pod_is_read: bool
) -> None:
    agent = Agent(world)
    world.unnamed.add(A)
    world.kill(A, raw=2)
    agent.read(*([A, POD, ROOT] if pod_is_read else [A]))
    agent.after(0.1)
    for path in (A, B, POD):
        agent.attribution.removed(world.remove(path), world.now)
    agent.attribution.reported(report(A, 1), world.now)
    recorded: list[str] = []
    for _ in range(12):
        agent.read()
        recorded += [kill.cgroup_path for kill in agent.after(0.5).kills]
    assert recorded == [A, A]


def test_a_kill_that_only_a_pods_counter_shows_waits_for_the_pods_name(world: World) -> None:
    world.unnamed.add(POD)
    agent = Agent(world)
    world.kill(f"{POD}/{'c' * 64}")
    agent.read()
    assert agent.after(1.0).kills == ()
    world.unnamed.discard(POD)
    (kill,) = agent.after(0.0).kills
    assert kill.pod == "herder-1"


def test_a_kill_in_a_pod_that_nobody_ever_names_is_recorded_in_the_end(world: World) -> None:
    world.unnamed.add(POD)
    agent = Agent(world)
    world.kill(f"{POD}/{'c' * 64}")
    agent.read()
    (kill,) = agent.after(5.1).kills
    assert kill.pod is None


def test_a_kill_in_a_pod_of_one_container_is_not_called_unattributed(world: World) -> None:
    world.only_containers[POD] = "main"
    agent = Agent(world)
    world.kill(f"{POD}/{'c' * 64}")
    agent.read()
    found = agent.after(0.6)
    assert [(kill.container, kill.container_id) for kill in found.kills] == [("main", None)]
    assert found.unattributed == ()


def test_a_container_that_vanished_where_counters_are_not_hierarchical_is_known_to_have_died(world: World) -> None:
    """cgroup v1: nothing above it remembers; /proc/vmstat counts, and the log names it."""
    world.cgroups = {A: world.cgroups[A]}  # the only kind that has a book there
    agent = Agent(world)
    world.node_kills += 1
    agent.attribution.reported(report(A, 9), world.now)
    agent.attribution.removed(world.remove(A), world.now)
    agent.attribution.counted_node(world.node_kills, world.now)
    (kill,) = agent.after(0.6).kills
    assert (kill.container, kill.outcome) == ("name-a", Outcome.DIED)


@pytest.mark.parametrize("told", [True, False])
def test_the_report_of_a_container_that_went_and_waits_for_its_name_is_not_given_to_its_pods_older_kill(
    world: World, told: bool
) -> None:
    """Seen in the soak: A died while no agent ran, and the log lost its report; B died at once, before the API had named it."""
    first = Agent(world)
    kept = {b.inode: b for b in first.after(0.0).baselines}
    world.kill(A, raw=3, groups=1, limit_of=POD)
    world.remove(A)
    agent = Agent(world, kept, seen_this_boot=True)
    agent.attribution.forget_removed()
    world.unnamed.add(B)
    agent.after(0.1)
    world.kill(B, raw=3, groups=1, limit_of=POD)
    agent.read()
    if told:
        agent.attribution.reported(report(B, 1, 2, group=B, domain=POD), world.now)
    agent.attribution.removed(world.remove(B), world.now)
    agent.read()
    (older,) = agent.after(0.6).kills
    world.unnamed.discard(B)
    (kill,) = agent.after(2.0).kills
    assert (older.cgroup_path, older.processes, older.victims) == (POD, 2, ())
    assert (kill.cgroup_path, kill.processes, len(kill.victims)) == (B, 2, 2 if told else 0)


def test_a_kill_that_nobody_reported_is_not_added_to_anothers_group_kill_that_only_their_pod_shows_too(
    world: World,
) -> None:
    """Both went while no agent ran, so nothing tells whether the rest are victims whose lines the log lost, or A's."""
    first = Agent(world)
    kept = {b.inode: b for b in first.after(0.0).baselines}
    world.kill(A, raw=2)
    world.kill(B, raw=3, groups=1)
    for path in (A, B):
        world.remove(path)
    agent = Agent(world, kept, seen_this_boot=True)
    agent.attribution.forget_removed()
    agent.attribution.reported(report(B, 1, 2, group=B), world.now)
    found = agent.after(0.6)
    assert [(kill.cgroup_path, kill.processes) for kill in found.kills] == [(B, 2), (POD, 1), (POD, 1)]


def test_victims_whose_lines_were_lost_count_for_the_group_kill_of_the_only_container_that_vanished(
    world: World,
) -> None:
    agent = Agent(world)
    world.kill(B, raw=5, groups=1)
    agent.attribution.reported(report(B, 1, 2, group=B), world.now)
    agent.attribution.removed(world.remove(B), world.now)
    (kill,) = agent.after(0.6).kills
    assert (kill.cgroup_path, kill.processes) == (B, 4)


def test_a_kill_whose_pod_went_with_its_container_keeps_its_report_while_it_waits_for_its_name(world: World) -> None:
    """Seen in the soak: what the root showed of another pod, unread and unreported, was told of this one."""
    first = Agent(world)
    other = f"{ROOT}/burstable/pod99999999-2222-3333-4444-555555555555"
    world.make(other, f"{other}/{'c' * 64}")
    first.see(other, f"{other}/{'c' * 64}")
    kept = {b.inode: b for b in first.after(0.0).baselines}
    world.kill(f"{other}/{'c' * 64}", raw=3, groups=1)
    world.remove(f"{other}/{'c' * 64}")
    world.remove(other)
    agent = Agent(world, kept, seen_this_boot=True)
    agent.attribution.forget_removed()
    world.unnamed.update((POD, A))
    world.kill(A, raw=3, groups=1)
    agent.read()
    agent.attribution.reported(report(A, 1, 2, group=A), world.now)
    for path in (A, B, POD):
        agent.attribution.removed(world.remove(path), world.now)
    (older,) = agent.after(0.6).kills
    (kill,) = agent.after(5.0).kills
    assert (older.cgroup_path, older.processes, older.victims) == (ROOT, 2, ())
    assert (kill.cgroup_path, kill.processes, len(kill.victims)) == (A, 2, 2)


def test_what_a_root_showed_as_an_agent_started_is_not_told_of_a_container_that_comes_and_goes_after(
    world: World,
) -> None:
    first = Agent(world)
    kept = {b.inode: b for b in first.after(0.0).baselines}
    late = f"{POD}/{'c' * 64}"
    world.kill(A)
    for path in (A, B, POD):
        world.remove(path)
    agent = Agent(world, kept, seen_this_boot=True)
    agent.attribution.forget_removed()
    world.make(POD, late)
    agent.see(POD, late)
    agent.attribution.removed(world.remove(late), world.now)
    agent.after(0.1)
    (kill,) = agent.after(0.6).kills
    assert kill.cgroup_path == ROOT


def test_of_many_pods_no_more_are_read_than_explain_what_their_root_shows(world: World) -> None:
    """Those that changed last are read first: in a storm the next kill is most often theirs."""
    pods = [POD.replace("11111111", f"{number:08x}") for number in range(0x20000000, 0x20000000 + 500)]
    world.make(*pods)
    agent = Agent(world)
    world.now += 1.0
    world.kill(pods[250])
    agent.read()
    assert [kill.cgroup_path for kill in agent.after(0.6).kills] == [pods[250]]
    world.kill(pods[250])
    agent.read(ROOT)
    world.reads.clear()
    assert agent.after(0.6).kills == ()
    assert world.reads == [ROOT, pods[250], NODE.path]


@pytest.mark.parametrize("every_s", [0.4, 1.0, 1.9])
def test_kills_that_follow_one_another_for_long_are_not_put_off_for_as_long(world: World, every_s: float) -> None:
    """Group kills of a cgroup inside a container that lives on: each could be joined by more victims."""
    agent = Agent(world, kmsg=False)
    recorded, began_s = 0, world.now
    while world.now - began_s < 20:
        world.kill(A, raw=3, groups=1)
        world.empty.discard(A)
        agent.read()
        recorded += len(agent.after(every_s).kills)
    assert recorded >= 3


def outcomes(agent: Agent, wait_s: float = 1.0) -> list[Outcome | None]:
    """Of all that is settled within some seconds."""
    return [kill.outcome for _ in range(8) for kill in agent.after(wait_s).settled]


def test_whether_a_container_that_was_removed_while_no_agent_ran_had_survived_is_not_known(world: World) -> None:
    kept = dict(Agent(world).kept)
    kept |= {b.inode: b for b in Agent(world).after(0.0).baselines}
    for _ in range(4):
        world.kill(A)
    world.remove(A)
    later = Agent(world, kept, seen_this_boot=True)
    later.attribution.forget_removed()
    later.read()
    assert outcomes(later) == [None] * 4


@pytest.mark.parametrize("how", ["removed", "dead", "alive"])
def test_a_kill_that_was_counted_when_the_agent_went_on_after_a_stop_is_not_called_deadly(
    world: World, how: str
) -> None:
    agent = Agent(world)
    agent.after(1.0)
    world.kill(A)
    world.now += 45.0
    agent.attribution.was_away(world.now)
    agent.read()
    if how == "removed":
        agent.attribution.removed(world.remove(A), world.now)
    if how == "dead":
        world.dead.add(A)
    assert outcomes(agent) == [Outcome.SURVIVED if how == "alive" else None]


def test_a_kill_that_was_recorded_just_before_the_agent_was_stopped_is_not_called_deadly_afterwards(
    world: World,
) -> None:
    agent = Agent(world)
    agent.after(1.0)
    world.kill(A)
    agent.read()
    assert len(agent.after(0.04).kills) == 1
    world.now += 45.0
    agent.attribution.was_away(world.now)
    agent.attribution.removed(world.remove(A), world.now)
    assert outcomes(agent) == [None]


def test_a_group_kill_while_no_agent_ran_is_known_to_have_been_deadly(world: World) -> None:
    kept = {b.inode: b for b in Agent(world).after(0.0).baselines}
    world.kill(A, raw=6, groups=1)
    world.remove(A)
    later = Agent(world, kept, seen_this_boot=True)
    later.attribution.forget_removed()
    later.attribution.reported(report(A, 1, 2, 3, 4, 5, group=A), world.now)
    later.read()
    found = [later.after(1.0) for _ in range(6)]
    (kill,) = [kill for one in found for kill in one.kills]
    assert (kill.processes, [v.pid for v in kill.victims], kill.outcome) == (5, [1, 2, 3, 4, 5], Outcome.DIED)


def test_a_report_of_a_kill_that_an_earlier_agent_recorded_without_it_is_not_anothers(world: World) -> None:
    """That agent was killed before it had read the report. Meanwhile the container beside it was killed, and is gone."""
    before = Agent(world)
    before.after(1.0)
    world.now = 10.0
    world.kill(A)
    before.read()
    (recorded,) = before.after(1.0).kills
    assert recorded.details_missing
    kept = dict(before.kept)
    world.kill(B)
    world.remove(B)
    later = Agent(world, kept, seen_this_boot=True)
    later.attribution.forget_removed()
    later.attribution.resume([recorded], world.now)
    later.attribution.reported(replace(report(A, 7), at_us=10_000_000), world.now)
    later.read()
    found = [later.after(1.0) for _ in range(6)]
    (late,) = [kill for one in found for kill in one.amended]
    (kill,) = [kill for one in found for kill in one.kills]
    assert (late.kill_id, [v.pid for v in late.victims]) == (recorded.kill_id, [7])
    assert (kill.victims, kill.container_id) == ((), None), (
        "nobody knows the container, and it is not that of another's report"
    )


def test_as_many_kills_as_a_storm_has_keep_the_reports_that_their_agent_had_not_read(world: World) -> None:
    """Seen in the storm: the report of one of more than a hundred named a later kill of the same pod, in another container."""
    before = Agent(world)
    before.after(1.0)
    world.now = 10.0
    others = f"{POD}/{'c' * 64}"
    world.make(others)
    before.see(others)
    recorded: list[OomKill] = []
    for path in [A, *[others] * 500]:
        world.kill(path)
        before.read()
        recorded += before.after(0.04).kills
    assert all(kill.details_missing for kill in recorded)
    world.kill(B)
    world.remove(B)
    later = Agent(world, dict(before.kept), seen_this_boot=True, recorded=tuple(reversed(recorded)))
    later.attribution.forget_removed()
    later.attribution.reported(replace(report(A, 7), at_us=10_000_000), world.now)
    later.read()
    found = [later.after(1.0) for _ in range(6)]
    assert [kill.victims[0].pid for one in found for kill in one.amended] == [7]
    assert [kill.container_id for one in found for kill in one.kills] == [None]


def test_a_report_is_not_too_late_for_its_kill_while_the_log_is_read_slowly(world: World) -> None:
    agent = Agent(world)
    world.kill(A)
    agent.read()
    (kill,) = agent.after(0.5).kills
    assert kill.details_missing
    agent.attribution.log_read(unread=True, now_s=world.now)
    assert agent.after(20.0).amended == ()
    agent.attribution.reported(report(A, 7), world.now)
    (late,) = agent.after(0.0).amended
    assert [v.pid for v in late.victims] == [7]


def test_a_report_from_after_a_kill_that_an_earlier_agent_recorded_is_not_its_own(world: World) -> None:
    before = Agent(world)
    before.after(1.0)
    world.now = 10.0
    world.kill(A)
    before.read()
    (recorded,) = before.after(1.0).kills
    later = Agent(world, dict(before.kept), seen_this_boot=True)
    later.attribution.resume([recorded], world.now)
    world.now = 20.0
    world.kill(A)
    later.attribution.reported(replace(report(A, 8), at_us=20_000_000), world.now)
    later.read()
    found = [later.after(1.0) for _ in range(2)]
    assert [kill for one in found for kill in one.amended] == []
    assert [[v.pid for v in kill.victims] for one in found for kill in one.kills] == [[8]]


@pytest.mark.parametrize(("removed", "outcome"), [(True, Outcome.DIED), (False, Outcome.SURVIVED)])
def test_a_group_kill_in_cruns_child_of_a_container_took_all_of_it_if_nothing_is_left(
    world: World, removed: bool, outcome: Outcome
) -> None:
    """With another runtime, a child of that name is the tenant's, and the container may live on."""
    agent = Agent(world)
    agent.after(1.0)
    world.kill(A, raw=3, groups=1)
    world.now += 45.0
    agent.attribution.was_away(world.now)
    agent.attribution.reported(report(A, 1, 2, group=f"{A}/container"), world.now)
    if removed:
        agent.attribution.removed(world.remove(A), world.now)
    else:
        world.empty.clear()
    agent.read()
    assert outcomes(agent) == [outcome]


@pytest.mark.parametrize("alive_then", [True, False])
def test_a_container_that_the_agent_ended_had_survived_the_kill_if_it_lived_then(
    world: World, alive_then: bool
) -> None:
    agent = Agent(world)
    agent.after(1.0)
    world.kill(A)
    agent.read()
    agent.after(0.04)
    world.ended[world.cgroups[A].inode] = alive_then
    agent.attribution.removed(world.remove(A), world.now)
    assert outcomes(agent) == [Outcome.SURVIVED if alive_then else Outcome.DIED]


@pytest.mark.parametrize("read", [True, False])
def test_a_container_of_a_pod_that_is_being_deleted_may_have_been_ended_by_that(world: World, read: bool) -> None:
    agent = Agent(world)
    agent.after(1.0)
    world.kill(A)
    world.deleted_pods.add(POD)
    if read:
        agent.read()
        agent.after(0.04)
    agent.attribution.removed(world.remove(A), world.now)
    agent.read()
    assert outcomes(agent) == [None]


def test_a_group_kill_in_a_part_of_a_container_without_a_report_is_not_called_deadly_while_it_lives(
    world: World,
) -> None:
    agent = Agent(world, kmsg=False)
    agent.after(1.0)
    world.kill(A, raw=3, groups=1)
    world.empty.clear()
    agent.read()
    assert outcomes(agent) == [Outcome.SURVIVED]


def test_the_agents_own_group_kill_is_one_kill_with_all_its_victims(world: World) -> None:
    """It may be run for a moment between two victims: it records nothing of it, and its successor everything."""
    agent = Agent(world)
    world.grouped.add(A)
    agent.after(1.0)
    kept = dict(agent.kept)
    world.kill(A, raw=2, groups=1)
    world.empty.clear()  # the agent itself is left in it
    agent.attribution.reported(report(A, 1, group=A), world.now)
    agent.read()
    assert [agent.after(0.1).kills for _ in range(10)] == [()] * 10
    world.kill(A, raw=4)
    world.remove(A)
    world.make(f"{POD}/{'c' * 64}")
    later = Agent(world, kept | agent.kept, seen_this_boot=True)
    later.attribution.forget_removed()
    later.attribution.reported(report(A, 1, 2, 3, 4, 5, group=A), world.now)
    later.read()
    kills = [kill for _ in range(6) for kill in later.after(1.0).kills]
    assert [(kill.processes, len(kill.victims), kill.outcome) for kill in kills] == [(5, 5, Outcome.DIED)]
