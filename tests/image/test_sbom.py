"""The bill of materials: valid, and exactly what lies in the image's tree."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from agent import __version__
from tests.lab.agent_container import TREE
from tests.unit.image.dockerfile import ROOT


@pytest.fixture(scope="module")
def bill(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("sbom") / "oomward.cdx.json"
    command = [sys.executable, str(ROOT / "scripts" / "image" / "sbom.py"), str(TREE), str(out)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    text = out.read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    found: dict[str, Any] = json.loads(text)
    return found


def by_kind(bill: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """Components by name, of one kind of package URL."""
    return {part["name"]: part for part in bill["components"] if part["purl"].startswith(f"pkg:{kind}/")}


def test_it_is_about_oomward(bill: dict[str, Any]) -> None:
    ours = bill["metadata"]["component"]
    assert (ours["name"], ours["version"], ours["type"]) == ("oomward", __version__, "application")
    assert ours["licenses"] == [{"license": {"acknowledgement": "declared", "id": "Apache-2.0"}}]


def test_it_has_every_distribution_of_the_tree_and_no_other(bill: dict[str, Any]) -> None:
    lying = {path.name.partition("-")[0].lower().replace("-", "_") for path in TREE.rglob("*.dist-info")}
    assert {name.lower().replace("-", "_") for name in by_kind(bill, "pypi")} == lying - {"oomward"}


def test_each_has_its_licence_and_the_hash_that_the_lock_file_has(bill: dict[str, Any]) -> None:
    locked = (ROOT / "requirements" / "run.lock").read_text()
    for name, part in by_kind(bill, "pypi").items():
        assert part["licenses"], name
        (digest,) = part["hashes"]
        assert digest["alg"] == "SHA-256"
        assert f"sha256:{digest['content']}" in locked


def test_it_has_the_interpreter_and_debians_packages(bill: dict[str, Any]) -> None:
    (python,) = by_kind(bill, "generic").values()
    assert python["version"] == (TREE / "usr/share/oomward/python-version").read_text().strip()
    assert set(by_kind(bill, "deb")) == {path.name for path in (TREE / "var/lib/dpkg/status.d").glob("*")}


def test_what_was_left_out_of_the_image_is_not_in_it(bill: dict[str, Any]) -> None:
    assert not {"aiohttp", "Pygments", "tzdata"} & set(by_kind(bill, "pypi"))


def test_a_tree_without_an_interpreter_is_refused(tmp_path: Path) -> None:
    (tmp_path / "usr/share/oomward").mkdir(parents=True)
    (tmp_path / "usr/share/oomward/installed.json").write_text("[]")
    (tmp_path / "oomward-1.dist-info").mkdir()
    (tmp_path / "oomward-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: oomward\nVersion: 1\n")
    command = [sys.executable, str(ROOT / "scripts" / "image" / "sbom.py"), str(tmp_path), str(tmp_path / "out.json")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "one interpreter was expected" in done.stderr
