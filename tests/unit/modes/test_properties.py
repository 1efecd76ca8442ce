"""Policy against naive oracles that share no code with it."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from agent.model import (
    MODE_ANNOTATION_PREFIX,
    MODE_LABEL,
    LabelSelector,
    Mode,
    Operator,
    Pod,
    Requirement,
    Rule,
    Rules,
)
from agent.modes.policy import MOST_INVALID, any_glob, decide, decide_unnamed, invalid_modes, selector_matches
from tests.unit.modes.pods import a_pod

KEYS, VALUES, NAMES = ("a", "b", "c"), ("", "x", "y"), ("web", "db", "job")
labels = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES))
some_values = st.frozensets(st.sampled_from(VALUES), min_size=1)
requirements = st.one_of(
    st.builds(Requirement, st.sampled_from(KEYS), st.sampled_from([Operator.IN, Operator.NOT_IN]), some_values),
    st.builds(Requirement, st.sampled_from(KEYS), st.sampled_from([Operator.EXISTS, Operator.DOES_NOT_EXIST])),
)
selectors = st.lists(requirements, max_size=3).map(lambda found: LabelSelector(tuple(found)))
globs = st.lists(st.sampled_from(("web", "w*", "?b", "[dj]*", "*", "none")), max_size=2).map(tuple)
rule_lists = st.lists(
    st.builds(Rule, st.sampled_from(NAMES), st.sampled_from([None, *Mode]), globs, selectors, globs), max_size=4
)
spoken = st.none() | st.sampled_from(("single", "GROUP", "nonsense"))


@st.composite
def pods(draw: st.DrawFn) -> Pod:
    modes = draw(st.dictionaries(st.sampled_from(NAMES), st.sampled_from(("single", "Group", "nonsense"))))
    namespace, label = draw(st.sampled_from(NAMES)), draw(spoken)
    return a_pod(*NAMES, namespace=namespace, label=label, labels=draw(labels), modes=modes)


def oracle_matches(selector: LabelSelector, found: dict[str, str]) -> bool:
    """Each requirement by the set of label values that it lets pass; None stands for an absent label."""
    for want in selector.requirements:
        passing: set[str | None] = {
            Operator.IN: set(want.values),
            Operator.NOT_IN: {None, *VALUES} - want.values,
            Operator.EXISTS: set(VALUES),
            Operator.DOES_NOT_EXIST: {None},
        }[want.operator]  # type: ignore[assignment]
        if found.get(want.key) not in passing:
            return False
    return True


def oracle_glob(glob: str, text: str) -> bool:
    return re.fullmatch(glob.replace("*", ".*").replace("?", "."), text) is not None


def oracle_mode(pod: Pod, name: str, rules: Rules) -> Mode | None:
    statements: list[str | None] = []
    if not any(oracle_glob(glob, pod.namespace) for glob in rules.ignore_labels_in):
        statements += [pod.annotations.get(MODE_ANNOTATION_PREFIX + name), pod.labels.get(MODE_LABEL)]
    for said in statements:
        if said is not None:
            return {"single": Mode.SINGLE, "group": Mode.GROUP}.get(said.lower())
    for rule in rules.rules:
        in_namespace = any(oracle_glob(glob, pod.namespace) for glob in rule.namespaces or ("*",))
        in_containers = any(oracle_glob(glob, name) for glob in rule.containers or ("*",))
        if in_namespace and in_containers and oracle_matches(rule.pods, dict(pod.labels)):
            return rule.mode
    return None


@given(selectors, labels)
def test_a_selector_matches_what_its_requirements_let_pass(selector: LabelSelector, found: dict[str, str]) -> None:
    assert selector_matches(selector, found) == oracle_matches(selector, found)


@given(pods(), rule_lists, globs, st.sampled_from(NAMES))
def test_the_mode_is_that_of_the_first_statement(
    pod: Pod, rules: list[Rule], ignored: tuple[str, ...], name: str
) -> None:
    together = Rules(tuple(rules), ignored)
    assert decide(pod, name, together).mode == oracle_mode(pod, name, together)


@given(pods(), rule_lists, st.sets(st.sampled_from(NAMES)))
def test_an_unnamed_container_is_never_given_a_mode_that_one_candidate_would_not_have(
    pod: Pod, rules: list[Rule], names: set[str]
) -> None:
    together = Rules(tuple(rules))
    decision = decide_unnamed(pod, sorted(names), together)
    modes = {decide(pod, name, together).mode for name in names}
    assert ({decision.mode} if decision is not None else None) == (modes if len(modes) == 1 else None)


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=20), max_size=30), st.none() | st.text(max_size=70))
def test_any_text_in_labels_and_annotations_is_borne(modes: dict[str, str], label: str | None) -> None:
    pod = a_pod("herder", label=label, modes=modes)
    assert len(invalid_modes(pod, Rules())) <= MOST_INVALID + 1
    for name in ("herder", *modes):
        mode = decide(pod, name, Rules()).mode
        said = modes.get(name, label)
        assert (mode is None) == (said is None or said.lower() not in ("single", "group"))


@given(st.sampled_from(("web*", "?b", "[dj]b", "[!d]b", "*", "a.b")), st.text("dbjwea.x", max_size=5))
def test_globs_match_the_whole_text(glob: str, text: str) -> None:
    pattern = glob.replace(".", r"\.").replace("*", ".*").replace("?", ".").replace("[!", "[^")
    assert any_glob((glob,), text) == (re.fullmatch(pattern, text, re.DOTALL) is not None)


def test_case_counts_in_globs() -> None:
    assert not any_glob(("Web",), "web")
