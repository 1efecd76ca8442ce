"""Nobody fills the places that all pods share to another's harm."""

from __future__ import annotations

import logging

import pytest

from agent.wording.shares import Shares, beyond

Key = tuple[str, str, int]


def shares() -> Shares[Key, None]:
    return Shares[Key, None]("things", lambda key, _: key[:2])


def trimmed(*keys: Key, most: int) -> list[Key]:
    kept = dict.fromkeys(keys)
    shares().trim(kept, most)
    return list(kept)


def test_within_the_number_nothing_goes() -> None:
    keys = [("a", "p", number) for number in range(5)]
    assert trimmed(*keys, most=5) == keys


def test_beyond_it_the_oldest_go_of_the_pod_with_the_most() -> None:
    honest, many = ("a", "honest", 0), [("a", "many", number) for number in range(9)]
    assert trimmed(honest, *many, most=5) == [honest, *many[-4:]]


def test_a_namespace_with_very_many_pods_pushes_out_nobody_elses() -> None:
    honest = [("b", "honest", number) for number in range(3)]
    many = [("a", f"pod-{number}", 0) for number in range(50)]
    assert trimmed(*honest, *many, most=10) == [*honest, *many[-7:]]


def test_of_many_some_more_go_so_that_it_is_not_asked_for_each() -> None:
    kept = dict.fromkeys(range(5001))
    assert len(beyond(kept, 5000, lambda *_: ("", ""))) == 51


def test_it_is_reported_once_and_says_whose(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "oomward")
    one, kept = shares(), dict.fromkeys(("shop", "many\n", number) for number in range(20))
    for most in (15, 10, 5):
        one.trim(kept, most)
    (record,) = caplog.records
    assert (
        record.getMessage()
        == "more than 15 things: of those with the most, such as shop/many\\x0a, the oldest are dropped"
    )
