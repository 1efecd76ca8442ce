"""What a container's knob should be, with and without its name, with and without the API."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import pytest

from agent.cgroup.layout import classify
from agent.model import Cgroup, KeptDecision, Mode, Pod, Rule, Rules
from agent.modes.desired import DesiredMode, desired_mode, oom_group_values
from agent.pods.registry import Registry
from tests.unit.loop.world import CONTAINER, ID, MODE, SANDBOX, UID, pod

MIB = 1 << 20
CGROUP = Cgroup(classify(CONTAINER), 7)
CHILD = Cgroup(classify(f"{CONTAINER}/container"), 8)
KEPT = KeptDecision(UID, UID, "default", "herder-1", "main", ID, Mode.SINGLE, MODE)


def wish(
    one: Pod | None,
    *,
    path: str = CONTAINER,
    rules: Rules | None = None,
    limit: int | None = None,
    running: Collection[str] = (ID,),
) -> DesiredMode:
    registry = Registry()
    if one is not None:
        registry.put(one, 0.0)
    return desired_mode(Cgroup(classify(path), 7), registry, rules or Rules(), lambda: limit, running.__contains__)


def kept(*decisions: KeptDecision, path: str = CONTAINER) -> DesiredMode:
    return desired_mode(Cgroup(classify(path), 7), Registry(decisions), Rules(), lambda: None, (ID,).__contains__)


@pytest.mark.parametrize("mode", list(Mode))
def test_a_named_container_gets_what_its_pod_asks_for(mode: Mode) -> None:
    found = wish(pod({MODE: mode.value}))
    assert (found.decision.mode, found.pod_uid, found.container) == (mode, UID, "main")


def test_a_pod_that_the_api_has_not_told_of_is_left_alone() -> None:
    found = wish(None)
    assert (found.decision.mode, found.pod_uid) == (None, None)
    assert "has not reported this pod yet" in found.decision.why


def test_single_does_not_wait_for_the_name_even_on_what_may_be_a_sandbox() -> None:
    for path in (CONTAINER, SANDBOX):
        found = wish(pod({MODE: "single"}, ids={"main": None}), path=path)
        assert (found.decision.mode, found.container) == (Mode.SINGLE, None)


def test_a_container_that_was_restarted_does_not_wait_until_the_api_knows_of_its_predecessors_end() -> None:
    """The kubelet restarts at once, and its word that the one before runs may come a second after that one's death."""
    assert wish(pod({MODE: "single"}), path=SANDBOX).decision.mode is None, "main runs: this is the sandbox"
    assert wish(pod({MODE: "single"}), path=SANDBOX, running=()).decision.mode is Mode.SINGLE


def test_group_waits_for_the_name() -> None:
    found = wish(pod({MODE: "group"}, ids={"main": None}))
    assert found.decision.mode is None
    assert "never written to a sandbox" in found.decision.why


def test_candidates_that_disagree_wait_for_the_name_unless_their_limits_tell_them_apart() -> None:
    labelled = pod(
        {MODE: "single"}, {"mode.oomward.dev/other": "group"}, {"main": None, "other": None}, main=64 * MIB, other=MIB
    )
    assert wish(labelled).decision.mode is None
    assert "different modes" in wish(labelled).decision.why
    assert wish(labelled, limit=64 * MIB).decision.mode is Mode.SINGLE
    assert wish(labelled, limit=MIB).decision.mode is None, "group waits all the same"


def test_a_container_that_runs_under_another_id_is_no_candidate() -> None:
    labelled = pod(annotations={"mode.oomward.dev/main": "single"}, ids={"main": None, "other": "b" * 64})
    assert wish(labelled, running=("b" * 64,)).decision.mode is Mode.SINGLE


def test_a_configured_rule_speaks_where_the_pod_does_not() -> None:
    rules = Rules((Rule("batch", Mode.SINGLE, namespaces=("default",)),))
    assert wish(pod(), rules=rules).decision.rule == "batch"
    assert wish(pod({MODE: "group"}), rules=rules).decision.mode is Mode.GROUP


def test_without_the_api_a_container_keeps_what_was_decided_for_it() -> None:
    for mode in Mode:
        found = kept(replace(KEPT, mode=mode))
        assert (found.decision.mode, found.pod_uid, found.container) == (mode, UID, "main")
        assert "the last decision" in found.decision.why


def test_without_the_api_a_restarted_container_gets_single_if_all_of_its_pod_had_it() -> None:
    again = CONTAINER.replace("a" * 64, "b" * 64)
    assert kept(KEPT, path=again).decision.mode is Mode.SINGLE
    assert kept(replace(KEPT, mode=Mode.GROUP), path=again).decision.mode is None, "it may be the sandbox"
    mixed = replace(KEPT, container="other", container_id="c" * 64, mode=Mode.GROUP)
    assert kept(KEPT, mixed, path=again).decision.mode is None


def test_the_apis_word_counts_more_than_what_was_kept() -> None:
    registry = Registry([KEPT])
    registry.put(pod(), 0.0)
    assert desired_mode(CGROUP, registry, Rules(), lambda: None, (ID,).__contains__).decision.mode is None


def test_an_id_that_was_kept_for_another_pod_names_nothing_here() -> None:
    registry = Registry([replace(KEPT, pod_uid="0" * 36, container="stranger")])
    registry.put(pod(ids={"main": None}), 0.0)
    assert desired_mode(CGROUP, registry, Rules(), lambda: None, (ID,).__contains__).container is None


@pytest.mark.parametrize(
    ("child", "mode", "knobs"),
    [
        (None, Mode.SINGLE, {CGROUP: 0}),
        (None, Mode.GROUP, {CGROUP: 1}),
        (CHILD, Mode.SINGLE, {CGROUP: 0, CHILD: 0}),
        (CHILD, Mode.GROUP, {CHILD: 1}),
    ],
)
def test_single_needs_a_0_at_every_level_and_group_a_1_where_the_processes_are(
    child: Cgroup | None, mode: Mode, knobs: dict[Cgroup, int]
) -> None:
    assert oom_group_values(CGROUP, child, mode) == knobs
