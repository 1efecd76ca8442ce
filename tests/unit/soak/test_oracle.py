"""The soak's oracle sees what is wrong with a ledger, and nothing where nothing is."""

from __future__ import annotations

import pytest

from tests.lab.spec import Container, Instance, Pod
from tests.soak.oracle import Truth, disagreements, truths

POD = Pod("web", (Container("main", ("pause",)),))


def truth(name: str = "a", least: int = 2, most: int = 3, *, unseen: bool = False) -> Truth:
    return Truth(name, "web", least, most, unseen)


@pytest.mark.parametrize("recorded", [2, 3])
def test_a_count_between_the_kernels_two_is_right(recorded: int) -> None:
    assert disagreements([truth()], {"a": recorded}, 0) == []


def test_a_container_without_kills_needs_no_record() -> None:
    assert disagreements([truth(least=0, most=0)], {}, 0) == []


@pytest.mark.parametrize("recorded", [1, 4])
def test_one_too_few_or_one_too_many_is_seen(recorded: int) -> None:
    found = disagreements([truth()], {"a": recorded}, 0)
    assert any(f"the ledger has {recorded}" in problem for problem in found)


def test_a_kill_on_the_wrong_container_is_seen_though_the_sum_is_right() -> None:
    found = disagreements([truth("a", 1, 1), truth("b", 1, 1)], {"a": 2}, 0)
    assert len(found) == 2


def test_a_container_that_never_was_is_seen() -> None:
    assert any("never ran" in problem for problem in disagreements([truth()], {"a": 2, "z": 1}, 0))


def test_a_container_that_went_unseen_may_lose_kills_to_the_nameless_but_none_altogether() -> None:
    unseen = truth(least=2, most=2, unseen=True)
    assert disagreements([unseen], {"a": 1}, 1) == []
    assert any("in all" in problem for problem in disagreements([unseen], {"a": 1}, 0))


def test_it_never_has_more_than_the_kernel_counted_even_unseen() -> None:
    assert disagreements([truth(least=2, most=2, unseen=True)], {"a": 3}, 0) != []


def test_truths_come_from_what_the_kernel_counted_before_the_cgroup_went() -> None:
    ended = Instance(POD, "main", "a", "x", 1, 1, 0, 0.0, {"oom_kill": 4, "oom_group_kill": 1}, 137, ended_s=50.0)
    (found,) = truths([ended], [(40.0, 60.0)])
    assert (found.least, found.most, found.unseen) == (3, 4, True)
    (found,) = truths([ended], [(51.0, 60.0)])
    assert not found.unseen
