"""The desired mode where the runtime has named the container: before the API has, and without it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.cgroup.layout import classify
from agent.model import Cgroup, KeptDecision, Mode, Pod, Rule, Rules, RuntimeContainer, Sandbox
from agent.modes.desired import DesiredMode, desired_mode
from agent.pods.registry import Registry
from tests.unit.loop.world import CONTAINER, ID, MODE, POD, SANDBOX, UID, pod

OTHER, BOX = "b" * 64, "5" * 64
MIXED = {"mode.oomward.dev/other": "group"}
KEPT = KeptDecision(UID, UID, "default", "herder-1", "main", "c" * 64, Mode.SINGLE, MODE)


def known_by_runtime(
    labels: dict[str, str] | None = None, annotations: dict[str, str] | None = None, *kept: KeptDecision, uid: str = UID
) -> Registry:
    """The sandbox, and the containers ``main`` and ``other``."""
    registry = Registry(kept)
    named = Pod(uid, "default", "herder-1", "", labels=labels or {}, annotations=annotations or {})
    containers = RuntimeContainer(ID, "main", BOX), RuntimeContainer(OTHER, "other", BOX)
    registry.runtime.list([Sandbox(BOX, named)], containers, 0.0)
    return registry


def desired(registry: Registry, path: str = CONTAINER, rules: Rules | None = None) -> DesiredMode:
    return desired_mode(Cgroup(classify(path), 7), registry, rules or Rules(), lambda: None, (ID,).__contains__)


def test_containers_that_ask_for_different_modes_get_them_though_the_api_has_named_none_of_them() -> None:
    registry = known_by_runtime()
    registry.put(pod({MODE: "single"}, MIXED, {"main": None, "other": None}), 0.0)
    found = {name: desired(registry, f"{POD}/{cid}") for name, cid in (("main", ID), ("other", OTHER))}
    assert {name: (d.decision.mode, d.container) for name, d in found.items()} == {
        "main": (Mode.SINGLE, "main"),
        "other": (Mode.GROUP, "other"),
    }


@pytest.mark.parametrize("mode", list(Mode))
def test_a_pod_that_only_the_runtime_knows_gets_the_mode_of_its_labels(mode: Mode) -> None:
    found = desired(known_by_runtime({MODE: mode.value}))
    assert (found.decision.mode, found.pod_uid, found.container) == (mode, UID, "main")


def test_rules_apply_to_it_too() -> None:
    rules = Rules((Rule("batch", Mode.SINGLE, namespaces=("default",)),))
    assert desired(known_by_runtime(), rules=rules).decision.rule == "batch"


def test_its_tolerance_counts_too() -> None:
    found = desired(known_by_runtime({MODE: "single"}, {"oomward.dev/tolerate": "5/10m"}))
    assert found.tolerance is not None


def test_without_a_mode_nothing_that_was_enforced_before_is_given_up() -> None:
    """``pod_uid`` None: a label may have been added since its sandbox was created."""
    found = desired(known_by_runtime())
    assert (found.decision.mode, found.pod_uid, found.container) == (None, None, "main")


@pytest.mark.parametrize("by_api", [False, True])
@pytest.mark.parametrize("mode", list(Mode))
def test_a_sandbox_is_left_alone_whatever_its_pod_asks_for(mode: Mode, by_api: bool) -> None:
    registry = known_by_runtime({MODE: mode.value})
    if by_api:
        registry.put(pod({MODE: mode.value}, ids={"main": None}), 0.0)
    found = desired(registry, SANDBOX)
    assert (found.decision.mode, found.pod_uid, found.container) == (None, None, None)
    assert found.decision.why == "it is the pod's sandbox"


def test_a_cgroup_of_a_known_pod_that_the_runtime_has_not_named_waits_for_the_api() -> None:
    found = desired(known_by_runtime({MODE: "single"}), f"{POD}/{'d' * 64}")
    assert found.decision.mode is None
    assert "has not reported this pod yet" in found.decision.why


def test_the_apis_labels_go_before_those_of_the_sandbox() -> None:
    registry = known_by_runtime({MODE: "single"})
    registry.put(pod(ids={"main": None}), 0.0)
    assert desired(registry).decision.mode is None


def test_the_decision_that_was_kept_for_this_container_goes_before_the_sandboxs_labels() -> None:
    """A label that was changed after the sandbox was created is in the ledger, and not in the sandbox."""
    registry = known_by_runtime({MODE: "single"}, None, replace(KEPT, container_id=ID, mode=Mode.GROUP))
    assert desired(registry).decision.mode is Mode.GROUP


def test_a_restarted_container_gets_the_decision_that_was_kept_for_its_name() -> None:
    other = replace(KEPT, container="other", container_id="d" * 64, mode=Mode.GROUP)
    registry = known_by_runtime(None, None, KEPT, other)
    found = {name: desired(registry, f"{POD}/{cid}") for name, cid in (("main", ID), ("other", OTHER))}
    assert {name: (d.decision.mode, d.container, d.pod_uid) for name, d in found.items()} == {
        "main": (Mode.SINGLE, "main", UID),
        "other": (Mode.GROUP, "other", UID),
    }


def test_a_container_that_is_known_to_be_another_one_does_not_get_what_was_kept_for_all() -> None:
    found = desired(known_by_runtime(None, MIXED, KEPT), f"{POD}/{OTHER}")
    assert (found.decision.mode, found.container) == (Mode.GROUP, "other")


def test_a_static_pod_is_found_by_its_config_hash() -> None:
    config_hash = "8f2c5f3b1d6e7a90b1c2d3e4f5061728"
    path = f"kubepods/burstable/pod{config_hash}/{ID}"
    registry = known_by_runtime({MODE: "group"}, uid=config_hash)
    assert desired(registry, path).decision.mode is Mode.GROUP
    registry.put(replace(pod({MODE: "single"}, ids={"main": None}), uid="mirror", config_hash=config_hash), 0.0)
    found = desired(registry, path)
    assert (found.decision.mode, found.pod_uid, found.container) == (Mode.SINGLE, "mirror", "main")
