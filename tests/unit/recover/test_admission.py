"""All scenarios here run under the admission policies' stand-in. What the policies and the stand-in say is the same."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.model.recover import State
from agent.recover.planner import SYSTEM, SYSTEM_NAMES
from tests.lab import recover_admission
from tests.lab.recover_admission import RecoverAdmission
from tests.unit.recover.lab import Lab
from tests.unit.recover.pods import NOW, crash_loop, killed, memory, no_image

COMPONENTS = Path(__file__).parents[3] / "manifests" / "components"
POD, PODS = "/api/v1/namespaces/shop/pods/app-1", "/api/v1/namespaces/shop/pods"
Change = Callable[[dict[str, Any]], object]


def spec(file: Path) -> Any:
    return yaml.safe_load(file.read_text())["spec"]


@pytest.mark.parametrize(
    "path", sorted((COMPONENTS / "recover-admission").glob("*[!g].yaml")), ids=lambda path: path.stem
)
def test_the_stand_in_denies_with_the_messages_of_the_policies(path: Path) -> None:
    if path.stem != "kustomization":
        source = Path(recover_admission.__file__).read_text()
        assert all(one["message"] in source for one in spec(path)["validations"])


@pytest.mark.parametrize("folder", ["recover-admission", "defaults"])
def test_each_policy_is_bound_and_binds_only_what_it_names(folder: str) -> None:
    policies = [
        path for path in (COMPONENTS / folder).glob("*.yaml") if not path.stem.endswith(("-binding", "kustomization"))
    ]
    assert policies
    for path in policies:
        binding = spec(path.with_name(f"{path.stem}-binding.yaml"))
        assert binding["policyName"] == yaml.safe_load(path.read_text())["metadata"]["name"]
        (rule,) = spec(path)["matchConstraints"]["resourceRules"]
        assert len(rule["resources"]) == len(rule["operations"]) == 1, "one policy for each resource"
        if folder == "defaults":
            assert (spec(path)["failurePolicy"], rule["operations"]) == ("Ignore", ["CREATE"])
        else:
            assert (spec(path)["failurePolicy"], binding["validationActions"]) == ("Fail", ["Deny"])
            assert [one["name"] for one in spec(path)["matchConditions"]] == ["only-recover"]


CHANGES: dict[str, tuple[Change, str]] = {
    "another image": (lambda pod: pod["spec"]["containers"][0].update(image="evil/a:1"), "does not list"),
    "a label": (lambda pod: pod["metadata"]["labels"].update(a="b"), "labels"),
    "an annotation": (lambda pod: pod["metadata"]["annotations"].update(a="b"), "writes no annotations"),
    "no annotation": (
        lambda pod: pod["metadata"]["annotations"].pop("recover.oomward.dev/images.app"),
        "writes no annotations",
    ),
    "an image of a pod that asks for another action": (
        lambda pod: pod["spec"]["containers"][0].update(image="second.example/app:1"),
        "does not list",
    ),
    "a deadline": (lambda pod: pod["spec"].update(activeDeadlineSeconds=2), "a deadline, of one second"),
    "a deadline of a pod that asks for another action": (
        lambda pod: pod["spec"].update(activeDeadlineSeconds=1),
        "a deadline, of one second",
    ),
    "a toleration": (lambda pod: pod["spec"].update(tolerations=[{}]), "tolerations"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_the_pod_does_not_allow_is_denied(lab: Lab, change: str) -> None:
    old = no_image(asks="retry" if "another action" in change else "true")
    new = copy.deepcopy(old)
    CHANGES[change][0](new)
    why = RecoverAdmission(lab.server)("patch", POD, new, old)
    assert why is not None
    assert CHANGES[change][1] in why


@pytest.mark.parametrize(
    ("before", "after", "allowed"),
    [
        (memory("256Mi"), memory("512Mi"), True),
        (memory("256Mi"), memory("2Gi"), False),
        (memory("256Mi"), memory("128Mi"), False),
        (memory("256Mi", "64Mi"), memory("256Mi", "128Mi"), False),
        (memory("256Mi", "256Mi"), memory("512Mi", "512Mi"), True),
        (memory("256Mi"), {"resources": {"limits": {"memory": "512Mi", "cpu": "1"}}}, False),
    ],
)
def test_memory_is_raised_up_to_the_maximum_and_nothing_else_changes(
    lab: Lab, before: Any, after: Any, allowed: bool
) -> None:
    old, new = killed(container=before), killed(container=after)
    assert (RecoverAdmission(lab.server)("patch", f"{POD}/resize", new, old) is None) is allowed


@pytest.mark.parametrize(
    ("asks", "allowed"), [("true", True), ("image, grow", True), ("image", False), ("false", False), (None, False)]
)
def test_memory_is_raised_only_where_the_pod_asks_for_growth(lab: Lab, asks: str | None, allowed: bool) -> None:
    old, new = (killed(container=memory(limit), asks=asks) for limit in ("256Mi", "512Mi"))
    assert (RecoverAdmission(lab.server)("patch", f"{POD}/resize", new, old) is None) is allowed


@pytest.mark.parametrize("namespace", ["kube-system", "openshift", "openshift-monitoring", "oomward"])
@pytest.mark.parametrize("sub", ["", "/resize", "/eviction"])
def test_a_system_namespace_is_closed_even_if_somebody_opens_it(lab: Lab, namespace: str, sub: str) -> None:
    lab.open(namespace)
    raw = killed(namespace=namespace)
    why = RecoverAdmission(lab.server)("patch", f"/api/v1/namespaces/{namespace}/pods/app-1{sub}", raw, raw)
    assert why == "system namespaces are never touched"


@pytest.mark.parametrize(
    "path", sorted((COMPONENTS / "recover-admission").glob("*[!gn].yaml")), ids=lambda path: path.stem
)
def test_the_policies_close_the_namespaces_that_the_planner_closes(path: Path) -> None:
    text = path.read_text()
    assert all(f"startsWith('{prefix}')" in text for prefix in SYSTEM)
    assert all(name.startswith(SYSTEM) or f"'{name}'" in text for name in SYSTEM_NAMES)


def test_a_pod_that_is_created_replaces_one_that_asked_and_has_no_privileges(lab: Lab) -> None:
    lab.put(crash_loop(owner=None))
    lab.replica().look(NOW)
    made = lab.pod("app-1-r1")
    admission = RecoverAdmission(lab.server)
    assert admission("create", PODS, made, None) is None
    assert admission("create", PODS, crash_loop(), None) is not None
    asks = {**made["metadata"]["annotations"], "oomward.dev/recover": "image"}
    assert admission("create", PODS, {**made, "metadata": {**made["metadata"], "annotations": asks}}, None) is not None
    for bad in ({"hostNetwork": True}, {"volumes": [{"name": "x", "hostPath": {"path": "/"}}]}):
        assert admission("create", PODS, {**made, "spec": {**made["spec"], **bad}}, None) is not None


def test_a_namespace_that_is_closed_right_before_a_request_ends_the_step(lab: Lab) -> None:
    """Later than the controller looks: the policy denies it."""
    lab.put(crash_loop())

    def close(_method: str, path: str) -> None:
        if "/eviction" in path:
            lab.server.objects.stored["/api/v1", "namespaces", "", "shop"] = {"metadata": {"name": "shop"}}

    lab.replica("a", close).look(NOW)
    assert [one.state for one in lab.history.attempts] == [State.REFUSED]
    assert "not opened" in lab.history.attempts[0].result
