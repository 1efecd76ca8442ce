"""The end-to-end run against a cluster made by hand: its steps, its verdicts, and that it never harms a cluster that is in use."""

from __future__ import annotations

import itertools

import pytest

from tests.e2e.objects import Settings
from tests.e2e.run import STEPS, UNINSTALL, Run, run
from tests.unit.e2e.cluster import Cluster

SETTINGS = Settings("ghcr.io/oomward/oomward:dev")


def ran(cluster: Cluster, settings: Settings = SETTINGS) -> int:
    """A clock that goes a minute further at each look."""
    ticks = itertools.count(0.0, 60.0)
    return run(Run(cluster, settings, clock=lambda: next(ticks), sleep=lambda _: None))


@pytest.mark.parametrize("minor", ["25", "27", "28", "37+"])
def test_a_good_run_passes_every_step_on_every_version(minor: str, capsys: pytest.CaptureFixture[str]) -> None:
    cluster = Cluster(minor=minor)
    assert ran(cluster) == 0
    assert f"{len(STEPS)} passed, 0 failed" in capsys.readouterr().out
    assert not cluster.ours
    assert any(str(UNINSTALL) in command for command in cluster.commands)


@pytest.mark.parametrize(
    ("cluster", "step", "why"),
    [
        (Cluster(ours=True), "the cluster is there and free", "namespace oomward already"),
        (Cluster(single_restarts=1), "single:", "herder-single lives on"),
        (Cluster(kills=0.0), "single:", "children of herder-single were killed"),
        (Cluster(events_of_single=("OOMModeApplied",)), "single:", "Events tell of mode and kills"),
        (
            Cluster(events_of_single=("OOMModeApplied", "ProcessOOMKilled", "ContainerOOMKilled")),
            "single:",
            "no Event says",
        ),
        (Cluster(silent_node=True), "kubectl oomward sees", "kind-worker (timed out after 10 s)"),
        (Cluster(unattributed=1.0), "metrics add up", "kills that nobody could be named for: 1"),
        (Cluster(stays=True), "nothing is left", "namespace"),
    ],
)
def test_what_goes_wrong_fails_its_step_and_says_what_was_seen(
    cluster: Cluster, step: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ran(cluster) == 1
    said = capsys.readouterr().out
    (failed,) = [line for line in said.splitlines() if line.startswith("FAILED")]
    assert step in failed
    assert why in said


def test_a_cluster_with_an_oomward_of_its_own_is_left_alone() -> None:
    cluster = Cluster(ours=True)
    ran(cluster)
    assert not [
        command for command in cluster.commands if command.startswith(("apply", "delete", "--namespace oomward patch"))
    ]


def test_after_a_failure_what_was_installed_is_removed() -> None:
    cluster = Cluster(kills=0.0)
    ran(cluster)
    assert cluster.commands[-2].startswith("delete namespace oomward-e2e")
    assert cluster.commands[-1].startswith("delete --kustomize")
    assert not cluster.ours


def test_the_image_and_the_profile_asked_for_are_what_is_applied() -> None:
    cluster = Cluster()
    ran(cluster, Settings("localhost:5000/mine@sha256:" + "0" * 64, "least-privilege"))
    assert cluster.overlays[0]["images"] == [
        {"name": "ghcr.io/oomward/oomward", "newName": "localhost:5000/mine", "digest": "sha256:" + "0" * 64}
    ]
    assert cluster.overlays[0]["components"][0].endswith("manifests/components/least-privilege")
