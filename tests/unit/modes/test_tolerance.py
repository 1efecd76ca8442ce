"""How much is tolerated is read from annotations and rules, and one process too many is noticed at once."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model import OnExceeded, OomKill, Pod, Rule, Rules, Scope, Tolerance
from agent.modes.tolerance import exceeded, invalid_tolerances, killed_recently, tolerance_of
from agent.wording.notes import mode_invalid_note
from tests.unit.modes.pods import a_pod
from tests.unit.wording.kills import KILL

NO_RULES = Rules()
FIVE = Tolerance(5, 600.0)


def asking(**annotations: str) -> Pod:
    """``tolerate``, ``on_exceeded`` and ``tolerate_scope`` of the pod; any other is a container's tolerance."""
    own = {"tolerate", "on_exceeded", "tolerate_scope"}
    keys = {
        f"oomward.dev/{k.replace('_', '-')}" if k in own else f"tolerate.oomward.dev/{k}": v
        for k, v in annotations.items()
    }
    return replace(a_pod("herder", "sidecar", label="single"), annotations=keys)


def killed(*at_s: float, processes: int = 1, scope: Scope | None = Scope.CONTAINER) -> list[OomKill]:
    return [replace(KILL, ordinal=n, at_unix_s=at, processes=processes, scope=scope) for n, at in enumerate(at_s)]


def test_nothing_said_tolerates_anything() -> None:
    assert tolerance_of(a_pod("herder", label="single"), "herder", NO_RULES) is None


def test_the_pods_annotation_is_a_number_a_slash_and_a_duration() -> None:
    found = tolerance_of(asking(tolerate="5/10m"), "herder", NO_RULES)
    assert found == Tolerance(5, 600.0, OnExceeded.ARM, False, "annotation oomward.dev/tolerate")


def test_the_containers_own_goes_before_the_pods() -> None:
    pod = asking(tolerate="5/10m", sidecar="1/1h", on_exceeded="Restart", tolerate_scope="any")
    assert tolerance_of(pod, "herder", NO_RULES) == Tolerance(
        5, 600.0, OnExceeded.RESTART, True, "annotation oomward.dev/tolerate"
    )
    assert tolerance_of(pod, "sidecar", NO_RULES) == Tolerance(
        1, 3600.0, OnExceeded.RESTART, True, "annotation tolerate.oomward.dev/sidecar"
    )


def test_a_rule_speaks_for_those_who_say_nothing_and_alone_where_they_are_not_obeyed() -> None:
    rules = Rules((Rule("all", None, tolerance=FIVE),))
    assert tolerance_of(a_pod("herder"), "herder", rules) == FIVE
    assert tolerance_of(asking(tolerate="1/1m"), "herder", rules) == Tolerance(
        1, 60.0, said_by="annotation oomward.dev/tolerate"
    )
    assert tolerance_of(asking(tolerate="1/1m"), "herder", replace(rules, ignore_labels_in=("*",))) == FIVE


def test_the_first_rule_that_matches_decides_also_when_it_says_nothing() -> None:
    rules = Rules((Rule("first", None, containers=("herder",)), Rule("rest", None, tolerance=FIVE)))
    assert tolerance_of(a_pod("herder"), "herder", rules) is None
    assert tolerance_of(a_pod("other"), "other", rules) == FIVE


@pytest.mark.parametrize(
    "value", ["", "5", "5/", "/10m", "0/10m", "-1/10m", "5/0s", "5/10 years", "five/10m", "5/10m/1"]
)
def test_a_bad_value_tolerates_anything_and_is_named(value: str) -> None:
    pod = asking(tolerate=value)
    assert tolerance_of(pod, "herder", NO_RULES) is None
    (wish,) = invalid_tolerances(pod, NO_RULES)
    assert (wish.key, wish.value) == ("oomward.dev/tolerate", value)
    assert wish.why


def test_bad_words_beside_a_good_number_are_named_and_nothing_is_done_for_them() -> None:
    pod = asking(tolerate="5/10m", on_exceeded="explode", tolerate_scope="universe", nobody="5/10m")
    assert tolerance_of(pod, "herder", NO_RULES) is None
    assert [wish.key for wish in invalid_tolerances(pod, NO_RULES)] == [
        "oomward.dev/on-exceeded",
        "oomward.dev/tolerate-scope",
        "tolerate.oomward.dev/nobody",
    ]
    assert invalid_tolerances(pod, Rules(ignore_labels_in=("*",))) == ()


@pytest.mark.parametrize("value", ["1_0/10m", "١/10m", "+5/10m", "5/1_0m", "5/١m", "5/1e1m", "5/+10m", "５/10m"])
def test_a_tolerance_of_other_than_ascii_digits_is_invalid_and_is_no_other_number(value: str) -> None:
    pod = asking(tolerate=value)
    assert tolerance_of(pod, "herder", Rules()) is None
    (bad,) = invalid_tolerances(pod, Rules())
    assert (bad.value, "has the invalid value" in mode_invalid_note(bad)) == (value, True)


