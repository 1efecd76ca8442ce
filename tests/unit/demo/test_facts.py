"""What the demo counts: the share of time a pod was up, and the OOM kills that its container survived."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.demo.facts import kills_of, percent, result_of, share_up, to_json
from tests.demo.pods import NAMES, pods
from tests.lab.spec import Instance
from tests.unit.demo.results import result

POD = pods()[0]


def instance(started_s: float = 0.0, ended_s: float | None = None, exit_code: int | None = None) -> Instance:
    code = 137 if ended_s is not None and exit_code is None else exit_code
    return Instance(POD, "app", "0" * 64, "p", 1, 1, 0, started_s, exit_code=code, ended_s=ended_s)


@pytest.mark.parametrize(
    ("runs", "at_s", "share"),
    [
        ([(10.0, None)], 70.0, 1.0),
        ([(10.0, 12.0), (12.0, 14.0), (24.0, None)], 30.0, 0.5),
        ([(10.0, 15.0)], 30.0, 0.25),
        ([(10.0, 31.0)], 30.0, 1.0),
        ([(10.0, None)], 10.0, 0.0),
        ([], 10.0, 0.0),
    ],
)
def test_the_share_of_time_up_is_that_since_the_first_start(
    runs: list[tuple[float, float | None]], at_s: float, share: float
) -> None:
    assert share_up([instance(start, end) for start, end in runs], at_s) == share


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0.001, 100)), min_size=1, max_size=9), st.floats(0.001, 100))
def test_it_is_a_share(runs: list[tuple[float, float]], left_s: float) -> None:
    """``runs`` are pauses before a run and how long it was."""
    at_s, instances = 0.0, []
    for pause_s, lasted_s in runs:
        instances.append(instance(at_s + pause_s, at_s + pause_s + lasted_s))
        at_s += pause_s + lasted_s
    assert 0 < share_up(instances, at_s + left_s) <= 1


@pytest.mark.parametrize(
    ("one", "mode", "oom_kill", "kills"),
    [
        (instance(ended_s=2.0), "group", 3, (1, 0)),
        (instance(), "group", 2, (0, 0)),  # under way: how it ends is not known yet
        (instance(), "single", 7, (7, 7)),
        (instance(ended_s=2.0), "single", 7, (7, 6)),  # PID 1 was the last one
        (instance(ended_s=2.0, exit_code=0), "single", 7, (7, 7)),
        (instance(ended_s=2.0), "group", 0, (0, 0)),  # killed by somebody, not for memory
    ],
)
def test_a_kill_counts_once_and_is_survived_where_pid_1_lives(
    one: Instance, mode: str, oom_kill: int, kills: tuple[int, int]
) -> None:
    assert kills_of(one, mode, oom_kill) == kills


def test_a_result_comes_back_from_json_as_it_was_and_what_is_added_to_it_does_no_harm() -> None:
    assert result_of(json.loads(json.dumps({**to_json(result()), "ok": True}))) == result()


def test_the_three_pods_are_the_same_program_and_differ_in_what_they_ask_for() -> None:
    found = pods()
    assert tuple(pod.name for pod in found) == NAMES
    assert len({pod.containers for pod in found}) == 1
    assert [bool(pod.labels) for pod in found] == [False, True, False]
    assert [bool(pod.annotations) for pod in found] == [False, False, True]


@pytest.mark.parametrize(
    ("share", "text"), [(0.0, "0 %"), (0.001, "1 %"), (0.137, "13 %"), (0.9999, "99 %"), (1.0, "100 %")]
)
def test_a_share_is_100_only_if_it_is_all_and_0_only_if_nothing(share: float, text: str) -> None:
    assert percent(share) == text
