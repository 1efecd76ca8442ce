"""The oracle of pods, and of what must not grow, see what is wrong, and nothing where nothing is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.soak.oracle import PodTruth, pod_disagreements
from tests.soak.whole.sizes import FEWEST, MIB, Size, grown, stored_too_much


def truth(uid: str = "a", least: int = 2, most: int = 3, *, unseen: bool = False) -> PodTruth:
    return PodTruth(uid, "web", least, most, unseen)


@pytest.mark.parametrize("recorded", [2, 3])
def test_a_count_between_the_kernels_two_is_right(recorded: int) -> None:
    assert pod_disagreements([truth()], {"a": recorded}, 0) == []


@pytest.mark.parametrize("recorded", [1, 4])
def test_one_too_few_or_one_too_many_is_seen(recorded: int) -> None:
    assert pod_disagreements([truth()], {"a": recorded}, 0) == [
        f"web: the kernel counted 2 to 3, the ledger has {recorded}"
    ]


def test_a_pod_that_ended_while_no_agent_could_see_it_may_lack_kills_and_never_has_too_many() -> None:
    assert pod_disagreements([truth(unseen=True)], {"a": 0}, 0) == []
    assert pod_disagreements([truth(unseen=True)], {"a": 4}, 0)


def test_a_pod_that_never_was_is_seen() -> None:
    assert pod_disagreements([], {"z": 1}, 0) == ["the ledger has 1 kills in pod z, which never ran"]


def test_nameless_kills_are_right_as_long_as_pods_lack_that_many() -> None:
    assert pod_disagreements([truth(unseen=True)], {"a": 1}, 2) == []
    assert pod_disagreements([truth(unseen=True)], {"a": 1}, 3)


def sizes(**last: int) -> list[Size]:
    """Of a program that has the same all the time, but for what it grows to."""
    first = {"anonymous": 50 * MIB, "descriptors": 30, "threads": 8, "watches": 90, "stored": MIB}
    every = []
    for n in range(FEWEST):
        now = {name: value + n * (last.get(name, value) - value) // (FEWEST - 1) for name, value in first.items()}
        every.append(Size("agent", 7, 60.0 * n, **now))
    return every


def test_a_program_that_stays_as_it_is_is_flat() -> None:
    wrong, figures = grown(sizes())
    assert wrong == []
    assert figures["agent: descriptors"] == "30.0 at first, 30.0 in the middle, 30.0 at last, 30.0 at most"


@pytest.mark.parametrize(
    ("name", "last", "said"),
    [
        ("anonymous", 70 * MIB, "anonymous memory"),
        ("descriptors", 60, "descriptors"),
        ("watches", 300, "inotify watches"),
    ],
)
def test_what_grows_after_the_warm_up_is_named(name: str, last: int, said: str) -> None:
    (wrong,) = grown(sizes(**{name: last}))[0]
    assert wrong.startswith(f"agent: {said}")


def test_a_short_life_is_all_warm_up_but_has_an_upper_bound() -> None:
    short = [replace(size, at_s=size.at_s / 10) for size in sizes(anonymous=70 * MIB)]
    wrong, figures = grown(short)
    assert (wrong, figures["agent: growth is judged"]) == ([], "no: it lived for 174 s")
    assert grown([replace(size, anonymous=130 * MIB) for size in short])[0] == [
        "agent: 130.0 MiB of anonymous memory, more than 128"
    ]


def test_files_may_grow_by_the_kills_in_them_only() -> None:
    (size, *_) = sizes()
    assert stored_too_much(replace(size, stored=20 * MIB), 1000) == []
    assert stored_too_much(replace(size, stored=22 * MIB), 1000) == ["22.0 MiB of files for 1000 kills"]


def test_few_looks_prove_nothing() -> None:
    assert grown(sizes()[: FEWEST - 1])[0] == ["agent: only 29 looks: this proves nothing"]
