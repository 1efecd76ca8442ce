"""What the levels above know of those below is kept up to date, whatever is read, recorded, added or forgotten, in whatever order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.cgroup.layout import classify
from agent.kills.counter import Counter
from agent.kills.counters import Counters
from agent.model import NODE, Cgroup, MemoryEvents
from tests.unit.kills.world import World

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
