"""The example for notebook validation, end to end: S2I fails, Tekton fails, the pre-built image is not there, and the next one works."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.model.recover import STATUS_ANNOTATION, Action, Policy, State
from agent.settings.recover import load_recover
from tests.lab.notebook_operator import COLLECTION, THERE, Operator
from tests.unit.recover.lab import Lab
from tests.unit.recover.pods import NOW

EXAMPLE = Path(__file__).parents[3] / "manifests" / "examples" / "notebook-validation"


def example(name: str) -> Any:
    return yaml.safe_load((EXAMPLE / name).read_text())


@pytest.fixture
def operator(lab: Lab, tmp_path: Path) -> Operator:
    policy = tmp_path / "recover.yaml"
    policy.write_text(yaml.safe_dump(example("recover-values.yaml")["recover"]["policy"]))
    lab.config = load_recover(policy)
    lab.server.objects.kinds.add(COLLECTION)
    job, space = example("job.yaml"), example("namespace.yaml")
    job["metadata"] |= {"uid": "uid-job"}
    lab.server.objects.stored[*COLLECTION, "notebooks", job["metadata"]["name"]] = job
    space["metadata"]["resourceVersion"] = "1"
    lab.server.objects.stored["/api/v1", "namespaces", "", "notebooks"] = space
    return Operator(lab.server, NOW)


def run(lab: Lab, operator: Operator, seconds: int) -> None:
    """Operator, kubelet and a new controller each time: nothing that matters is in the controller's memory."""
    for passed in range(0, seconds, 15):
        operator.now_unix_s = NOW + passed
        operator.reconcile()
        operator.kubelet()
        lab.replica(f"replica-{passed}").look(NOW + passed)


def test_the_whole_chain_runs_to_a_notebook_that_was_validated(lab: Lab, operator: Operator) -> None:
    run(lab, operator, 900)
    steps = [(one.action, one.before, one.after, one.state) for one in lab.history.attempts]
    assert steps == [
        (Action.STRATEGY, "s2i", "tekton", State.FAILED),
        (Action.STRATEGY, "tekton", "prebuilt", State.FAILED),
        (Action.IMAGE, "first.example/notebook:1", THERE, State.SUCCEEDED),
    ]
    assert operator.job["spec"]["buildStrategy"] == "prebuilt"
    (pod,) = lab.server.store.pods.values()
    assert pod["status"]["phase"] == "Succeeded"
    text = "ImagePullBackOff (image not found). Recovered with image 2 of 2 after 3 attempts."
    assert pod["metadata"]["annotations"][STATUS_ANNOTATION] == text
    assert operator.job["metadata"]["annotations"][STATUS_ANNOTATION] == text


def test_without_the_build_fallback_the_resource_stays_as_it_is(lab: Lab, operator: Operator) -> None:
    lab.config = replace(lab.config, policy=Policy(most_attempts=3, build_fallback=False))
    run(lab, operator, 300)
    assert operator.job["spec"]["buildStrategy"] == "s2i"
    assert Action.STRATEGY not in {one.action for one in lab.history.attempts}


def test_the_rights_of_the_example_are_those_that_its_strategy_needs() -> None:
    policy = example("recover-values.yaml")["recover"]["policy"]["strategies"][0]
    role, crd = example("clusterrole.yaml"), example("crd.yaml")
    assert role["rules"] == [
        {"apiGroups": [policy["group"]], "resources": [policy["plural"]], "verbs": ["get", "patch"]}
    ]
    names = crd["spec"]["names"]
    assert (crd["spec"]["group"], names["plural"], names["kind"]) == (policy["group"], policy["plural"], policy["kind"])
    assert role["metadata"]["labels"]["recover.oomward.dev/rights"] == "true"
