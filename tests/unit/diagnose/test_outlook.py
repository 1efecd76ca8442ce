"""What Kubernetes does by itself: whether a container is started again, and when the next try is due."""

from __future__ import annotations

from typing import Any

import pytest

from agent.diagnose import diagnose
from agent.diagnose.outlook import back_off_s, restarts, span
from agent.model import ContainerKind, Pod, PodContainer
from agent.model.diagnosis import NodeFacts
from agent.model.status import ContainerState, ContainerStatus, Phase, PodStatus, RestartRule
from tests.unit.diagnose.recorded import recorded


def a_pod(**status: Any) -> Pod:
    return Pod("u", "shop", "web", "node-1", status=PodStatus(**{"phase": "Running"} | status))


def web(kind: ContainerKind, **status: Any) -> PodContainer:
    return PodContainer("web", kind, status=ContainerStatus(**status))


def ended(exit_code: int | None, reason: str = "") -> ContainerState:
    return ContainerState(Phase.TERMINATED, reason, exit_code=exit_code)


REGULAR, INIT, SIDECAR, EPHEMERAL = (
    ContainerKind.REGULAR,
    ContainerKind.INIT,
    ContainerKind.SIDECAR,
    ContainerKind.EPHEMERAL,
)


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("back-off 10s restarting failed container=web pod=web_shop(u)", 10),
        ("back-off 1m20s restarting failed container=web pod=web_shop(u)", 80),
        ("back-off 5m0s restarting failed container=web pod=web_shop(u)", 300),
        ("Back-off 2m40s restarting failed container=web pod=web_shop(u)", 160),
        ("back-off 1s restarting failed container=web pod=web_shop(u)", 1),
        ("back-off 1h0m0.5s restarting failed container=web", 3600.5),
        ("back-off 500ms restarting failed container=web", 0.5),
        ("back-off restarting failed container", None),
        ("back-off 5 minutes restarting failed container", None),
        ("", None),
        ("back-off " + "1" * 5000 + "s restarting failed", None),
    ],
)
def test_the_back_off_is_read_from_the_kubelets_sentence(message: str, seconds: float | None) -> None:
    assert back_off_s(message) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (-3, "0 s"), (35.4, "35 s"), (59.6, "1 min"), (80, "1 min 20 s"), (300, "5 min"), (3600, "1 h"), (7500, "2 h 5 min")],
)  # fmt: skip
def test_spans_are_words(seconds: float, text: str) -> None:
    assert span(seconds) == text


@pytest.mark.parametrize(
    ("kind", "policy", "exit_code", "again"),
    [
        (REGULAR, "Always", 0, True),
        (REGULAR, "Always", 1, True),
        (REGULAR, "OnFailure", 0, False),
        (REGULAR, "OnFailure", 137, True),
        (REGULAR, "OnFailure", None, True),
        (REGULAR, "Never", 1, False),
        (INIT, "Always", 1, True),
        (INIT, "Always", 0, False),
        (INIT, "OnFailure", 1, True),
        (INIT, "Never", 1, False),
        (SIDECAR, "Never", 0, True),
        (EPHEMERAL, "Always", 1, False),
    ],
)
def test_who_is_started_again(kind: ContainerKind, policy: str, exit_code: int | None, again: bool) -> None:
    assert restarts(a_pod(restart_policy=policy), web(kind), ended(exit_code)) is again


def test_a_containers_own_policy_and_rules_go_before_the_pods() -> None:
    rules = (RestartRule("Restart", False, frozenset({42, 43})), RestartRule("Restart", True, frozenset(range(10))))
    own = web(REGULAR, restart_policy="Never", restart_rules=rules)
    assert [restarts(a_pod(), own, ended(code)) for code in (42, 12, 3, 0)] == [True, True, False, False]
    assert restarts(a_pod(), web(REGULAR, restart_policy="Never"), ended(1)) is False
    all_of_them = (RestartRule("RestartAllContainers", False, frozenset({42})),)
    assert restarts(a_pod(), web(REGULAR, restart_policy="Never", restart_rules=all_of_them), ended(42)) is True


