"""A next limit only where kills at the limit of now ask for one, with the reason; and how full the limit was of processes."""

from __future__ import annotations

import pytest

from agent.look.next_limits import of_container, of_pod
from agent.model import Filled, KillSum, MemoryUse, MemoryVolume, OomKill, Outcome, Scope, TaskRow
from agent.wording.filled import filled_by

MIB = 1 << 20
AT = 1_780_000_000.0  # 2026-05-28T20:26:40Z


def kills(
    number: int = 1,
    scope: Scope | None = Scope.CONTAINER,
    limit: int | None = 256,
    survived: int = 0,
    resident: tuple[int, ...] = (),
    at: float = AT,
    use: MemoryUse | None = None,
) -> KillSum:
    """Sizes in MiB."""
    tasks = tuple(TaskRow(n, "worker", size * MIB) for n, size in enumerate(resident))
    size = limit * MIB if limit is not None else None
    last = OomKill(
        "boot", 7, 1, at, "node-1", "x", 1, "shop", "web-1", "u-1", "web", scope=scope, limit_bytes=size, usage_bytes=size, largest=tasks,
        outcome=Outcome.DIED, use=use,
    )  # fmt: skip
    return KillSum(number, number, survived, last)


def test_kills_at_the_limit_raise_it_by_a_quarter() -> None:
    found = of_container(256 * MIB, [kills(3, survived=2)], None)
    assert found.next_bytes == 320 * MIB
    assert found.reason == "3 OOM kills at the limit of 256Mi (the last 2026-05-28T20:26:40Z, the container survived 2)"


def test_without_a_kill_there_is_no_reason_for_another_limit() -> None:
    assert of_container(256 * MIB, [], 250 * MIB).next_bytes is None


def test_kills_at_a_limit_that_was_raised_since_are_no_reason() -> None:
    found = of_container(512 * MIB, [kills(2)], None)
    assert (found.next_bytes, found.reason.endswith("; none since at 512Mi")) == (
        None,
        True,
    )


def test_the_kernels_rounding_of_a_limit_is_no_earlier_limit() -> None:
    assert of_container(256 * MIB + 1000, [kills()], None).next_bytes is not None


def test_a_limit_that_was_lowered_is_raised_above_the_one_that_was_reached() -> None:
    found = of_container(128 * MIB, [kills()], None)
    assert found.next_bytes == 320 * MIB
    assert "the earlier limit of 256Mi, which was lowered" in found.reason


def test_a_container_without_a_limit_gets_none() -> None:
    found = of_container(None, [kills()], None)
    assert (found.next_bytes, "at the earlier limit of 256Mi" in found.reason) == (None, True)


@pytest.mark.parametrize("scope", [Scope.NODE, Scope.KUBEPODS])
def test_kills_of_the_node_are_no_reason_for_a_higher_limit_but_for_a_request(scope: Scope) -> None:
    found = of_container(256 * MIB, [kills(scope=scope, limit=None)], 100 * MIB)
    assert found.next_bytes is None
    assert (
        "the node, or all pods together, ran out of memory (2026-05-28T20:26:40Z): set its memory request to what it uses, 100Mi"
        in found.reason
    )


def test_kills_at_the_pods_limit_raise_the_pods_and_not_the_containers() -> None:
    assert of_container(256 * MIB, [kills(scope=Scope.POD, limit=512)], None).next_bytes is None
    found = of_pod(512 * MIB, [kills(scope=Scope.POD, limit=512)])
    assert (found.next_bytes, "; the pod's containers share it" in found.reason) == (
        640 * MIB,
        True,
    )


def test_where_the_limit_that_was_reached_is_not_known_that_is_said() -> None:
    found = of_container(256 * MIB, [kills(scope=None, limit=None)], None)
    assert (found.next_bytes, "which limit was reached is not known" in found.reason) == (320 * MIB, True)


def test_each_kind_of_kill_is_in_the_reason() -> None:
    found = of_container(256 * MIB, [kills(), kills(2, Scope.POD, 512), kills(3, Scope.NODE, None)], None)
    assert [part.split(",")[0][:11] for part in found.reason.split("; ")] == [
        "1 OOM kill ",
        "2 OOM kills",
        "3 OOM kills",
    ]


@pytest.mark.parametrize(
    ("resident", "filled"),
    [
        ((), None),
        ((130, 2, 1), Filled.PROCESSES),
        ((50, 40, 38), Filled.PROCESSES),
        ((2,), Filled.NOT_PROCESSES),
        ((20, 20), Filled.NOT_PROCESSES),
        ((20, 20, 20), None),  # there may be many more of that size
        ((100,), None),
    ],
)
def test_what_filled_the_limit_by_the_largest_processes(resident: tuple[int, ...], filled: Filled | None) -> None:
    assert filled_by(kills(resident=resident).last) is filled


def test_a_limit_full_of_page_cache_is_said_so() -> None:
    found = of_container(256 * MIB, [kills(resident=(2,))], None)
    assert "most of it was page cache, tmpfs or kernel memory, so also see what the container writes" in found.reason


CACHE = MemoryVolume("cache", 300 * MIB)


@pytest.mark.parametrize(
    ("use", "volumes", "raised", "words"),
    [
        (MemoryUse(anon=200 * MIB, file=50 * MIB), (), True, ""),
        (MemoryUse(anon=20 * MIB, file=230 * MIB, dirty=220 * MIB), (), True, "not yet written to disk"),
        (MemoryUse(anon=20 * MIB, shmem=230 * MIB), (CACHE,), True, "emptyDir cache (in memory, sizeLimit 300 MiB)"),
        (MemoryUse(anon=20 * MIB, shmem=230 * MIB), (MemoryVolume("cache"),), False, "no sizeLimit"),
        (MemoryUse(anon=20 * MIB, shmem=230 * MIB), (), False, "files in /dev/shm"),
        (MemoryUse(anon=20 * MIB, kernel=230 * MIB), (), False, "since a higher limit fills, too"),
        (MemoryUse(anon=20 * MIB, sock=230 * MIB), (), False, "since a higher limit fills, too"),
        (MemoryUse(anon=250 * MIB, swap=900 * MIB), (), True, "raise the limit by that much"),
    ],
)
def test_what_grows_without_bound_gets_no_higher_limit_and_that_is_said(
    use: MemoryUse, volumes: tuple[MemoryVolume, ...], raised: bool, words: str
) -> None:
    for scope, found in (
        (Scope.CONTAINER, of_container(256 * MIB, [kills(use=use)], None, volumes)),
        (Scope.POD, of_pod(256 * MIB, [kills(scope=Scope.POD, use=use)], volumes)),
    ):
        assert (found.next_bytes is not None, words in found.reason, found.filled_by) == (
            raised,
            True,
            filled_by(kills(scope=scope, use=use).last),
        )
