"""Which containers a cgroup may be while the API has not named its id."""

from __future__ import annotations

import mmap

from agent.modes.policy import candidates
from tests.unit.modes.pods import a_container, a_pod

MIB = 1 << 20


def test_a_container_that_runs_under_another_id_is_no_candidate() -> None:
    pod = a_pod(a_container("a", container_id="id-a"), a_container("b"))
    assert candidates(pod, {"id-a"}, None) == ("b",)


def test_a_container_whose_id_runs_no_more_is_a_candidate_for_its_restart() -> None:
    pod = a_pod(a_container("a", container_id="id-old"), a_container("b", container_id="id-b"))
    assert candidates(pod, {"id-b"}, None) == ("a",)


def test_the_memory_limit_tells_candidates_apart() -> None:
    pod = a_pod(a_container("a", limit_bytes=256 * MIB), a_container("b", limit_bytes=64 * MIB), a_container("c"))
    assert candidates(pod, (), 64 * MIB) == ("b",)


def test_limits_are_compared_as_the_kernel_keeps_them_in_whole_pages() -> None:
    pod = a_pod(a_container("a", limit_bytes=100 * mmap.PAGESIZE + 17), a_container("b", limit_bytes=256 * MIB))
    assert candidates(pod, (), 100 * mmap.PAGESIZE) == ("a",)


def test_a_limit_that_nobody_has_narrows_nothing() -> None:
    """An in-place resize may be on its way: better all than none."""
    pod = a_pod(a_container("a", limit_bytes=256 * MIB), a_container("b"))
    assert candidates(pod, (), 512 * MIB) == ("a", "b")


def test_no_limit_narrows_nothing_since_a_new_cgroup_has_none_yet() -> None:
    """A container that never asked must not be taken for the one without a limit that did."""
    pod = a_pod(a_container("a", limit_bytes=256 * MIB), a_container("b"))
    assert candidates(pod, (), None) == ("a", "b")


def test_the_limit_of_a_running_container_does_not_count() -> None:
    pod = a_pod(a_container("a", container_id="id-a", limit_bytes=64 * MIB), a_container("b", limit_bytes=256 * MIB))
    assert candidates(pod, {"id-a"}, 64 * MIB) == ("b",)
