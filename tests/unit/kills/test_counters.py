"""What the levels above know of those below is kept up to date, whatever is read, recorded, added or forgotten, in whatever order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.cgroup.layout import classify
from agent.kills.counter import Counter
from agent.kills.counters import Counters
from agent.model import NODE, Cgroup, MemoryEvents, Scope
from tests.unit.kills.world import POD, ROOT, A, Agent, B, World

PODS = [f"kubepods/pod{n}0000000-2fa1-11d2-883f-0016d3cca427" for n in range(2)]
CGROUPS = [
    NODE,
    *(
        Cgroup(classify(path), inode)
        for inode, path in enumerate(["kubepods", *PODS, *(f"{pod}/{n:064x}" for pod in PODS for n in range(2))], 1)
    ),
]


def shown(counter: Counter) -> tuple[int, int]:
    """By its definition."""
    below = [shown(child) for child in counter.children.values()]
    kills, groups = sum(each[0] for each in below), sum(each[1] for each in below)
    return max(counter.unrecorded_kills, kills), max(counter.unrecorded_groups or 0, groups)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(("add", "read", "record", "unread", "forget")),
            st.sampled_from(CGROUPS),
            st.integers(0, 9),
            st.none() | st.integers(0, 3),
        ),
        max_size=60,
    )
)
def test_what_a_level_shows_is_the_sum_of_what_is_below_or_more(
    acts: list[tuple[str, Cgroup, int, int | None]],
) -> None:
    counters = Counters(World(), {}, seen_this_boot=True)
    for act, cgroup, kills, groups in acts:
        counter = counters.get(cgroup)
        if act == "add" or counter is None:
            counters.add(cgroup, MemoryEvents(kills, 0, groups), 0.0, newborn=True)
        elif act == "read":
            counter.read(MemoryEvents(kills, 0, groups), 1.0)
        elif act == "record":
            counters.record(counter, kills, groups or 0)
        elif act == "unread":
            counter.add_unread(kills, groups or 0)
        else:
            counters.forget(counter)
        for each in counters:
            assert (each.shown_kills, each.shown_groups) == shown(each)
            assert each.below_kills == sum(child.shown_kills for child in each.children.values())


def test_after_the_ledger_was_lost_within_a_boot_no_kill_has_a_number_that_another_had() -> None:
    """An Event's name comes from the number: a second kill of that name would be swallowed by a 409, or set a count back."""
    world, numbers = World(), list[str]()
    world.make(ROOT, POD, A, B)
    for _ in range(4):
        agent = Agent(world)  # with an empty ledger each time
        for raw, groups in ((1, 0), (1, 0), (5, 1), (1, 0)):
            world.kill(A, raw=raw, groups=groups)
            world.kill(B)
            world.kill(POD, limit_of=POD)
            agent.read()
            found = [kill for wait_s in (0.6, 3.0) for kill in agent.after(wait_s).kills]
            assert len(found) >= 3
            numbers += [kill.kill_id for kill in found]
        world.kill(A)  # while no agent runs, and never reported
    assert len(set(numbers)) == len(numbers)


def start_again(world: World) -> None:
    """The memory controller is switched off and on."""
    world.tallies = {path: MemoryEvents(0, 0, 0, 0) for path in world.tallies}


def test_a_kill_after_the_counters_began_again_while_no_agent_ran_is_counted() -> None:
    world = World()
    world.make(ROOT, POD, A)
    before = Agent(world)
    for _ in range(3):
        world.kill(A)
        before.read()
        before.after(1.0)
    start_again(world)
    world.kill(A)
    agent = Agent(world, before.kept, seen_this_boot=True)
    (kill,) = agent.after(1.0).kills
    assert (kill.cgroup_path, kill.ordinal, kill.scope) == (A, 4, Scope.CONTAINER)
    world.kill(A, limit_of=POD)
    agent.read()
    assert [kill.scope for kill in agent.after(1.0).kills] == [Scope.POD]


def test_kills_that_wait_for_their_name_while_the_counters_begin_again_are_counted() -> None:
    world = World()
    world.make(ROOT, POD, A)
    world.unnamed.add(A)
    agent = Agent(world)
    world.kill(A, raw=2)
    agent.read()
    assert agent.after(1.0).kills == ()
    start_again(world)
    agent.read()
    world.kill(A)
    agent.read()
    assert sum(kill.processes for kill in agent.after(5.0).kills) == 3


def test_only_hits_may_show_that_the_counters_began_again() -> None:
    """The next hit of the pod's limit is not lost among those of before."""
    world = World()
    world.make(ROOT, POD, A)
    agent = Agent(world)
    for _ in range(3):
        world.hit(A)
    agent.read()
    start_again(world)
    agent.read()
    world.kill(A, limit_of=POD)
    agent.read()
    assert [kill.scope for kill in agent.after(1.0).kills] == [Scope.POD]
