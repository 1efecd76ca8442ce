"""No container fails twice because of us: what the runtime gives up is created without us the next time."""

from __future__ import annotations

import pytest

from agent.model import CreationFailed
from agent.runtime.creations import CONFLICTS, MOST, Creations
from tests.unit.runtime.wire import ID, our_container, our_sandbox

SANDBOX, MAIN = our_sandbox(), our_container()


def fail(creations: Creations, number: int, so_far: str | None = "1") -> CreationFailed | None:
    """The creation of another pod's container, with our value, that the runtime gives up."""
    creations.started(our_sandbox(f"s{number}", uid=f"pod-{number}"), our_container(f"c{number}"), so_far)
    return creations.removed(f"c{number}")


def test_a_container_may_be_adjusted() -> None:
    assert Creations().may_adjust(SANDBOX, MAIN, None, 0)
    assert Creations().may_adjust(SANDBOX, MAIN, "1", 0)


@pytest.mark.parametrize("value", [0, 1])
def test_the_value_that_is_asked_for_already_need_not_be_asked_for(value: int) -> None:
    assert not Creations().may_adjust(SANDBOX, MAIN, str(value), value)
    assert Creations().may_adjust(SANDBOX, MAIN, str(1 - value), value)


def test_after_a_failed_creation_the_next_attempt_goes_without_us() -> None:
    creations = Creations()
    creations.started(SANDBOX, MAIN, None)
    assert creations.removed(ID) == CreationFailed(SANDBOX, MAIN, conflict=False)
    again = our_container("b" * 64)
    assert not creations.may_adjust(our_sandbox("6" * 64), again, None, 0), "another id, in another sandbox of the pod"
    assert creations.may_adjust(SANDBOX, our_container("c" * 64, "other"), None, 0), "another container of the pod"
    assert creations.may_adjust(our_sandbox(uid="another"), again, None, 0), "a container of that name of another pod"


def test_it_is_a_failure_once() -> None:
    creations = Creations()
    creations.started(SANDBOX, MAIN, None)
    assert creations.removed(ID) is not None
    assert creations.removed(ID) is None


def test_a_container_that_was_created_and_is_removed_later_has_not_failed() -> None:
    creations = Creations()
    creations.started(SANDBOX, MAIN, None)
    creations.finished(ID)
    assert creations.removed(ID) is None
    assert creations.may_adjust(SANDBOX, our_container("b" * 64), None, 0)


def test_a_container_that_we_did_not_adjust_has_not_failed_because_of_us() -> None:
    creations = Creations()
    creations.finished(ID)
    assert creations.removed(ID) is None
    assert creations.may_adjust(SANDBOX, MAIN, None, 0)


@pytest.mark.parametrize("so_far", ["0", "1"])
def test_where_another_value_was_there_before_it_may_be_a_conflict(so_far: str) -> None:
    failed = fail(Creations(), 1, so_far)
    assert failed is not None
    assert failed.conflict


def test_after_so_many_conflicts_no_value_is_replaced_any_more_while_others_are_still_set() -> None:
    creations = Creations()
    for number in range(CONFLICTS):
        assert creations.may_adjust(SANDBOX, MAIN, "1", 0), number
        fail(creations, number)
    assert not creations.may_adjust(SANDBOX, MAIN, "1", 0)
    assert creations.may_adjust(SANDBOX, MAIN, None, 0)


def test_failures_without_another_value_are_no_conflicts() -> None:
    creations = Creations()
    for number in range(10 * CONFLICTS):
        fail(creations, number, None)
    assert creations.may_adjust(SANDBOX, MAIN, "1", 0)


def test_a_value_that_could_be_replaced_ends_the_count_of_conflicts() -> None:
    creations = Creations()
    for number in range(CONFLICTS - 1):
        fail(creations, number)
    creations.started(SANDBOX, MAIN, "1")
    creations.finished(ID)
    fail(creations, 99)
    assert creations.may_adjust(our_sandbox(uid="another"), MAIN, "1", 0)


def test_a_creation_without_another_value_says_nothing_of_conflicts() -> None:
    creations = Creations()
    for number in range(CONFLICTS):
        fail(creations, number)
    creations.started(SANDBOX, MAIN, None)
    creations.finished(ID)
    assert not creations.may_adjust(SANDBOX, MAIN, "1", 0)


def test_however_many_creations_never_end_the_newest_are_remembered_and_no_more() -> None:
    creations = Creations()
    for number in range(MOST + 5):
        creations.started(our_sandbox(uid=f"pod-{number}"), our_container(f"c{number}"), None)
    assert len(creations._pending) == MOST
    assert creations.removed("c4") is None
    assert creations.removed("c5") is not None


def test_however_many_creations_fail_the_newest_are_remembered_and_no_more() -> None:
    creations = Creations()
    for number in range(MOST + 5):
        fail(creations, number, None)
    assert len(creations._failed) == MOST
    assert creations.may_adjust(our_sandbox(uid="pod-4"), MAIN, None, 0)
    assert not creations.may_adjust(our_sandbox(uid="pod-5"), MAIN, None, 0)
