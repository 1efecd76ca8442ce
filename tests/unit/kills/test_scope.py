"""Which limit was hit: never the node's but where the log says so, or where no limit can have been."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.kills.builder import with_details
from agent.model import MemoryEvents, MemoryUse, OomKill, OomReport, Scope
from tests.unit.kills.world import POD, ROOT, A, Agent, B, World, report

C = f"{POD}/{'c' * 64}"
QOS = f"{ROOT}/burstable"
QUIET_S = 121.0  # longer than limits.NO_HIT_S


@pytest.fixture
def world() -> World:
    world = World()
    world.make(ROOT, POD, A, B)
    return world


def of_the_node(told: OomReport) -> OomReport:
    """The same report of a kill by the node's shortage: ``Out of memory: Killed process``."""
    return replace(told, global_oom=True, oom_memcg=None)


def scopes(agent: Agent, seconds: float = 0.5) -> list[Scope | None]:
    return [kill.scope for kill in agent.after(seconds).kills]


def the_kill(agent: Agent, seconds: float = 0.5) -> OomKill:
    (kill,) = agent.after(seconds).kills
    return kill


def hit_without_kill(agent: Agent, path: str) -> None:
    """A limit's hit that is read, and expires: no kill comes of it."""
    agent.world.hit(path)
    agent.read()
    agent.after(31.0)


def test_a_limit_that_is_reached_all_the_time_keeps_no_old_hit(world: World) -> None:
    """memory.events changes with each time, which says nothing about hits without anything to reclaim."""
    agent = Agent(world)
    world.hit(A)
    for number in range(1, 5):
        world.tallies[A] = replace(world.tallies[A], local_max=number)
        agent.read()
        agent.after(10.0)
    world.kill(A, hit=False)
    agent.read()
    assert scopes(agent) == [None]


# --------------------------------------------------------------------------------------------------- with the kernel's log


def test_a_kill_whose_limits_hit_was_dropped_is_of_no_known_limit_and_not_the_nodes(world: World) -> None:
    """Seen on a cluster: told as the whole node's, with 5.5 GB free."""
    agent = Agent(world)
    hit_without_kill(agent, A)
    world.kill(A, hit=False)
    agent.read()
    assert scopes(agent) == [None]


def test_the_report_without_a_cgroup_that_says_memory_cgroup_excludes_the_node(world: World) -> None:
    agent = Agent(world)
    world.kill(A, hit=False)
    agent.attribution.reported(report(None, 77), world.now)
    agent.read()
    kill = the_kill(agent)
    assert [victim.pid for victim in kill.victims] == [77]
    assert kill.scope is None


def test_reports_without_a_cgroup_that_several_could_mean_make_none_of_them_the_nodes(world: World) -> None:
    agent = Agent(world)
    for path, pid in ((A, 77), (B, 78)):
        world.kill(path, hit=False)
        agent.attribution.reported(report(None, pid, sequence=pid), world.now)
    agent.read()
    assert scopes(agent) == [None, None]


def test_a_kill_without_hit_has_its_report_waited_for_since_only_that_can_say_whose_it_is(world: World) -> None:
    agent = Agent(world)
    world.kill(A, hit=False)
    agent.read()
    assert agent.after(0.4).kills == ()
    agent.attribution.reported(of_the_node(report(A, 7)), world.now)
    assert scopes(agent, 0.0) == [Scope.NODE]


def test_the_nodes_report_that_lost_its_cgroup_is_given_to_the_only_container_that_counted(world: World) -> None:
    agent = Agent(world)
    world.kill(A, hit=False)
    agent.attribution.reported(of_the_node(report(None, 77)), world.now)
    agent.read()
    kill = the_kill(agent)
    assert (kill.scope, [victim.pid for victim in kill.victims]) == (Scope.NODE, [77])


def test_the_nodes_report_that_lost_its_cgroup_may_be_of_a_process_outside_of_pods(world: World) -> None:
    agent = Agent(world)
    world.kill(A, hit=False)
    world.node_kills += 1
    agent.attribution.reported(of_the_node(report(None, 77)), world.now)
    agent.read()
    assert [(kill.scope, kill.victims) for kill in agent.after(0.5).kills if kill.cgroup_path == A] == [(None, ())]


def test_the_nodes_report_that_lost_its_cgroup_is_not_given_to_a_kill_at_a_limit(world: World) -> None:
    agent = Agent(world)
    world.kill(A)
    agent.attribution.reported(of_the_node(report(None, 77)), world.now)
    agent.read()
    kill = the_kill(agent)
    assert (kill.scope, kill.victims) == (Scope.CONTAINER, ())


