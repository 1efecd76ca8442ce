"""Restart defaults: what the policies change and what they leave alone, and how often a Job then runs, as the page says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab.cel import untyped
from tests.lab.restart_defaults import ASKS, NEVER_ONLY, created_job, created_pod, run

ROOT = Path(__file__).parents[3]
COMPONENT = ROOT / "manifests" / "components" / "defaults"
PAGE = " ".join((ROOT / "docs" / "howto" / "restart-defaults.md").read_text().split())
Json = dict[str, Any]


def spec(name: str) -> Any:
    return yaml.safe_load((COMPONENT / f"{name}.yaml").read_text())["spec"]


def job(asks: str | None = None, policy: str = "Never", **more: Any) -> Json:
    notes = {} if asks is None else {ASKS: asks}
    return {
        "kind": "Job",
        "metadata": {"name": "j", "annotations": notes},
        "spec": {"template": {"spec": {"restartPolicy": policy}}, **more},
    }


def restarts(made: Json) -> tuple[int, str]:
    return made["spec"]["backoffLimit"], made["spec"]["template"]["spec"]["restartPolicy"]


def test_a_job_that_asks_gets_its_limit_and_restarts_in_the_same_pod() -> None:
    assert restarts(created_job(job("3"))) == (3, "OnFailure")
    assert restarts(created_job(job("12", backoffLimit=1))) == (12, "OnFailure")


@pytest.mark.parametrize("asks", [None, "", "true", "-1", "100", "3.5", "3 ", "0x3", "٣"])
def test_a_job_that_does_not_ask_with_a_number_stays_as_it_is(asks: str | None) -> None:
    assert restarts(created_job(job(asks))) == (6, "Never")
    assert restarts(created_job(job(asks, backoffLimit=2))) == (2, "Never")


@pytest.mark.parametrize("field", NEVER_ONLY)
def test_a_job_with_what_needs_never_stays_as_it_is(field: str) -> None:
    """The API server would refuse it otherwise: a default must not keep a Job from being created."""
    assert restarts(created_job(job("3", "Never", **{field: {}}))) == (6, "Never")


def conditions(name: str, made: Json) -> bool:
    """What the policy's own expressions say to a new object."""
    env = untyped("object")
    return all(env.compile(one["expression"])({"object": made}) is True for one in spec(name)["matchConditions"])


@pytest.mark.parametrize("asks", [None, "", "0", "3", "12", "true", "-1", "100", "3.5", "3 ", "3\n", "0x3", "٣"])
@pytest.mark.parametrize("field", [None, *NEVER_ONLY])
def test_the_stand_in_changes_the_jobs_that_the_policys_own_conditions_match(
    asks: str | None, field: str | None
) -> None:
    more: Json = {field: {}} if field else {}
    made = job(asks, **more)
    changed = created_job(made)["spec"]["template"] != made["spec"]["template"]
    assert conditions("jobs", made) is changed


@pytest.mark.parametrize("policy", [None, "Never", "Always", "OnFailure"])
def test_the_stand_in_changes_the_notebooks_that_the_policys_own_condition_matches(policy: str | None) -> None:
    made = {**NOTEBOOK, "spec": {"restartPolicy": policy} if policy else {}}
    assert conditions("notebooks", made) is (created_pod(made, OPENED)["spec"] != made["spec"])


@pytest.mark.parametrize("labels", [None, {}, {"a": "b"}, {"oomward.dev/mode": "group"}])
def test_the_mode_label_is_added_where_the_policys_own_condition_matches(labels: Any) -> None:
    made = {"metadata": {} if labels is None else {"labels": labels}, "spec": {}}
    changed = created_pod(made, OPENED)["metadata"]["labels"] != (labels or {})
    assert conditions("pods", made) is changed


def test_the_policy_has_the_conditions_of_the_stand_in() -> None:
    conditions = {one["name"]: one["expression"] for one in spec("jobs")["matchConditions"]}
    assert "matches('^[0-9]{1,2}$')" in conditions["asked"]
    assert all(f"!has(object.spec.{field})" in conditions["not-never-only"] for field in NEVER_ONLY)
    (mutation,) = spec("jobs")["mutations"]
    assert 'restartPolicy: "OnFailure"' in mutation["applyConfiguration"]["expression"]
    kyverno = (ROOT / "manifests" / "examples" / "kyverno" / "defaults.yaml").read_text()
    assert "regex_match('^[0-9]{1,2}$'" in kyverno
    assert all(f"request.object.spec.{field}" in kyverno for field in NEVER_ONLY)


BUILD = {"metadata": {"labels": {"openshift.io/build.name": "b-1"}}, "spec": {"restartPolicy": "Never"}}
NOTEBOOK = {"metadata": {"labels": {"component": "singleuser-server"}}, "spec": {"restartPolicy": "Never"}}
OPENED = {"defaults.oomward.dev/restart-notebooks": "true", "defaults.oomward.dev/mode": "single"}


def test_a_notebooks_pod_is_restarted_after_a_failure_where_the_namespace_asks() -> None:
    assert created_pod(NOTEBOOK, OPENED)["spec"]["restartPolicy"] == "OnFailure"
    assert created_pod(NOTEBOOK, {})["spec"]["restartPolicy"] == "Never"


def test_pods_and_jobs_of_builds_are_left_alone() -> None:
    assert created_pod(BUILD, OPENED)["spec"] == BUILD["spec"]
    assert restarts(created_job(job())) == (6, "Never")


def test_the_mode_is_the_namespaces_and_a_pods_own_wins() -> None:
    assert created_pod(BUILD, OPENED)["metadata"]["labels"]["oomward.dev/mode"] == "single"
    own = {"metadata": {"labels": {"oomward.dev/mode": "group"}}, "spec": {}}
    assert created_pod(own, OPENED)["metadata"]["labels"]["oomward.dev/mode"] == "group"


def test_three_means_two_more_whole_runs_and_a_third_that_the_job_ends() -> None:
    made = created_job(job("3"))
    assert run(made, 2).succeeded
    ended = run(made, 3)
    assert (ended.succeeded, ended.pods, ended.started, ended.whole) == (False, 1, 4, 3)
    assert 'So `"3"` gives a container two more whole runs' in PAGE


def test_with_never_three_means_three_more_pods() -> None:
    made = created_job(job(backoffLimit=3))
    assert run(made, 3).succeeded
    assert (run(made, 4).succeeded, run(made, 4).pods) == (False, 4)


@pytest.mark.parametrize("asks", ["0", "1"])
def test_zero_and_one_end_the_job_at_the_first_restart(asks: str) -> None:
    ended = run(created_job(job(asks)), 1)
    assert (ended.succeeded, ended.whole) == (False, 1)
    assert '`"0"` and `"1"` end the Job at the first restart' in PAGE


def test_the_page_says_how_it_is_undone() -> None:
    assert "Remove the labels, the annotation or the component." in PAGE
