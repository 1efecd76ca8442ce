"""The value that the runtime is asked for, before a container is created and when it is updated: what policy decides, from memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model import KeptDecision, Mode, Pod, Rule, Rules, RuntimeContainer, Sandbox
from agent.modes.creation import CreationModes
from agent.modes.policy import decide
from agent.pods.registry import Registry
from tests.unit.modes.pods import a_pod
from tests.unit.modes.test_properties import NAMES, globs, pods, rule_lists

HERDER = RuntimeContainer("a" * 64, "herder", "s")
SINGLE_FOR_ALL = Rules((Rule("all", Mode.SINGLE),))


def asks(
    pod: Pod,
    *,
    container: RuntimeContainer = HERDER,
    rules: Rules | None = None,
    by_api: Pod | None = None,
    in_force: Mapping[str, Mode | None] | None = None,
    running: bool = False,
    version: str = "v2",
    without_us: Mapping[str, int] | None = None,
) -> int | None:
    registry = Registry()
    if by_api is not None:
        registry.put(by_api, 0.0)
    modes = CreationModes(
        registry, lambda: rules or Rules(), {} if in_force is None else in_force, version, without_us or {}
    )
    return modes.oom_group(Sandbox("s", pod), container, running)


@pytest.mark.parametrize(("label", "value"), [("single", 0), ("group", 1), ("SINGLE", 0), (None, None), ("typo", None)])
def test_the_pods_label_decides(label: str | None, value: int | None) -> None:
    assert asks(a_pod(label=label)) == value


def test_an_annotation_decides_for_its_container_before_the_label_does() -> None:
    pod = a_pod(label="single", modes={"sidecar": "group"})
    assert asks(pod) == 0
    assert asks(pod, container=replace(HERDER, name="sidecar")) == 1


def test_a_rule_decides_where_the_pod_asks_for_nothing() -> None:
    assert asks(a_pod(), rules=SINGLE_FOR_ALL) == 0
    assert asks(a_pod(label="group"), rules=SINGLE_FOR_ALL) == 1


def test_the_rules_are_those_in_force_at_the_question() -> None:
    rules = Rules()
    modes = CreationModes(Registry(), lambda: rules, {}, "v2", {})
    assert modes.oom_group(Sandbox("s", a_pod()), HERDER, False) is None
    rules = SINGLE_FOR_ALL
    assert modes.oom_group(Sandbox("s", a_pod()), HERDER, False) == 0


def test_labels_are_ignored_in_a_namespace_that_is_not_obeyed() -> None:
    rules = Rules(ignore_labels_in=("sh*",))
    assert asks(a_pod(namespace="shop", label="single"), rules=rules) is None
    assert asks(a_pod(namespace="other", label="single"), rules=rules) == 0


def test_the_apis_labels_go_before_those_that_the_sandbox_was_created_with() -> None:
    assert asks(a_pod(label="single"), by_api=a_pod(label="group")) == 1
    assert asks(a_pod(label="single"), by_api=a_pod()) is None
    assert asks(a_pod(), by_api=a_pod(label="single")) == 0


def test_a_static_pods_labels_are_those_of_its_mirror_in_the_api() -> None:
    mirror = replace(a_pod(label="group"), uid="mirror", config_hash="hash")
    assert asks(replace(a_pod(label="single"), uid="hash"), by_api=mirror) == 1


def test_the_labels_of_another_pod_of_the_same_name_do_not_matter() -> None:
    assert asks(a_pod(label="single"), by_api=replace(a_pod(label="group"), uid="the one before")) == 0


def test_an_update_keeps_what_is_in_force_also_where_a_tolerance_was_exceeded() -> None:
    armed = {HERDER.container_id: Mode.GROUP}
    assert asks(a_pod(label="single"), in_force=armed, running=True) == 1
    assert asks(a_pod(label="single"), in_force={HERDER.container_id: Mode.SINGLE}, running=True) == 0


def test_an_update_of_a_container_that_opted_out_is_left_alone() -> None:
    assert asks(a_pod(label="single"), in_force={HERDER.container_id: None}, running=True) is None


@pytest.mark.parametrize("value", [0, 1])
def test_an_update_of_one_that_was_created_with_our_value_and_opted_out_gets_the_value_without_us(value: int) -> None:
    """Measured, containerd 2.1: the CPU manager's update has no value of its own, and ours is sent again, from the creation."""
    created = {HERDER.container_id: value}
    assert asks(a_pod(), in_force={HERDER.container_id: None}, running=True, without_us=created) == value
    assert asks(a_pod(), in_force={HERDER.container_id: Mode.SINGLE}, running=True, without_us=created) == 0
    assert asks(a_pod(), in_force={HERDER.container_id: None}, without_us=created) is None, "a creation"
    assert asks(a_pod(), in_force={"b" * 64: None}, running=True, without_us={"b" * 64: value}) is None, "another one"


def test_an_update_of_a_container_that_is_not_known_yet_follows_the_labels() -> None:
    assert asks(a_pod(label="single"), in_force={"b" * 64: Mode.GROUP}, running=True) == 0


def test_a_creation_does_not_look_at_what_is_in_force() -> None:
    assert asks(a_pod(label="single"), in_force={HERDER.container_id: Mode.GROUP}) == 0


@pytest.mark.parametrize("running", [False, True])
def test_on_cgroup_v1_nothing_can_be_set(running: bool) -> None:
    known = {HERDER.container_id: Mode.SINGLE}
    assert asks(a_pod(label="single"), in_force=known, running=running, version="v1") is None


def asks_ledger(*kept: KeptDecision, by_api: Pod | None = None) -> int | None:
    """By an agent that has started again, with this ledger."""
    registry = Registry(kept)
    if by_api is not None:
        registry.put(by_api, 0.0)
        registry.forget_remembered(by_api.cgroup_key)
    modes = CreationModes(registry, Rules, {}, "v2", {})
    return modes.oom_group(Sandbox("s", a_pod(label="single")), HERDER, False)


def test_without_the_api_the_last_decision_for_its_name_goes_before_the_sandboxs_labels_as_for_the_file() -> None:
    """Its label was changed after its sandbox was created."""
    pod = a_pod()
    kept = KeptDecision(pod.uid, pod.uid, pod.namespace, pod.name, HERDER.name, "b" * 64, Mode.GROUP, "label")
    assert asks_ledger(kept) == 1
    assert asks_ledger(replace(kept, container="another")) == 0
    assert asks_ledger(replace(kept, cgroup_key="another")) == 0
    assert asks_ledger(kept, by_api=pod) is None, "the API counts from now on"


class RemovedMeanwhile(Mapping[str, Mode | None]):
    """The loop removes the container right after it was found."""

    def __contains__(self, _: object) -> bool:
        return True

    def __getitem__(self, key: str) -> Mode | None:
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def test_a_container_that_the_loop_removes_at_that_moment_is_no_fault() -> None:
    assert asks(a_pod(label="single"), in_force=RemovedMeanwhile(), running=True) == 0


@given(pods(), rule_lists, globs, st.sampled_from(NAMES), st.booleans())
def test_any_creation_is_answered_with_what_policy_decides(
    pod: Pod, found: list[Rule], ignored: tuple[str, ...], name: str, known: bool
) -> None:
    rules = Rules(tuple(found), ignore_labels_in=ignored)
    sandbox = a_pod() if known else pod
    value = asks(sandbox, container=replace(HERDER, name=name), rules=rules, by_api=pod if known else None)
    mode = decide(pod, name, rules).mode
    assert value == {None: None, Mode.SINGLE: 0, Mode.GROUP: 1}[mode]