def test_a_report_that_names_the_victims_cgroup_and_no_limit_leaves_the_limit_to_the_hits(world: World) -> None:
    """As found by the dying process' own /proc/PID/cgroup."""
    agent = Agent(world)
    for path, hit in ((A, True), (B, False)):
        world.kill(path, hit=hit, limit_of=POD)
        agent.attribution.reported(replace(report(path, 7, sequence=len(path)), oom_memcg=None), world.now)
        agent.read()
        assert scopes(agent) == [Scope.POD if hit else None]


def test_the_log_says_that_it_was_the_node_also_where_a_limit_was_hit_just_then(world: World) -> None:
    agent = Agent(world)
    world.kill(A)
    agent.attribution.reported(of_the_node(report(A, 7)), world.now)
    agent.read()
    assert scopes(agent, 0.0) == [Scope.NODE]
    world.kill(A, hit=False)
    agent.read()
    assert scopes(agent) == [Scope.CONTAINER], "the hit was not the node's kill's, and is there still"


# ---------------------------------------------------------------------------------------------------- each hit to its kill


def test_a_group_kill_takes_one_hit_however_many_processes_it_took(world: World) -> None:
    agent = Agent(world)
    world.kill(A, raw=4, groups=1)
    world.hit(A)
    agent.read()
    assert scopes(agent) == [Scope.CONTAINER]
    world.kill(A, hit=False)
    agent.read()
    assert scopes(agent) == [Scope.CONTAINER]


def test_each_of_several_kills_in_one_reading_takes_a_hit_of_its_own(world: World) -> None:
    agent = Agent(world)
    world.kill(A)
    world.kill(A, limit_of=POD)
    world.kill(A, hit=False)
    agent.read()
    assert scopes(agent) == [Scope.CONTAINER, Scope.POD, None]


@pytest.mark.parametrize("kmsg", [True, False], ids=["log", "no log"])
def test_a_kill_at_a_containers_limit_leaves_the_pods_hit_to_the_kill_that_it_is_of(world: World, kmsg: bool) -> None:
    agent = Agent(world, kmsg=kmsg)
    world.hit(POD)
    world.kill(A)
    world.kill(B, hit=False)
    agent.read()
    found = {kill.cgroup_path: kill.scope for kill in agent.after(0.5).kills}
    assert found == {A: Scope.CONTAINER, B: Scope.POD}


@pytest.mark.parametrize("kmsg", [True, False], ids=["log", "no log"])
def test_of_two_levels_hits_nobody_knows_which_one_the_first_kill_is_of_while_the_other_is_yet_to_come(
    world: World, kmsg: bool
) -> None:
    """Seen in the storm after kill -9: a kill at the pod's limit, while the container's was hit for the next one."""
    agent = Agent(world, kmsg=kmsg)
    world.hit(A)
    world.kill(A, limit_of=POD)
    agent.read()
    assert scopes(agent) == [None]
    world.kill(A, hit=False)
    agent.read()
    assert scopes(agent) == [None], "the hits of both are used up"
    world.kill(A, limit_of=POD)
    agent.read()
    assert scopes(agent) == [Scope.POD]


def test_another_containers_kill_may_be_of_the_dropped_hit_of_the_pods_limit(world: World) -> None:
    """The first kill may have been of A's own limit: then the pod's was hit for this one."""
    agent = Agent(world)
    for path in (A, B):
        world.hit(path)
    world.kill(A, limit_of=POD)
    agent.read()
    assert scopes(agent) == [None]
    world.kill(B, hit=False)
    agent.read()
    assert scopes(agent) == [None]


def test_nor_does_a_group_kill_use_up_more_than_one_of_them(world: World) -> None:
    agent = Agent(world)
    world.hit(A)
    world.kill(A, raw=5, groups=1, limit_of=POD)
    agent.read()
    assert scopes(agent) == [None]


def test_a_kill_with_a_report_of_its_limit_leaves_the_other_hit_to_the_next(world: World) -> None:
    agent = Agent(world)
    world.hit(A)
    world.kill(A, limit_of=POD)
    agent.attribution.reported(report(A, 7, domain=POD), world.now)
    agent.read()
    assert scopes(agent) == [Scope.POD]
    world.kill(A, hit=False)
    agent.read()
    assert scopes(agent) == [Scope.CONTAINER]


