"""No container fails twice because of us: what the runtime gives up is created without us the next time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.model import CreationFailed
from agent.runtime.creations import CONFLICTS, MOST, Creations
from tests.unit.runtime.wire import ID, our_container, our_sandbox

SANDBOX, MAIN = our_sandbox(), our_container()


def fail(creations: Creations, number: int, so_far: str | None = "1", uid: str | None = None) -> CreationFailed | None:
    """The creation of another pod's container, with our value, that the runtime gives up, and the next one that succeeds without."""
    sandbox = our_sandbox(f"s{number}", uid=uid or f"pod-{number}")
    creations.started(sandbox, our_container(f"c{number}"), so_far)
    creations.removed(f"c{number}")
    creations.started_without(sandbox, our_container(f"d{number}"))
    return creations.finished(f"d{number}")


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
    creations.removed(ID)
    again = our_container("b" * 64)
    assert not creations.may_adjust(our_sandbox("6" * 64), again, None, 0), "another id, in another sandbox of the pod"
    assert creations.may_adjust(SANDBOX, our_container("c" * 64, "other"), None, 0), "another container of the pod"
    assert creations.may_adjust(our_sandbox(uid="another"), again, None, 0), "a container of that name of another pod"


def test_it_failed_because_of_us_if_the_runtime_can_create_it_without_us() -> None:
    creations = Creations()
    assert fail(creations, 1, None) == CreationFailed(
        our_sandbox("s1", uid="pod-1"), our_container("c1"), conflict=False
    )


def test_it_is_a_failure_once() -> None:
    creations = Creations()
    assert fail(creations, 1) is not None
    creations.started_without(our_sandbox("s1", uid="pod-1"), our_container("e1"))
    assert creations.finished("e1") is None


def test_a_container_that_fails_without_us_as_well_did_not_fail_because_of_us() -> None:
    """A command that does not exist, as CRI-O finds at the creation: nothing to report, also when it can be created later."""
    creations = Creations()
    creations.started(SANDBOX, MAIN, "1")
    creations.removed(ID)
    for number in range(3):
        creations.started_without(SANDBOX, our_container(f"c{number}"))
        creations.removed(f"c{number}")
    creations.started_without(SANDBOX, our_container("d"))
    assert creations.finished("d") is None
    assert not creations.may_adjust(SANDBOX, our_container("e"), "1", 0), "it is no risk to ask again, and no use"


def test_containers_that_cannot_be_created_anyway_do_not_cost_others_their_values() -> None:
    creations = Creations()
    for number in range(10 * CONFLICTS):
        creations.started(our_sandbox(f"s{number}", uid=f"pod-{number}"), our_container(f"c{number}"), "1")
        creations.removed(f"c{number}")
    assert creations.may_adjust(SANDBOX, MAIN, "1", 0)


def test_conflicts_of_one_namespace_do_not_cost_another_its_values() -> None:
    creations = Creations()
    for number in range(10 * CONFLICTS):
        fail(creations, number)
    assert not creations.may_adjust(SANDBOX, MAIN, "1", 0)
    other = replace(SANDBOX, pod=replace(SANDBOX.pod, uid="another", namespace="another"))
    assert creations.may_adjust(other, MAIN, "1", 0)


def test_however_many_namespaces_have_conflicts_the_newest_are_remembered_and_no_more() -> None:
    creations = Creations()
    for number in range(MOST + 5):
        of = replace(SANDBOX, pod=replace(SANDBOX.pod, uid=f"pod-{number}", namespace=f"ns-{number}"))
        creations.started(of, our_container(f"c{number}"), "1")
        creations.removed(f"c{number}")
        creations.started_without(of, our_container(f"d{number}"))
        creations.finished(f"d{number}")
    assert len(creations._conflicts) == MOST


def test_very_many_failures_of_one_namespace_do_not_push_out_anothers() -> None:
    creations = Creations()
    honest = replace(SANDBOX, pod=replace(SANDBOX.pod, uid="honest", namespace="honest"))
    creations.started(honest, MAIN, "1")
    creations.removed(ID)
    for number in range(2 * MOST):
        fail(creations, number, None)
    assert not creations.may_adjust(honest, MAIN, None, 0)


def test_a_container_that_was_created_and_is_removed_later_has_not_failed() -> None:
    creations = Creations()
    creations.started(SANDBOX, MAIN, None)
    assert creations.finished(ID) is None
    creations.removed(ID)
    assert creations.may_adjust(SANDBOX, our_container("b" * 64), None, 0)


def test_a_container_that_we_did_not_adjust_has_not_failed_because_of_us() -> None:
    creations = Creations()
    creations.started_without(SANDBOX, MAIN)
    creations.removed(ID)
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
    for uid in ("pod-4", "pod-5"):
        creations.removed(f"c{uid[4:]}")
    assert creations.may_adjust(our_sandbox(uid="pod-4"), MAIN, None, 0)
    assert not creations.may_adjust(our_sandbox(uid="pod-5"), MAIN, None, 0)


def test_however_many_creations_fail_the_newest_are_remembered_and_no_more() -> None:
    creations = Creations()
    for number in range(MOST + 5):
        fail(creations, number, None)
    assert len(creations._failed) == MOST
    assert creations.may_adjust(our_sandbox(uid="pod-4"), MAIN, None, 0)
    assert not creations.may_adjust(our_sandbox(uid="pod-5"), MAIN, None, 0)