def test_an_action_that_the_kubelet_does_not_know_leaves_it_to_the_policy() -> None:
    later = (RestartRule("Later", False, frozenset({42})),)
    assert restarts(a_pod(), web(REGULAR, restart_policy="Always", restart_rules=later), ended(42)) is True
    assert restarts(a_pod(), web(REGULAR, restart_policy="Never", restart_rules=later), ended(42)) is False


def test_an_init_container_with_an_oom_kill_has_failed_though_its_exit_code_is_0() -> None:
    assert restarts(a_pod(), web(INIT), ended(0, "OOMKilled")) is True
    assert restarts(a_pod(restart_policy="Never"), web(INIT), ended(0, "OOMKilled")) is False


def test_a_rule_may_restart_the_whole_pod_in_place() -> None:
    found = recorded("crash-loop-exit-1-kubelet-1.29")
    rule = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [1]}}
    found.pod["spec"]["containers"][0]["restartPolicyRules"] = [rule]
    (one,) = found.diagnoses()
    assert one.next_step.text.startswith("the kubelet restarts all containers of the pod")


@pytest.mark.parametrize(("kind", "text"), [("ReplicaSet", "creates another"), ("Job", "the pod has succeeded")])
def test_a_pod_that_has_succeeded_is_replaced_where_pods_are_meant_to_run(kind: str, text: str) -> None:
    found = recorded("evicted-by-api-1.29")
    found.pod["status"]["phase"] = "Succeeded"
    found.pod["metadata"]["ownerReferences"][0]["kind"] = kind
    (one,) = found.diagnoses()
    assert text in one.next_step.text


@pytest.mark.parametrize(("failures", "text"), [(0, "0 times"), (1, "1 time"), (2, "2 times")])
def test_how_often_an_index_of_a_job_has_failed_is_counted(failures: int, text: str) -> None:
    found = recorded("ended-oom-never-kubelet-1.29")
    found.pod["metadata"]["annotations"]["batch.kubernetes.io/job-index-failure-count"] = str(failures)
    (one,) = found.diagnoses()
    assert one.next_step.text.endswith(f"; this index has failed {text} before")


def test_nothing_of_a_pod_that_has_ended_is_started_again() -> None:
    for phase in ("Failed", "Succeeded"):
        assert restarts(a_pod(phase=phase), web(REGULAR), ended(1)) is False


@pytest.mark.parametrize(("codes", "why"), [((1,), "its restartPolicyRules"), ((42,), "restartPolicy Always")])
def test_the_rules_are_the_reason_for_a_restart_only_if_one_matches_the_exit_code(
    codes: tuple[int, ...], why: str
) -> None:
    pod = recorded("crash-loop-exit-1-kubelet-1.29")
    exit_codes = {"operator": "In", "values": list(codes)}
    pod.pod["spec"]["containers"][0]["restartPolicyRules"] = [{"action": "Restart", "exitCodes": exit_codes}]
    (one,) = pod.diagnoses()
    assert f"restarts it by itself ({why})" in one.next_step.text


@pytest.mark.parametrize(
    ("ago_s", "text"), [(-70, "; next try in 2 min 20 s"), (79, "; next try in 1 s"), (80, "; the next try is due now"),
                        (9999, "; the next try is due now")]
)  # fmt: skip
def test_the_next_try_is_due_a_back_off_after_the_last_end(ago_s: float, text: str) -> None:
    found = recorded("crash-loop-exit-1-kubelet-1.29")
    ended_unix_s = found.parsed.containers[0].status.last.finished_unix_s
    assert ended_unix_s is not None
    (one,) = diagnose(found.parsed, (), NodeFacts(ended_unix_s + ago_s + (10 if ago_s < 0 else 0)))
    assert text in one.next_step.text
    assert one.next_step.due_unix_s == ended_unix_s + 80


@pytest.mark.parametrize(
    ("restart_count", "about"), [(0, "10 s"), (1, "10 s"), (2, "20 s"), (6, "5 min"), (2**62, "5 min")]
)
def test_without_a_number_in_the_message_the_back_off_follows_from_the_restarts(restart_count: int, about: str) -> None:
    found = recorded("crash-loop-no-number-kubelet-1.3")
    (status,) = found.pod["status"]["containerStatuses"]
    status["restartCount"] = restart_count
    (one,) = diagnose(found.parsed, (), NodeFacts(found.now_unix_s))
    assert f"back-off about {about};" in one.next_step.text
