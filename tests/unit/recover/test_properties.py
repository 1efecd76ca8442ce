"""Whatever the pods, policies and histories are: never without both opt-ins, never beyond a bound, never wider, and always the same."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agent.model.recover import (
    ENABLED_LABEL,
    POLICY_ANNOTATION,
    Action,
    Attempt,
    Bounds,
    Policy,
    RecoverConfig,
    Space,
    State,
    Step,
)
from agent.recover.circuits import Circuits
from agent.recover.history import HOUR_S, History, parse_history
from agent.recover.planner import World, back_off_s, is_system
from tests.unit.recover.pods import NOW, REAL, crash_loop, init_fails, kill, killed, no_image, planned, pod, waiting

OWNER = "shop/ReplicaSet/app"
ASKS = st.sampled_from(
    [None, "true", "false", "", "image", "grow,retry", "fail, replace", "yes", "True", "image,,", "\x00"]
)
LABELS = st.sampled_from(
    [{}, {ENABLED_LABEL: "true"}, {ENABLED_LABEL: "false"}, {ENABLED_LABEL: "TRUE"}, {"a": "true"}]
)
SPACES = st.sampled_from(["shop", "shop", "shop", "kube-system", "openshift-x", "oomward"])
MAKERS = st.sampled_from(
    [
        no_image,
        killed,
        crash_loop,
        init_fails,
        lambda **more: pod(state=waiting("ErrImagePull", "manifest unknown"), **more),
    ]
)
OWNERS = st.sampled_from([None, "ReplicaSet", "Job", "StatefulSet"])
KEYS = st.fixed_dictionaries(
    {},
    optional={
        "enableSmartRecovery": st.booleans(),
        "enableBuildFallback": st.booleans(),
        "maxRecoveryAttempts": st.integers(0, 5),
        "disabledRecoveryActions": st.lists(st.sampled_from([one.value for one in Action]), max_size=3),
        "dryRun": st.booleans(),
    },
)
POLICIES = st.builds(
    Policy,
    enabled=st.booleans(),
    build_fallback=st.booleans(),
    most_attempts=st.integers(0, 4),
    disabled=st.frozensets(st.sampled_from(Action), max_size=3),
    dry_run=st.booleans(),
)
BOUNDS = st.builds(
    Bounds, namespace_per_hour=st.integers(1, 6), cluster_per_hour=st.integers(1, 9), back_off_s=st.floats(1, 900)
)


@st.composite
def histories(draw: Any) -> History:
    ages = sorted(draw(st.lists(st.floats(0, 2 * HOUR_S), max_size=12)), reverse=True)
    made = []
    for i, age in enumerate(ages):
        space = draw(st.sampled_from(["shop", "shop", "other"]))
        owner = OWNER if space == "shop" and draw(st.booleans()) else f"{space}/Job/other"
        action, state = draw(st.sampled_from(Action)), draw(st.sampled_from(State))
        made.append(Attempt(i + 1, owner, space, "p", "u", action, "app", "", "", "", "", NOW - age, state=state))
    return History(tuple(made), len(made))


@st.composite
def inputs(draw: Any) -> dict[str, Any]:
    name = draw(SPACES)
    notes = {POLICY_ANNOTATION: json.dumps(draw(KEYS))} if draw(st.booleans()) else {}
    of_space = {POLICY_ANNOTATION: json.dumps(draw(KEYS))} if draw(st.booleans()) else {}
    own = {"oomward.dev/grow": "25%/4Gi", "recover.oomward.dev/images.app": "b/a:1,c/a:1", **notes}
    raw = draw(MAKERS)(asks=draw(ASKS), owner=draw(OWNERS), namespace=name, notes=own)
    config = RecoverConfig(draw(POLICIES), draw(BOUNDS))
    space = Space(name, draw(LABELS), of_space)
    kills = (kill(),) if draw(st.booleans()) else ()
    return {"raw": raw, "space": space, "config": config, "history": draw(histories()), "kills": kills}


@given(inputs())
def test_nothing_is_done_without_both_opt_ins_or_in_a_system_namespace(given_: dict[str, Any]) -> None:
    found = planned(**given_)
    if isinstance(found, Step):
        asks = given_["raw"]["metadata"]["annotations"]["oomward.dev/recover"]
        assert given_["space"].labels == {ENABLED_LABEL: "true"}
        assert asks == "true" or found.attempt.action.value in asks
        assert not is_system(given_["space"].name, given_["config"])


@given(inputs())
def test_no_step_is_beyond_a_bound(given_: dict[str, Any]) -> None:
    found, config, history = planned(**given_), given_["config"], given_["history"]
    if not isinstance(found, Step):
        return
    attempt, bounds = found.attempt, config.bounds
    hour = [one.namespace for one in history.attempts if one.at_unix_s > NOW - HOUR_S]
    own = [one for one in history.attempts if one.owner == attempt.owner]
    assert len(hour) < bounds.cluster_per_hour
    assert Counter(hour)[attempt.namespace] < bounds.namespace_per_hour
    assert found.nth <= found.of <= config.policy.most_attempts
    assert all(one.state is not State.INTENDED for one in own[-1:])
    assert all(one.at_unix_s <= NOW - min(bounds.back_off_s, bounds.most_back_off_s) for one in own)


@given(inputs())
def test_no_level_widens_what_a_wider_one_forbids(given_: dict[str, Any]) -> None:
    found = planned(**given_)
    if isinstance(found, Step):
        texts = [given_["space"].annotations, given_["raw"]["metadata"]["annotations"]]
        for keys in (json.loads(one[POLICY_ANNOTATION]) for one in texts if POLICY_ANNOTATION in one):
            assert keys.get("enableSmartRecovery", True)
            assert found.attempt.action not in keys.get("disabledRecoveryActions", [])
            assert found.of <= keys.get("maxRecoveryAttempts", 9)
            assert found.dry_run or not keys.get("dryRun", False)
        assert given_["config"].policy.allows(found.attempt.action)
        assert found.dry_run or not given_["config"].policy.dry_run


@given(inputs())
def test_the_same_input_gives_the_same_answer(given_: dict[str, Any]) -> None:
    assert planned(**given_) == planned(**given_)


@given(inputs())
def test_what_is_planned_against_an_open_circuit_is_about_another_cause(given_: dict[str, Any]) -> None:
    found = planned(**given_, circuits=Circuits({"reason image-not-found": NOW + 1, "registry first.example": NOW + 1}))
    assert not isinstance(found, Step) or found.attempt.action is not Action.IMAGE


@given(st.integers(0, 30), st.integers(0, 30))
def test_the_back_off_grows_to_its_maximum_with_at_most_a_quarter_of_jitter(many: int, seed: int) -> None:
    attempts = tuple(
        Attempt(i + 1, f"o{seed}", "n", "p", "u", Action.RETRY, "", "", "", "", "", NOW) for i in range(many)
    )
    wait = back_off_s(World(REAL, History(attempts, many), NOW), f"o{seed}")
    whole = min(600.0, 30.0 * 2 ** max(0, many - 1))
    assert whole <= wait <= 1.25 * whole


@given(histories())
def test_the_journals_text_is_read_as_it_was_written(history: History) -> None:
    assert parse_history(history.text) == history
    again = replace(history, attempts=history.attempts)
    assert again.text == history.text
