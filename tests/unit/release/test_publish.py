"""publish.sh: what is in the registry has the digest of what was tested; only then it is signed, by that digest."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.unit.docs.pages import ROOT

LAYOUTS = {"image": "oomward:1.2.3", "chart": "charts/oomward:1.2.3", "artifacthub": "charts/oomward:artifacthub.io"}


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """Three layouts, and a skopeo and a cosign that write down what they are asked for. The registry has what was copied."""
    folder, programs, stored = tmp_path / "dist", tmp_path / "bin", tmp_path / "stored"
    for path in (folder, programs, stored):
        path.mkdir()
    (folder / "version").write_text("1.2.3\n")
    for layout, name in LAYOUTS.items():
        (folder / layout).mkdir()
        content = f"manifest of {layout}"
        digest = hashlib.sha256(content.encode()).hexdigest()
        (folder / layout / "index.json").write_text(json.dumps({"manifests": [{"digest": f"sha256:{digest}"}]}))
        (stored / f"r.example_{name.replace('/', '_')}").write_text(content)
    program(
        programs / "skopeo",
        f'echo "skopeo $*" >>{tmp_path}/asked\n[ "$1" = copy ] || {{ n=${{@: -1}}; n=${{n#docker://}}; cat "{stored}/${{n//\\//_}}"; }}',
    )
    program(programs / "cosign", f'echo "cosign $*" >>{tmp_path}/asked')
    return folder


def program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/bash\n{script}\n")
    path.chmod(0o755)


def publish(dist: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    path = f"{dist.parent}/bin:{os.environ['PATH']}"
    command = ["bash", str(ROOT / "scripts" / "release" / "publish.sh"), "r.example", str(dist)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={"PATH": path, **environment}, timeout=60
    )


def asked(dist: Path, program: str, word: str = "") -> list[str]:
    lines = (dist.parent / "asked").read_text().splitlines()
    return [line for line in lines if line.startswith(f"{program} {word}")]


def test_image_chart_and_artifact_hub_s_file_are_copied_as_they_are_with_all_their_platforms(dist: Path) -> None:
    done = publish(dist)
    assert done.returncode == 0, done.stderr
    copies = asked(dist, "skopeo", "copy")
    assert [line.rpartition("docker://r.example/")[2] for line in copies] == list(LAYOUTS.values())
    assert all("--all --preserve-digests" in line for line in copies)
    assert [line.partition("@")[0] for line in done.stdout.splitlines()] == [
        f"r.example/{name}" for name in LAYOUTS.values()
    ]


def test_a_registry_that_has_something_else_stops_it_before_anything_is_signed(dist: Path) -> None:
    (dist.parent / "stored" / "r.example_oomward:1.2.3").write_text("something else")
    done = publish(dist, SIGN="yes")
    assert done.returncode == 1
    assert "has the digest" in done.stderr
    assert asked(dist, "cosign") == []


def test_image_and_chart_are_signed_by_digest(dist: Path) -> None:
    assert publish(dist, SIGN="yes").returncode == 0
    signed = [line.split()[-1] for line in asked(dist, "cosign", "sign --yes")]
    assert [name.partition("@sha256:")[0] for name in signed] == ["r.example/oomward", "r.example/charts/oomward"]


def test_without_being_asked_it_signs_nothing_and_trusts_no_registry_without_tls(dist: Path) -> None:
    assert publish(dist).returncode == 0
    assert asked(dist, "cosign") == []
    assert not [line for line in asked(dist, "skopeo") if "tls-verify" in line]
    assert publish(dist, INSECURE="yes").returncode == 0
    assert "--dest-tls-verify=false" in asked(dist, "skopeo", "copy")[-1]