@pytest.mark.parametrize("annotation", ["tolerate", "herder", "on_exceeded", "tolerate_scope"])
def test_where_an_annotation_is_invalid_any_number_is_tolerated_also_beside_a_rule_and_so_says_the_event(
    annotation: str,
) -> None:
    rules = Rules((Rule("all", None, tolerance=Tolerance(1, 600.0)),))
    pod = asking(**{annotation: "nonsense"})
    assert tolerance_of(pod, "herder", rules) is None
    (bad,) = invalid_tolerances(pod, rules)
    assert "Until it is corrected, any number of kills is tolerated" in mode_invalid_note(bad)
    assert (tolerance_of(pod, "sidecar", rules) is None) is (annotation != "herder"), "it is about the herder alone"
    assert ("in container herder." in mode_invalid_note(bad)) is (annotation == "herder")


def test_an_annotation_for_no_container_of_the_pod_has_no_effect_and_so_says_the_event() -> None:
    rules = Rules((Rule("all", None, tolerance=FIVE),))
    pod = asking(hearder="1/10m")
    assert tolerance_of(pod, "herder", rules) == FIVE
    (bad,) = invalid_tolerances(pod, rules)
    assert mode_invalid_note(bad) == (
        "Annotation tolerate.oomward.dev/hearder has no effect: the pod has no container of that name."
    )


def test_five_are_tolerated_and_the_sixth_is_one_too_many() -> None:
    assert exceeded(killed(0, 1, 2, 3, 4), FIVE) is None
    assert exceeded(killed(0, 1, 2, 3, 4, 5), FIVE) == 5


def test_what_is_longer_ago_does_not_count() -> None:
    assert exceeded(killed(0, 1, 2, 3, 4, 602), FIVE) is None
    assert exceeded(killed(*range(0, 1000, 130)), FIVE) is None
    assert exceeded(killed(*range(0, 1000, 119)), FIVE) == 595


@pytest.mark.parametrize(
    ("apart_s", "set_by_s", "over"), [(3602.0, -3600.0, False), (2.0, 3600.0, True), (2.0, -3600.0, True)]
)
def test_a_clock_that_is_set_changes_nothing(apart_s: float, set_by_s: float, over: bool) -> None:
    first = replace(KILL, at_unix_s=9000.0, at_monotonic_s=500.0)
    second = replace(first, ordinal=2, at_unix_s=9000.0 + apart_s + set_by_s, at_monotonic_s=500.0 + apart_s)
    tolerance = Tolerance(1, 600.0)
    assert (exceeded([first, second], tolerance) is not None) is over
    now = (second.at_unix_s, 500.0 + apart_s)
    assert killed_recently([first, second], tolerance, *now) == (2 if over else 1)


def test_kills_that_an_older_agent_recorded_without_that_clock_count_apart() -> None:
    older, newer = killed(0, 1, 2), [replace(kill, at_monotonic_s=kill.at_unix_s) for kill in killed(3, 4, 5)]
    assert exceeded([*older, *newer], FIVE) is None
    assert exceeded([*older, *newer], replace(FIVE, kills=2)) == 2
    assert killed_recently([*older, *newer], FIVE, 6.0, 6.0) == 6


def test_once_exceeded_it_stays_so_for_this_instance() -> None:
    assert exceeded([*killed(0, 1, 2, 3, 4, 5), *killed(90_000.0)], FIVE) == 5


def test_several_processes_of_one_kill_are_several() -> None:
    assert exceeded(killed(0, 1, processes=3), FIVE) == 1


@pytest.mark.parametrize("scope", [Scope.KUBEPODS, Scope.NODE, None])
def test_what_was_not_its_own_doing_counts_only_if_any_scope_does(scope: Scope | None) -> None:
    kills = killed(0, 1, 2, 3, 4, 5, scope=scope)
    assert exceeded(kills, FIVE) is None
    assert exceeded(kills, replace(FIVE, any_scope=True)) == 5


def test_the_pods_limit_is_its_own_doing() -> None:
    assert exceeded(killed(*range(6), scope=Scope.POD), FIVE) == 5


@given(
    st.lists(st.tuples(st.floats(0, 100), st.integers(1, 3)), max_size=30),
    st.integers(1, 6),
    st.floats(1, 50),
    st.randoms(),
)
def test_it_is_exceeded_exactly_when_some_window_holds_too_many_whatever_their_order(
    events: list[tuple[float, int]], most: int, window_s: float, random: object
) -> None:
    kills = [replace(KILL, ordinal=n, at_unix_s=at, processes=p) for n, (at, p) in enumerate(events)]
    random.shuffle(kills)  # type: ignore[attr-defined]
    found = exceeded(kills, Tolerance(most, window_s))
    full = [at for at, _ in events if sum(p for other, p in events if 0 <= at - other <= window_s) > most]
    assert (found is not None) == bool(full)
    if found is not None:
        assert found == min(full)
