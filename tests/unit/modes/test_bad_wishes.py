"""Labels and annotations that can't be obeyed are named, each once and not without end."""

from __future__ import annotations

import pytest

from agent.model import InvalidSetting, Rules, Source
from agent.modes.policy import MOST_INVALID, invalid_modes
from tests.unit.modes.pods import a_pod

NO_RULES = Rules()


def test_good_wishes_are_not_bad_ones() -> None:
    assert invalid_modes(a_pod("a", "b", label="Group", modes={"b": "single"}), NO_RULES) == ()
    assert invalid_modes(a_pod("a"), NO_RULES) == ()


def test_a_label_that_is_no_mode_is_named_as_it_was_written() -> None:
    (wish,) = invalid_modes(a_pod("a", label="Singel"), NO_RULES)
    assert (wish.source, wish.key, wish.value, wish.container) == (Source.LABEL, "oomward.dev/mode", "Singel", None)


def test_each_bad_annotation_is_named_with_its_container() -> None:
    wishes = invalid_modes(a_pod("a", "b", "c", modes={"a": "yes", "b": "single", "c": ""}), NO_RULES)
    assert [(w.key, w.value, w.container) for w in wishes] == [
        ("mode.oomward.dev/a", "yes", "a"),
        ("mode.oomward.dev/c", "", "c"),
    ]


def test_an_annotation_for_a_container_that_does_not_exist_is_a_bad_wish() -> None:
    (wish,) = invalid_modes(a_pod("herder", modes={"hearder": "single"}), NO_RULES)
    assert wish.container == "hearder"
    assert wish.why == "the pod has no container of that name"


def test_ten_thousand_annotations_give_a_few_wishes_and_the_number_of_the_others() -> None:
    pod = a_pod("a", label="nonsense", modes={f"c{i}": "single" for i in range(10_000)})
    wishes = invalid_modes(pod, NO_RULES)
    assert len(wishes) == MOST_INVALID + 1
    assert wishes[0].source is Source.LABEL
    assert "9991 more" in wishes[-1].why


@pytest.mark.parametrize(("more", "text"), [(1, "1 more annotation like"), (2, "2 more annotations like")])
def test_one_more_than_are_named_is_one_annotation(more: int, text: str) -> None:
    wishes = invalid_modes(a_pod("a", modes={f"c{i}": "single" for i in range(MOST_INVALID + more)}), NO_RULES)
    assert wishes[-1].why == f"and {text} these"


def test_exactly_as_many_as_are_named_need_no_sum() -> None:
    wishes = invalid_modes(a_pod("a", modes={f"c{i}": "single" for i in range(MOST_INVALID)}), NO_RULES)
    assert len(wishes) == MOST_INVALID
    assert all(w.container is not None for w in wishes)


def test_nothing_is_said_of_a_namespace_whose_wishes_do_not_count() -> None:
    pod = a_pod("a", namespace="kube-system", label="nonsense", modes={"x": "y"})
    assert invalid_modes(pod, Rules((), ("kube-*",))) == ()


def test_other_annotations_are_nobodys_business() -> None:
    pod = a_pod("a")
    assert not any(isinstance(w, InvalidSetting) for w in invalid_modes(pod, NO_RULES))