def test_a_hit_that_an_agent_finds_at_its_start_is_there_for_the_kill_that_follows(world: World) -> None:
    """kill -9 between a hit and its kill: seen in the storm."""
    first = Agent(world)
    kept = {b.inode: b for b in first.after(0.0).baselines}
    world.hit(A)
    agent = Agent(world, kept, seen_this_boot=True)
    world.kill(A, hit=False)
    agent.read()
    assert scopes(agent) == [Scope.CONTAINER]


def test_the_hit_of_a_kill_while_no_agent_ran_is_found_with_it(world: World) -> None:
    first = Agent(world)
    world.kill(A)
    first.read()
    first.after(0.5)
    world.kill(A)
    agent = Agent(world, dict(first.kept), seen_this_boot=True)
    assert scopes(agent) == [Scope.CONTAINER]


@pytest.mark.parametrize("domain", [A, POD, ROOT])
def test_a_reading_that_has_a_kill_and_lacks_its_hit_is_not_believed_to_have_none(world: World, domain: str) -> None:
    """The kernel prints ``oom`` before ``oom_kill``, and both may rise in between."""
    agent = Agent(world, kmsg=False)
    world.kill(A, hit=False)
    agent.read()
    world.hit(domain)
    expected = {A: Scope.CONTAINER, POD: Scope.POD, ROOT: Scope.KUBEPODS}[domain]
    assert scopes(agent, 0.0) == [expected]
    world.kill(A, hit=False)
    agent.read()
    assert scopes(agent, 0.0) == [None], "it was taken"


# -------------------------------------------------------------------------------------------------- what nobody could read


@pytest.mark.parametrize("told", [True, False], ids=["end told", "end not told yet"])
@pytest.mark.parametrize("kmsg", [True, False], ids=["log", "no log"])
@pytest.mark.parametrize(("domain", "scope"), [(A, Scope.CONTAINER), (POD, Scope.POD), (ROOT, Scope.KUBEPODS)])
def test_of_a_container_that_went_before_its_hit_was_read_the_levels_above_tell(
    world: World, domain: str, scope: Scope, kmsg: bool, told: bool
) -> None:
    agent = Agent(world, kmsg=kmsg)
    world.kill(A, hit=False)
    agent.read(A)
    world.hit(domain)
    cgroup = world.remove(A)
    if told:
        agent.attribution.removed(cgroup, world.now)
    assert scopes(agent) == [scope]


@pytest.mark.parametrize("kmsg", [True, False], ids=["log", "no log"])
def test_of_a_container_that_went_a_living_ones_hit_does_not_tell(world: World, kmsg: bool) -> None:
    agent = Agent(world, kmsg=kmsg)
    world.kill(A, hit=False)
    agent.read(A)
    world.hit(B)
    agent.attribution.removed(world.remove(A), world.now)
    assert scopes(agent) == [None]


@pytest.mark.parametrize("kmsg", [True, False], ids=["log", "no log"])
@pytest.mark.parametrize(("domain", "scope"), [(A, None), (POD, None), (QOS, None), (ROOT, Scope.KUBEPODS)])
def test_what_a_root_shows_of_a_pod_that_went_is_not_the_nodes(
    world: World, domain: str, scope: Scope | None, kmsg: bool
) -> None:
    """Below a root it may have been the container's limit, its pod's, or that of all pods of a class."""
    agent = Agent(world, kmsg=kmsg)
    world.kill(A, limit_of=domain)
    for cgroup in [world.remove(path) for path in (A, B, POD)]:
        agent.attribution.removed(cgroup, world.now)
    agent.read()
    kill = the_kill(agent, 0.6)
    assert kill.kill_id.startswith(f"boot-{world.cgroups[ROOT].inode}-")
    assert kill.scope is scope


@pytest.mark.parametrize("kmsg", [True, False], ids=["log", "no log"])
def test_what_a_pod_shows_without_a_hit_is_not_the_nodes(world: World, kmsg: bool) -> None:
    agent = Agent(world, kmsg=kmsg)
    hit_without_kill(agent, ROOT)
    world.kill(C, hit=False)
    agent.read()
    kill = the_kill(agent, 0.6)
    assert (kill.cgroup_path, kill.scope) == (POD, None)


# ------------------------------------------------------------------------------------------------------ a report comes late


