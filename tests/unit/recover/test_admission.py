"""All scenarios here run under the admission policies' own expressions, which deny what a broken controller tries."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.model.recover import REPLACES_ANNOTATION, State
from agent.recover.planner import SYSTEM, SYSTEM_NAMES
from tests.lab.admission_policies import given, policy
from tests.lab.cel import CelError
from tests.lab.cel_types import typed
from tests.lab.recover_admission import ACCOUNT, NAMES, RecoverAdmission
from tests.unit.recover.lab import Lab
from tests.unit.recover.pods import NOW, crash_loop, killed, memory, no_image

COMPONENTS = Path(__file__).parents[3] / "manifests" / "components"
POD, PODS = "/api/v1/namespaces/shop/pods/app-1", "/api/v1/namespaces/shop/pods"
NOTES = {"oomward.dev/recover": "true"}
Change = Callable[[dict[str, Any]], object]


def spec(file: Path) -> Any:
    return yaml.safe_load(file.read_text())["spec"]


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
    "a scheduling gate": (lambda pod: pod["spec"].update(schedulingGates=[]), "scheduling"),
    "a node selector": (lambda pod: pod["spec"].update(nodeSelector={"a": "b"}), "scheduling"),
    "an affinity": (lambda pod: pod["spec"].update(affinity={"nodeAffinity": {}}), "scheduling"),
    "the grace period": (lambda pod: pod["spec"].update(terminationGracePeriodSeconds=1), "scheduling"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_the_pod_does_not_allow_is_denied(lab: Lab, change: str) -> None:
    gated = {"schedulingGates": [{"name": "kueue.x-k8s.io/admission"}]}  # the API lets them be removed
    old = no_image(asks="retry" if "another action" in change else "true", spec=gated)
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
        (memory("256Mi", "64Mi"), memory("256Mi", "256Mi"), False),
        (memory("256Mi", "64Mi"), memory("512Mi", "512Mi"), False),
        (memory("256Mi", "64Mi"), memory("256Mi"), False),
        ({"resources": {"requests": {"memory": "64Mi"}}}, {"resources": {}}, False),
        (memory("256Mi"), {"resources": {}}, False),
        (memory("256Mi", "256Mi"), memory("512Mi", "512Mi"), True),
        (memory("256Mi", "268435456"), memory("512Mi", "512Mi"), True),
        (memory("256Mi", "64Mi"), memory("512Mi", "64Mi"), True),
        (memory("256Mi"), memory("1Gi"), True),
        (memory("256Mi"), memory("1073741825"), False),
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
    assert why is not None
    assert "system namespaces are never touched" in why


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
    """Later than the controller looks: the policy denies it, with 422 as the API server does; so the controller looks again."""
    lab.put(crash_loop())

    def close(_method: str, path: str) -> None:
        if "/eviction" in path:
            lab.server.objects.stored["/api/v1", "namespaces", "", "shop"] = {"metadata": {"name": "shop"}}

    lab.replica("a", close).look(NOW)
    assert [one.state for one in lab.history.attempts] == [State.DROPPED]
    assert "not opened" in lab.history.attempts[0].result
    assert ("shop", "app-1") in lab.server.store.pods


@pytest.mark.parametrize("change", [{"memory": "1Gi"}, None])
def test_the_resources_of_the_pod_itself_stay(lab: Lab, change: Any) -> None:
    """Kubernetes 1.32 and newer have limits of a whole pod."""
    old = killed(spec={"resources": {"limits": {"memory": "2Gi"}}})
    new = killed(spec={"resources": {"limits": change}} if change else {})
    why = RecoverAdmission(lab.server)("patch", f"{POD}/resize", new, old)
    assert why is not None
    assert "not for a pod" in why


EVICTION = {"metadata": {"name": "app-1"}, "deleteOptions": {"preconditions": {"uid": "uid-app-1"}}}


@pytest.mark.parametrize(
    ("options", "allowed"),
    [
        ({"preconditions": {"uid": "u"}}, True),
        ({}, False),
        ({"preconditions": {"resourceVersion": "1"}}, False),
        ({"preconditions": {"uid": "u"}, "gracePeriodSeconds": 0}, False),
    ],
)
def test_an_eviction_is_of_one_pod_and_leaves_it_the_time_to_end(lab: Lab, options: Any, allowed: bool) -> None:
    why = RecoverAdmission(lab.server)("create", f"{POD}/eviction", {**EVICTION, "deleteOptions": options}, None)
    assert (why is None) is allowed


@pytest.mark.parametrize("sub", ["", "/resize", "create"])
def test_a_pod_that_the_cluster_depends_on_is_never_touched(lab: Lab, sub: str) -> None:
    important = killed(asks="true", spec={"priorityClassName": "system-cluster-critical"})
    admission = RecoverAdmission(lab.server)
    if sub == "create":
        important["metadata"].update(name="app-1-r1", annotations={**NOTES, REPLACES_ANNOTATION: "app-1"})
        why = admission("create", PODS, important, None)
    else:
        why = admission("patch", POD + sub, important, important)
    assert why is not None
    assert "system-" in why


def test_no_pod_is_created_on_a_node_of_the_controllers_choice(lab: Lab) -> None:
    made = killed(asks="true", owner=None)
    made["metadata"].update(name="app-1-r1", annotations={**NOTES, REPLACES_ANNOTATION: "app-1"})
    admission = RecoverAdmission(lab.server)
    assert "scheduler" in (admission("create", PODS, made, None) or "")
    del made["spec"]["nodeName"]
    assert admission("create", PODS, made, None) is None


@pytest.mark.parametrize("home", ["oomward", "monitoring"])
def test_the_controllers_own_namespace_is_closed_wherever_it_is_installed(lab: Lab, home: str) -> None:
    lab.open(home)
    admission = RecoverAdmission(lab.server, account=f"system:serviceaccount:{home}:oomward-recover")
    raw = killed(namespace=home)
    why = admission("patch", f"/api/v1/namespaces/{home}/pods/app-1", raw, raw)
    assert why is not None
    assert "system namespaces are never touched" in why


@pytest.mark.parametrize("account", ["system:serviceaccount:shop:default", "oomward-recover", "admin"])
def test_nobody_else_is_bound_by_the_policies(lab: Lab, account: str) -> None:
    old = no_image()
    new = copy.deepcopy(old)
    new["spec"]["containers"][0]["image"] = "any.example/a:1"
    assert RecoverAdmission(lab.server, account=account)("patch", POD, new, old) is None


@pytest.mark.parametrize("name", NAMES)
def test_each_expression_has_the_types_of_the_api(name: str) -> None:
    """What the API server reports in status.typeChecking, and for subresources too, which it does not check."""
    found = spec(COMPONENTS / "recover-admission" / f"{name}.yaml")
    kind, variables = ("V1Eviction" if name == "evictions" else "V1Pod"), dict[str, Any]()
    for one in found.get("variables", []):
        variables[one["name"]] = typed(kind, **variables).compile(one["expression"]).type
    env = typed(kind, **variables)
    for one in (*found["matchConditions"], *found["validations"]):
        assert str(env.compile(one["expression"]).type) == "BOOL", one["expression"]


@pytest.mark.parametrize(
    "wrong",
    [
        "object.spec.containrs.size() > 0",
        "object.spec.containers.all(c, c.name == 1)",
        "request.subResources == ''",
        "quantity(object.spec.hostPID)",
        "variables.askd",
    ],
)
def test_an_expression_with_a_mistake_does_not_compile(wrong: str) -> None:
    with pytest.raises(CelError):
        typed("V1Pod").compile(wrong)


def test_an_expression_without_a_value_denies(lab: Lab, tmp_path: Path) -> None:
    source = COMPONENTS / "recover-admission"
    found = yaml.safe_load((source / "pods.yaml").read_text())
    found["spec"] |= {"validations": [{"expression": "oldObject.metadata.annotations.a == 'b'", "message": "no"}]}
    (tmp_path / "pods.yaml").write_text(yaml.safe_dump(found))
    (tmp_path / "pods-binding.yaml").write_text((source / "pods-binding.yaml").read_text())
    request = {"namespace": "shop", "userInfo": {"username": ACCOUNT}}
    why = policy(tmp_path / "pods.yaml").denies(given(no_image(), no_image(), request, {"metadata": {"name": "shop"}}))
    assert why is not None
    assert "resulted in error" in why
