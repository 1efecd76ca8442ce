"""OCI layouts: those of single platforms become one image, every blob as it was; a chart becomes what Helm pulls."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.release.scripts import script

oci, helm_oci = script("oci"), script("helm_oci")


def put(layout: Path, kind: str, content: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    (layout / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
    (layout / "blobs" / "sha256" / digest).write_bytes(content)
    return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(content)}


def put_json(layout: Path, kind: str, document: object) -> dict[str, Any]:
    return put(layout, kind, json.dumps(document).encode())


def layout_of(folder: Path, arch: str, *, attested: bool = False) -> Path:
    """As buildah writes it, or with an attestation as buildkit does: then the image is in an index of its own."""
    config = put_json(folder, "application/vnd.oci.image.config.v1+json", {"architecture": arch, "os": "linux"})
    layer = put(folder, "application/vnd.oci.image.layer.v1.tar+gzip", f"files for {arch}".encode())
    top = put_json(folder, oci.MANIFEST, {"config": config, "layers": [layer]})
    if attested:
        about = put_json(folder, oci.MANIFEST, {"config": config, "layers": [], "arch": arch})
        notes = {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": top["digest"]}
        image = top | {"platform": {"architecture": arch, "os": "linux"}}
        top = put_json(folder, oci.INDEX, {"manifests": [image, about | {"platform": oci.NONE, "annotations": notes}]})
    (folder / "oci-layout").write_text("{}")
    (folder / "index.json").write_text(json.dumps({"manifests": [top]}))
    return folder


def joined(out: Path) -> list[dict[str, Any]]:
    """The manifests of the one image."""
    (top,) = json.loads((out / "index.json").read_text())["manifests"]
    assert top["annotations"] == {oci.NAME: "1.2.3"}
    manifests: list[dict[str, Any]] = json.loads((out / "blobs" / top["digest"].replace(":", "/")).read_text())[
        "manifests"
    ]
    return manifests


def test_two_platforms_become_one_image(tmp_path: Path) -> None:
    layouts = [layout_of(tmp_path / arch, arch) for arch in ("amd64", "arm64")]
    digest = oci.join(tmp_path / "out", "1.2.3", layouts)
    assert [oci.platform_of(one) for one in joined(tmp_path / "out")] == ["linux/amd64", "linux/arm64"]
    assert json.loads((tmp_path / "out" / "index.json").read_text())["manifests"][0]["digest"] == digest


def test_every_manifest_has_the_digest_that_was_tested_and_every_blob_is_there(tmp_path: Path) -> None:
    layouts = [layout_of(tmp_path / arch, arch, attested=True) for arch in ("amd64", "arm64")]
    oci.join(tmp_path / "out", "1.2.3", layouts)
    there = {path.name for path in (tmp_path / "out" / "blobs" / "sha256").iterdir()}
    assert there >= {path.name for layout in layouts for path in (layout / "blobs" / "sha256").iterdir()}
    assert all(one["digest"].removeprefix("sha256:") in there for one in joined(tmp_path / "out"))


def test_attestations_come_along_and_still_name_their_image(tmp_path: Path) -> None:
    layouts = [layout_of(tmp_path / arch, arch, attested=True) for arch in ("amd64", "arm64")]
    oci.join(tmp_path / "out", "1.2.3", layouts)
    manifests = joined(tmp_path / "out")
    images = [one["digest"] for one in manifests if one["platform"] != oci.NONE]
    about = [one["annotations"]["vnd.docker.reference.digest"] for one in manifests if one["platform"] == oci.NONE]
    assert (len(images), about) == (2, images)


def test_the_same_platform_twice_is_refused(tmp_path: Path) -> None:
    layouts = [layout_of(tmp_path / name, "amd64") for name in ("a", "b")]
    with pytest.raises(ValueError, match="one image per platform is needed, not linux/amd64, linux/amd64"):
        oci.join(tmp_path / "out", "1.2.3", layouts)


def test_a_blob_that_is_not_what_its_name_says_is_refused(tmp_path: Path) -> None:
    layout = layout_of(tmp_path / "a", "amd64")
    blob = next(path for path in (layout / "blobs" / "sha256").iterdir() if path.read_bytes().startswith(b"files"))
    blob.write_bytes(b"other files")
    with pytest.raises(ValueError, match="is not what its name says"):
        oci.join(tmp_path / "out", "1.2.3", [layout])


def test_a_folder_that_is_no_layout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is no OCI layout"):
        oci.join(tmp_path / "out", "1.2.3", [tmp_path])


def test_a_chart_has_its_metadata_as_configuration_and_its_archive_as_the_layer(tmp_path: Path) -> None:
    packed = tmp_path / "oomward-1.2.3.tgz"
    metadata = {"name": "oomward", "version": "1.2.3", "description": "d", "home": "https://h.example"}
    with tarfile.open(packed, "w:gz") as files:
        content = yaml.safe_dump(metadata).encode()
        info = tarfile.TarInfo("oomward/Chart.yaml")
        info.size = len(content)
        files.addfile(info, io.BytesIO(content))
    digest = helm_oci.chart(tmp_path / "out", packed)
    blobs = tmp_path / "out" / "blobs" / "sha256"
    manifest = json.loads((blobs / digest.removeprefix("sha256:")).read_text())
    assert json.loads((blobs / manifest["config"]["digest"].removeprefix("sha256:")).read_text()) == metadata
    (layer,) = manifest["layers"]
    assert (blobs / layer["digest"].removeprefix("sha256:")).read_bytes() == packed.read_bytes()
    assert manifest["annotations"]["org.opencontainers.image.version"] == "1.2.3"


def test_artifact_hub_s_file_is_a_layer_of_its_own_kind(tmp_path: Path) -> None:
    file = tmp_path / "artifacthub-repo.yml"
    file.write_text("owners: []\n")
    digest = helm_oci.artifact_hub(tmp_path / "out", file)
    manifest = json.loads((tmp_path / "out" / "blobs" / digest.replace(":", "/")).read_text())
    assert manifest["layers"][0]["mediaType"] == "application/vnd.cncf.artifacthub.repository-metadata.layer.v1.yaml"
    assert manifest["layers"][0]["annotations"]["org.opencontainers.image.title"] == file.name
