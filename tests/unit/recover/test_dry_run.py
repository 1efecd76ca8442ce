"""A dry run, which is the default, writes Events and the lease; with recovery off there is nothing at all."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from agent.model.recover import POLICY_ANNOTATION, Policy, RecoverConfig
from tests.unit.patience import wait_until
from tests.unit.recover.lab import Lab
from tests.unit.recover.pods import NOW, no_image
from tests.unit.recover.scenarios import SCENARIOS
from tests.unit.recover.test_planner import WITH_BUILDS
from tests.unit.recover.test_process import Start, start

__all__ = ["start"]
READS = ("get", "list", "watch")


def written(lab: Lab) -> set[str]:
    return {one.path for one in lab.server.requests if one.verb not in READS}


@pytest.mark.parametrize("name", SCENARIOS)
def test_each_action_only_posts_the_event_that_it_would_have_caused(lab: Lab, name: str) -> None:
    SCENARIOS[name].begin(lab)
    lab.config = RecoverConfig(strategies=WITH_BUILDS.strategies)
    controller = lab.replica()
    for seconds in range(0, 4000, 100):
        controller.look(NOW + seconds)
    assert written(lab) == {"/apis/events.k8s.io/v1/namespaces/shop/events"}
    assert [one.partition(":")[0] for one in lab.notes] == ["RecoveryPlanned"]
    assert "Dry run: would try" in lab.notes[0]


@pytest.mark.parametrize("where", ["namespace", "pod"])
def test_a_level_that_asks_for_a_dry_run_gets_one(lab: Lab, where: str) -> None:
    asked = {POLICY_ANNOTATION: json.dumps({"dryRun": True})}
    if where == "namespace":
        lab.open(**asked)
    lab.put(no_image(notes=asked if where == "pod" else {}))
    lab.replica().look(NOW)
    assert written(lab) == {"/apis/events.k8s.io/v1/namespaces/shop/events"}


def test_a_dry_run_is_the_same_after_the_controller_was_started_again(lab: Lab) -> None:
    lab.config = RecoverConfig()
    lab.put(no_image())
    for name in "abc":
        lab.replica(name).look(NOW)
    assert len(lab.notes) == 1


def test_the_process_without_a_configuration_writes_events_and_its_lease_only(
    lab: Lab, start: Start, tmp_path: Path
) -> None:
    (tmp_path / "policy.yaml").write_text("")
    lab.put(no_image(created=time.time() - 600))
    process = start("first")
    (tmp_path / "policy.yaml").write_text("{}\n")
    wait_until(lambda: lab.notes != [], "its Event")
    process.terminate()
    process.wait()
    leases = "/apis/coordination.k8s.io/v1/namespaces/oomward/leases"
    assert written(lab) == {leases, f"{leases}/oomward-recover", "/apis/events.k8s.io/v1/namespaces/shop/events"}


def test_with_recovery_off_nothing_is_written(lab: Lab) -> None:
    for scenario in SCENARIOS.values():
        scenario.begin(lab)
        lab.config = RecoverConfig(policy=Policy(enabled=False), strategies=WITH_BUILDS.strategies)
        lab.replica().look(NOW)
    assert written(lab) == set()
