"""Which mode a container gets: annotation, then label, then the first rule that matches, then nothing."""

from __future__ import annotations

import pytest

from agent.model import (
    LabelSelector,
    Mode,
    Operator,
    Requirement,
    Rule,
    Rules,
    Source,
)
from agent.modes.policy import decide, decide_unnamed
from tests.unit.modes.pods import a_pod

NO_RULES = Rules()
ALL_GROUP = Rules((Rule("everything", Mode.GROUP),))


def test_a_pod_that_asks_for_nothing_is_left_alone() -> None:
    decision = decide(a_pod(), "herder", NO_RULES)
    assert (decision.mode, decision.source, decision.rule) == (None, Source.NONE, "")


def test_the_label_speaks_for_every_container_of_its_pod() -> None:
    pod = a_pod("herder", "sidecar", label="single")
    assert [decide(pod, name, NO_RULES).mode for name in ("herder", "sidecar")] == [Mode.SINGLE, Mode.SINGLE]


def test_an_annotation_goes_before_the_label_for_its_container_only() -> None:
    pod = a_pod("herder", "sidecar", label="single", modes={"sidecar": "group"})
    assert decide(pod, "sidecar", NO_RULES).mode is Mode.GROUP
    assert decide(pod, "sidecar", NO_RULES).rule == "mode.oomward.dev/sidecar"
    assert decide(pod, "herder", NO_RULES).source is Source.LABEL


def test_label_and_annotation_go_before_every_rule() -> None:
    assert decide(a_pod(label="single"), "herder", ALL_GROUP).mode is Mode.SINGLE
    assert decide(a_pod(modes={"herder": "single"}), "herder", ALL_GROUP).mode is Mode.SINGLE


def test_a_rule_decides_where_nobody_spoke_and_is_named() -> None:
    decision = decide(a_pod(), "herder", ALL_GROUP)
    assert (decision.mode, decision.source, decision.rule) == (Mode.GROUP, Source.RULE, "everything")
    assert decision.why == "configured rule everything: group"


def test_the_first_rule_that_matches_wins() -> None:
    rules = Rules((Rule("others", Mode.GROUP, namespaces=("other-*",)), Rule("a", Mode.SINGLE), Rule("b", Mode.GROUP)))
    assert decide(a_pod(), "herder", rules).rule == "a"


def test_a_rule_that_says_leave_alone_ends_the_search() -> None:
    rules = Rules((Rule("not the shop", None, namespaces=("shop",)), Rule("all", Mode.GROUP)))
    decision = decide(a_pod(), "herder", rules)
    assert (decision.mode, decision.source, decision.rule) == (None, Source.RULE, "not the shop")


def test_namespaces_containers_and_selector_of_a_rule_must_all_match() -> None:
    selector = LabelSelector((Requirement("app", Operator.IN, frozenset({"lab"})),))
    rules = Rules((Rule("r", Mode.SINGLE, namespaces=("jupyter-*", "sh?p"), pods=selector, containers=("note*",)),))
    fits = {"app": "lab"}
    assert decide(a_pod("notebook", labels=fits), "notebook", rules).mode is Mode.SINGLE
    assert decide(a_pod("notebook", labels=fits, namespace="jupyter-a"), "notebook", rules).mode is Mode.SINGLE
    assert decide(a_pod("notebook", labels=fits, namespace="xshop"), "notebook", rules).mode is None
    assert decide(a_pod("notebook", labels={"app": "x"}), "notebook", rules).mode is None
    assert decide(a_pod("proxy", labels=fits), "proxy", rules).mode is None


@pytest.mark.parametrize("value", ["single", "SINGLE", "Single", "sInGlE"])
def test_upper_and_lower_case_both_do(value: str) -> None:
    assert decide(a_pod(label=value), "herder", NO_RULES).mode is Mode.SINGLE
    assert decide(a_pod(modes={"herder": value}), "herder", NO_RULES).mode is Mode.SINGLE


@pytest.mark.parametrize(
    "value", ["", "0", "singel", " single", "single ", "true", "none", "leave", "single,group", "ſingle"]
)
def test_a_value_that_is_no_mode_leaves_alone_what_it_covers(value: str) -> None:
    """Neither the label below a bad annotation nor a rule below a bad label comes into force."""
    by_label = decide(a_pod(label=value), "herder", ALL_GROUP)
    assert (by_label.mode, by_label.source) == (None, Source.LABEL)
    by_annotation = decide(a_pod(label="group", modes={"herder": value}), "herder", ALL_GROUP)
    assert (by_annotation.mode, by_annotation.source) == (None, Source.ANNOTATION)
    assert "not a mode" in by_annotation.why
    assert repr(value) in by_annotation.why


def test_a_good_annotation_holds_below_a_bad_label() -> None:
    pod = a_pod("herder", "sidecar", label="singel", modes={"sidecar": "single"})
    assert decide(pod, "sidecar", NO_RULES).mode is Mode.SINGLE
    assert decide(pod, "herder", NO_RULES).mode is None


def test_where_labels_are_ignored_only_rules_count() -> None:
    rules = Rules((Rule("sys", Mode.GROUP, namespaces=("kube-*",)),), ignore_labels_in=("kube-*",))
    pod = a_pod(namespace="kube-system", label="single", modes={"herder": "single"})
    assert decide(pod, "herder", rules).rule == "sys"
    assert decide(pod, "herder", Rules((), ("kube-*",))).mode is None
    assert decide(a_pod(namespace="shop", label="single"), "herder", rules).mode is Mode.SINGLE


def test_the_reason_stays_short_whatever_was_written() -> None:
    assert len(decide(a_pod(modes={"herder": "x" * 200_000}), "herder", NO_RULES).why) < 300


def test_an_unnamed_container_gets_the_mode_on_which_all_candidates_agree() -> None:
    pod = a_pod("a", "b", "c", label="single", modes={"c": "group"})
    agreed = decide_unnamed(pod, ("a", "b"), NO_RULES)
    assert agreed is not None
    assert agreed.mode is Mode.SINGLE
    assert decide_unnamed(pod, ("a", "b", "c"), NO_RULES) is None


def test_candidates_agree_on_a_mode_for_different_reasons_too() -> None:
    pod = a_pod("a", "b", label="single", modes={"b": "SINGLE"})
    agreed = decide_unnamed(pod, ("a", "b"), NO_RULES)
    assert agreed is not None
    assert agreed.mode is Mode.SINGLE


def test_candidates_that_are_all_left_alone_agree_and_no_candidates_do_not() -> None:
    agreed = decide_unnamed(a_pod("a", "b"), ("a", "b"), NO_RULES)
    assert agreed is not None
    assert agreed.mode is None
    assert decide_unnamed(a_pod("a", label="single"), (), NO_RULES) is None