@pytest.mark.parametrize(
    ("late", "scope"),
    [
        (of_the_node(report(A, 9)), Scope.NODE),
        (report(A, 9, domain=POD), Scope.POD),
        (report(A, 9), Scope.CONTAINER),
        (replace(report(A, 9), oom_memcg=None), None),
    ],
    ids=["node", "pod", "container", "no limit"],
)
def test_a_late_report_says_what_was_not_known(world: World, late: OomReport, scope: Scope | None) -> None:
    agent = Agent(world)
    world.kill(A, hit=False)
    agent.read()
    assert the_kill(agent).scope is None
    agent.attribution.reported(late, world.now)
    found = agent.after(0.1)
    assert [kill.scope for kill in found.amended] == [scope]


def test_a_late_report_corrects_what_the_counters_said(world: World) -> None:
    agent = Agent(world)
    world.limits = {A: 64}
    world.kill(A)
    agent.read()
    kill = the_kill(agent, 0.1)
    assert (kill.scope, kill.limit_bytes) == (Scope.CONTAINER, 64)
    agent.attribution.reported(of_the_node(report(A, 9)), world.now)
    assert [(k.scope, k.limit_bytes) for k in agent.after(0.1).amended] == [(Scope.NODE, None)]


def test_a_late_report_that_says_no_limit_leaves_the_one_that_is_known(world: World) -> None:
    agent = Agent(world)
    world.limits = {A: 64}
    world.kill(A)
    agent.read()
    agent.after(0.1)
    agent.attribution.reported(replace(report(A, 9), oom_memcg=None), world.now)
    assert [(k.scope, k.limit_bytes) for k in agent.after(0.1).amended] == [(Scope.CONTAINER, 64)]


def test_a_report_that_says_memory_cgroup_takes_back_that_it_was_the_node(world: World) -> None:
    agent = Agent(world, kmsg=False)
    world.kill(A, hit=False)
    agent.read()
    kill = the_kill(agent)
    assert kill.scope is Scope.NODE
    assert with_details(kill, replace(report(A, 9), oom_memcg=None), world).scope is None


# ------------------------------------------------------------------------------------------------------------ without a log


def test_without_a_log_it_was_the_node_if_no_limit_of_pods_was_ever_hit(world: World) -> None:
    agent = Agent(world, kmsg=False)
    world.kill(A, hit=False)
    agent.read()
    assert scopes(agent) == [Scope.NODE]
    world.kill(A, hit=False)
    later = Agent(world, dict(agent.kept), seen_this_boot=True, kmsg=False)
    assert scopes(later) == [Scope.NODE], "while no agent ran"


@pytest.mark.parametrize("domain", [A, B, POD, QOS, ROOT])
def test_without_a_log_it_was_the_node_if_no_limit_of_pods_was_hit_for_long(world: World, domain: str) -> None:
    agent = Agent(world, kmsg=False)
    hit_without_kill(agent, domain)
    world.kill(A, hit=False)
    agent.read()
    assert scopes(agent) == [None], "31 s after a hit"
    agent.after(QUIET_S)
    agent.read()
    world.kill(A, hit=False)
    agent.after(1.0)
    agent.read()
    assert scopes(agent) == [Scope.NODE]


def test_a_limit_of_all_burstable_pods_is_not_the_nodes(world: World) -> None:
    """--qos-reserved: the level keeps no books of its own, and the root counts its hits."""
    agent = Agent(world, kmsg=False)
    world.kill(A, limit_of=QOS)
    agent.read()
    assert scopes(agent) == [None]


def test_an_agent_that_slept_does_not_know_that_no_limit_was_hit(world: World) -> None:
    """Its last look was right after the hit, and the kill may have come any time since."""
    agent = Agent(world, kmsg=False)
    world.hit(B)
    agent.read()
    world.kill(A, hit=False)
    agent.after(QUIET_S)
    agent.read()
    assert scopes(agent) == [None]


def test_what_was_killed_while_no_agent_ran_is_not_the_nodes_where_limits_were_hit_before(world: World) -> None:
    first = Agent(world, kmsg=False)
    hit_without_kill(first, A)
    kept = {b.inode: b for b in first.after(0.0).baselines}
    world.kill(A)
    world.kill(B, hit=False)
    later = Agent(world, kept | dict(first.kept), seen_this_boot=True, kmsg=False)
    assert {kill.cgroup_path: kill.scope for kill in later.after(0.5).kills} == {A: Scope.CONTAINER, B: None}


def test_a_kill_that_waits_for_its_name_meanwhile_does_not_become_the_nodes(world: World) -> None:
    agent = Agent(world, kmsg=False)
    hit_without_kill(agent, B)
    world.unnamed.add(A)
    world.kill(A, hit=False)
    agent.read()
    for _ in range(4):
        assert agent.after(1.0).kills == ()
        agent.read()
    assert scopes(agent, 1.1) == [None]


