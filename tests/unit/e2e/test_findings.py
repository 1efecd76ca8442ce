"""Answers from kubectl's JSON, and objects for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e import findings
from tests.e2e.objects import MANIFESTS, MODE, Settings, herders, image_override, overlay


def pod(name: str, created: str = "2026-01-01T00:00:00Z", **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {"app": "a"}, "creationTimestamp": created, **metadata}}


@pytest.mark.parametrize(("minor", "version"), [("25", (1, 25)), ("37+", (1, 37)), ("30-gke.1", (1, 30))])
def test_versions_are_read_as_vendors_write_them(minor: str, version: tuple[int, int]) -> None:
    assert findings.server_version({"serverVersion": {"major": "1", "minor": minor}}) == version


def test_no_server_is_said_to_be_none() -> None:
    with pytest.raises(ValueError, match="no API server answered"):
        findings.server_version({"clientVersion": {}})


def test_the_kubelet_groups_from_1_28_on() -> None:
    assert [findings.plain_containers_die((1, minor)) for minor in (27, 28)] == [False, True]


def test_the_newest_pod_counts_and_none_that_goes() -> None:
    old, new = pod("old"), pod("new", "2026-01-02T00:00:00Z")
    going = pod("going", "2026-01-03T00:00:00Z", deletionTimestamp="2026-01-03T00:00:01Z")
    assert findings.pod_of({"items": [new, old, going]}, "a") is new
    assert findings.pod_of({"items": [going]}, "a") is None
    assert findings.pod_of({"items": [new]}, "b") is None


def test_restarts_of_all_containers_count_and_a_pod_without_a_status_has_none() -> None:
    assert findings.restarts({"status": {"containerStatuses": [{"restartCount": 1}, {"restartCount": 2}]}}) == 3
    assert findings.restarts({"status": {}}) == 0
    assert not findings.is_running({"status": {"containerStatuses": [{"state": {"waiting": {}}}]}})


def test_only_our_events_on_this_very_pod_count() -> None:
    ours: dict[str, Any] = {
        "reason": "ProcessOOMKilled",
        "reportingController": "oomward.dev/agent",
        "regarding": {"uid": "u"},
    }
    others: list[dict[str, Any]] = [
        ours | {"reportingController": "kubelet"},
        ours | {"regarding": {"uid": "v"}},
        ours | {"regarding": {}},
    ]
    assert findings.reasons({"items": [ours, *others]}, {"metadata": {"uid": "u"}}) == ["ProcessOOMKilled"]


def test_pages_of_several_agents_are_added_up() -> None:
    page = 'a_total{pod="x",mode="single"} 2.0\na_total{pod="y",mode="single"} 1.0\n# a_total 9\n'
    series = findings.metrics([page, page])
    assert findings.value(series, "a_total", pod="x") == 4
    assert findings.value(series, "a_total", mode="single") == 6


def test_a_rollout_is_done_when_each_node_has_the_newest_and_is_ready() -> None:
    done = {"observedGeneration": 3, "desiredNumberScheduled": 2, "updatedNumberScheduled": 2, "numberReady": 2}
    assert findings.rolled_out({"metadata": {"generation": 3}, "status": done})
    for change in (
        {"observedGeneration": 2},
        {"desiredNumberScheduled": 0},
        {"updatedNumberScheduled": 1},
        {"numberReady": 1},
    ):
        assert not findings.rolled_out({"metadata": {"generation": 3}, "status": done | change})
    assert not findings.rolled_out({"metadata": {"generation": 1}})


@pytest.mark.parametrize(
    ("image", "entry"),
    [
        ("ghcr.io/oomward/oomward:dev", {"newName": "ghcr.io/oomward/oomward", "newTag": "dev"}),
        ("localhost:5000/x:1", {"newName": "localhost:5000/x", "newTag": "1"}),
        ("x@sha256:ab", {"newName": "x", "digest": "sha256:ab"}),
    ],
)
def test_an_image_is_overridden_by_tag_or_digest(image: str, entry: dict[str, str]) -> None:
    assert image_override(image) == {"name": "ghcr.io/oomward/oomward", **entry}


@pytest.mark.parametrize("image", ["x", "localhost:5000/x"])
def test_an_image_without_tag_and_digest_is_refused(image: str) -> None:
    with pytest.raises(ValueError, match="a tag or a digest"):
        image_override(image)


def test_another_profile_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'most'"):
        Settings.from_environment({"PROFILE": "most"})
    assert Settings.from_environment({}) == Settings("ghcr.io/oomward/oomward:dev", "full")


def test_the_overlay_leads_to_the_manifests(tmp_path: Path) -> None:
    made = overlay(Settings("x:1", "least-privilege"), tmp_path)
    for path in (*made["resources"], *made["components"]):
        assert (tmp_path / path / "kustomization.yaml").resolve().exists()
    assert yaml.safe_load(made["patches"][0]["patch"])[0]["value"] == "IfNotPresent"


def test_the_herders_are_the_example_but_for_name_namespace_and_label() -> None:
    example = yaml.safe_load((MANIFESTS / "examples" / "herder.yaml").read_text())
    found = {made["metadata"]["name"]: made for made in herders()}
    labels = {name: made["spec"]["template"]["metadata"]["labels"] for name, made in found.items()}
    assert {name: given.get(MODE) for name, given in labels.items()} == {
        "herder-single": "single",
        "herder-group": "group",
        "herder-plain": None,
    }
    for name, made in found.items():
        spec = made["spec"]["template"]["spec"]
        assert spec["containers"] == example["spec"]["template"]["spec"]["containers"]
        assert made["spec"]["selector"]["matchLabels"] == {"app": name}
        assert f"'app': '{name}'" in str(spec["affinity"])
        assert "'app': 'herder'" not in str(made)
