"""All scenarios here run under the admission policies' stand-in. What the policies and the stand-in say is the same."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.model.recover import State
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
    "a toleration": (lambda pod: pod["spec"].update(tolerations=[{}]), "tolerations"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_the_pod_does_not_allow_is_denied(lab: Lab, change: str) -> None:
    old = no_image()
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


def test_a_pod_that_is_created_replaces_one_that_asked_and_has_no_privileges(lab: Lab) -> None:
    lab.put(crash_loop(owner=None))
    lab.replica().look(NOW)
    made = lab.pod("app-1-r1")
    admission = RecoverAdmission(lab.server)
    assert admission("create", PODS, made, None) is None
    assert admission("create", PODS, crash_loop(), None) is not None
    for bad in ({"hostNetwork": True}, {"volumes": [{"name": "x", "hostPath": {"path": "/"}}]}):
        assert admission("create", PODS, {**made, "spec": {**made["spec"], **bad}}, None) is not None


def test_a_namespace_that_is_closed_right_before_a_request_ends_the_step(lab: Lab) -> None:
    """Later than the controller looks: the policy denies it."""
    lab.put(crash_loop())

    def close(_method: str, path: str) -> None:
        if "/eviction" in path:
            lab.server.objects.stored["/api/v1", "namespaces", "", "shop"] = {
                "metadata": {"name": "shop", "resourceVersion": "1"}
            }

    lab.replica("a", close).look(NOW)
    assert [one.state for one in lab.history.attempts] == [State.REFUSED]
    assert "not opened" in lab.history.attempts[0].result