def test_a_root_that_can_not_be_read_any_more_does_not_make_it_the_nodes(world: World) -> None:
    agent = Agent(world, kmsg=False)
    world.kill(A, hit=False)
    agent.read(A)
    for path in (A, B, POD, ROOT):
        world.remove(path)
    assert scopes(agent) == [None]


def test_below_a_limit_of_a_level_above_the_root_it_may_have_been_that_one(world: World) -> None:
    """A node that is a container itself."""
    world.capped = True
    agent = Agent(world, kmsg=False)
    world.kill(A, hit=False)
    agent.read()
    assert scopes(agent) == [None]


def test_where_a_root_counts_its_own_hits_only_nothing_excludes_a_limit(world: World) -> None:
    """Before 5.3."""
    for path in world.tallies:
        world.tallies[path] = replace(world.tallies[path], local_oom=None)
    agent = Agent(world, kmsg=False)
    world.kill(A, hit=False)
    agent.read()
    assert scopes(agent, 0.6) == [None]


def test_once_the_log_is_lost_the_counters_alone_tell(world: World) -> None:
    agent = Agent(world)
    world.kill(A, hit=False)
    agent.read()
    assert scopes(agent) == [None], "the log that is read would have had it"
    agent.attribution.log_lost()
    world.kill(A, hit=False)
    agent.read()
    assert scopes(agent, 0.0) == [Scope.NODE]


def test_where_the_kernel_counts_no_hits_a_report_that_is_printed_slowly_still_says_which_limit_was_hit() -> None:
    """cgroup v1 (6.1, on a busy node): the line that names the limit came 0.13 s after the first, and the metric said ``unknown``."""
    world = World()
    world.make(ROOT, POD, A)
    world.tallies = {path: MemoryEvents(0) for path in world.tallies}
    agent = Agent(world)
    world.tallies[A] = MemoryEvents(1)
    agent.read(A)
    assert agent.after(0.2).kills == ()
    agent.attribution.reported(report(A, 7), world.now)
    (kill,) = agent.after(0.0).kills
    assert (kill.scope, len(kill.victims)) == (Scope.CONTAINER, 1)


# -------------------------------------------------------------------------------------------- of no limit, but not the whole node


@pytest.mark.parametrize("constraint", ["CONSTRAINT_CPUSET", "CONSTRAINT_MEMORY_POLICY"])
def test_a_shortage_of_one_numa_node_or_cpuset_is_not_the_whole_nodes(world: World, constraint: str) -> None:
    agent = Agent(world)
    world.kill(A, hit=False)
    agent.attribution.reported(replace(of_the_node(report(A, 7)), constraint=constraint), world.now)
    agent.read()
    assert scopes(agent) == [Scope.NUMA]


def test_a_kill_that_somebody_asked_for_is_no_shortage(world: World) -> None:
    agent = Agent(world)
    world.kill(A, hit=False)
    told = replace(of_the_node(report(A, 7)), constraint="CONSTRAINT_NONE", sysrq=True)
    agent.attribution.reported(told, world.now)
    agent.read()
    assert scopes(agent) == [Scope.SYSRQ]


@pytest.mark.parametrize("scope", [Scope.NUMA, Scope.SYSRQ])
def test_a_kill_at_no_limit_takes_no_hit_of_another(world: World, scope: Scope) -> None:
    """The hit's own kill is still at its limit."""
    agent = Agent(world)
    world.hit(A)
    world.kill(A, hit=False)
    sysrq = scope is Scope.SYSRQ
    told = replace(of_the_node(report(A, 7)), constraint="CONSTRAINT_CPUSET", sysrq=sysrq)
    agent.attribution.reported(told, world.now)
    agent.read()
    assert scopes(agent) == [scope]
    world.kill(A, hit=False)
    agent.read()
    assert scopes(agent) == [Scope.CONTAINER]


def test_the_memory_at_the_limit_is_kept_with_the_kill_also_when_the_report_comes_late(world: World) -> None:
    use = MemoryUse(anon=1 << 20, file=2 << 20)
    agent = Agent(world)
    world.kill(A)
    agent.read()
    (early,) = agent.after(0.5).kills
    assert early.use is None
    agent.attribution.reported(replace(report(A, 7), use=use), world.now)
    (late,) = agent.after(0.1).amended
    assert late.use == use
    assert with_details(replace(late, use=use), report(A, 7), world).use == use, "what was read from memory.stat stays"
