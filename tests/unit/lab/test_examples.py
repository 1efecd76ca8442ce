"""The examples as the lab reads them, and what all of them promise: a limit, a mode, the restricted pod-security profile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab.examples import EXAMPLES, load, mib

VALUES = "jupyterhub-values.yaml"
CHALLENGE = "herder.yaml"  # as it was set
FILES = sorted(path.name for path in EXAMPLES.glob("*.yaml") if path.name not in (VALUES, CHALLENGE))
WITHOUT_COMMAND = {"notebook.yaml": ("server",), "postgresql.yaml": ("postgres",)}


def test_quantities_of_memory_are_read_in_mib() -> None:
    assert [mib("256Mi"), mib("1Gi")] == [256, 1024]


@pytest.mark.parametrize("file", FILES)
def test_an_example_becomes_a_pod_with_all_that_is_written_in_it(file: str, tmp_path: Path) -> None:
    argv = WITHOUT_COMMAND.get(file, ())
    example = load(file, tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.chown", lambda *_: None)
        pod = example.pod("it", argv=argv, env={"MORE": "1"})
    (container,) = pod.containers
    program = container.program
    assert program is not None
    assert pod.labels["oomward.dev/mode"] == ("group" if file == "web-server.yaml" else "single")
    assert container.limit_mib == mib(example.container["resources"]["limits"]["memory"])
    assert program.uid > 0
    assert ("MORE", "1") in program.env
    assert {folder.inside for folder in program.folders} == {
        mount["mountPath"] for mount in example.container.get("volumeMounts", ())
    }
    assert all(Path(folder.outside).is_dir() for folder in program.folders)


def test_only_postgresql_is_guaranteed_and_so_has_a_fixed_oom_score_adj(tmp_path: Path) -> None:
    adjs = {file: load(file, tmp_path).oom_score_adj for file in FILES}
    assert [file for file, adj in adjs.items() if adj == -997] == ["postgresql.yaml"]
    assert all(3 <= adj <= 999 for file, adj in adjs.items() if file != "postgresql.yaml")


@pytest.mark.parametrize("file", FILES)
def test_an_example_keeps_to_the_restricted_profile(file: str, tmp_path: Path) -> None:
    example = load(file, tmp_path)
    pod, container = example.spec["securityContext"], example.container["securityContext"]
    assert (pod["runAsNonRoot"], pod["seccompProfile"]) == (True, {"type": "RuntimeDefault"})
    assert (container["allowPrivilegeEscalation"], container["capabilities"]) == (False, {"drop": ["ALL"]})
    kinds = {kind for volume in example.spec.get("volumes", ()) for kind in volume if kind != "name"}
    assert kinds <= {"configMap", "emptyDir"}


@pytest.mark.parametrize("file", FILES)
def test_an_examples_image_has_a_registry_and_a_version(file: str, tmp_path: Path) -> None:
    name, _, tag = load(file, tmp_path).container["image"].rpartition(":")
    assert "." in name.partition("/")[0]
    assert any(character.isdigit() for character in tag)


def test_the_values_for_jupyterhub_ask_for_what_the_notebooks_pod_has(tmp_path: Path) -> None:
    singleuser: dict[str, Any] = yaml.safe_load((EXAMPLES / VALUES).read_text())["singleuser"]
    notebook = load("notebook.yaml", tmp_path)
    mode = {key: value for key, value in notebook.metadata["labels"].items() if key.startswith("oomward.dev/")}
    assert singleuser["extraLabels"] == mode
    assert singleuser["extraPodConfig"] == {"restartPolicy": notebook.spec["restartPolicy"]}
    # KubeSpawner's units are powers of 1024, with one letter.
    resources = notebook.container["resources"]
    memory = {"guarantee": resources["requests"]["memory"], "limit": resources["limits"]["memory"]}
    assert {key: f"{value}i" for key, value in singleuser["memory"].items()} == memory


def test_every_example_is_in_the_documentation() -> None:
    page = (EXAMPLES.parents[1] / "docs" / "examples.md").read_text()
    assert [path.name for path in EXAMPLES.glob("*.yaml") if f"(../manifests/examples/{path.name})" not in page] == []
