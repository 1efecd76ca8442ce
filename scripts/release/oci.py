"""One image of several platforms from OCI layouts of one each: `python scripts/release/oci.py OUT NAME LAYOUT…`, which prints its digest.

LAYOUT and OUT are folders (OCI image layout 1.0). Every blob is copied as it is, so what was tested is what is published; attestations
(provenance, bill of materials) come along. Raises ValueError for a folder that is no layout, a blob with another digest, or a platform
that is there twice.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
NAME = "org.opencontainers.image.ref.name"
NONE = {"architecture": "unknown", "os": "unknown"}  # the platform of an attestation, as buildkit writes it

Descriptor = dict[str, Any]


def join(out: Path, name: str, layouts: list[Path]) -> str:
    """Write the layout ``out`` with one image, called ``name``; returns its digest."""
    manifests = [one for layout in layouts for one in _manifests(layout)]
    platforms = [platform_of(one) for one in manifests if one["platform"] != NONE]
    if len(set(platforms)) != len(platforms) or not platforms:
        raise ValueError(f"one image per platform is needed, not {', '.join(platforms) or 'none'}")
    blobs = out / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    for layout in layouts:
        for blob in sorted((layout / "blobs" / "sha256").iterdir()):
            if _digest(blob.read_bytes()) != f"sha256:{blob.name}":
                raise ValueError(f"{blob} is not what its name says")
            shutil.copyfile(blob, blobs / blob.name)
    index = _json({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests})
    digest = _digest(index)
    (blobs / digest.removeprefix("sha256:")).write_bytes(index)
    top = {"mediaType": INDEX, "digest": digest, "size": len(index), "annotations": {NAME: name}}
    (out / "index.json").write_bytes(_json({"schemaVersion": 2, "manifests": [top]}))
    (out / "oci-layout").write_bytes(_json({"imageLayoutVersion": "1.0.0"}))
    return digest


def platform_of(manifest: Descriptor) -> str:
    """``linux/arm64``."""
    platform = manifest["platform"]
    return "/".join(platform[key] for key in ("os", "architecture", "variant") if platform.get(key))


def _manifests(layout: Path) -> Iterator[Descriptor]:
    """The image's and its attestations', each with its platform."""
    if not (layout / "oci-layout").is_file():
        raise ValueError(f"{layout} is no OCI layout")
    yield from _below(layout, json.loads((layout / "index.json").read_bytes()))


def _below(layout: Path, index: dict[str, Any]) -> Iterator[Descriptor]:
    for one in index["manifests"]:
        if one["mediaType"] == INDEX:
            yield from _below(layout, _read(layout, one))
        elif one["mediaType"] == MANIFEST:
            platform = one.get("platform") or _platform(layout, one)
            kept = {key: one[key] for key in ("mediaType", "digest", "size", "artifactType") if key in one}
            notes = {
                key: value
                for key, value in one.get("annotations", {}).items()
                if key.startswith("vnd.docker.reference")
            }
            yield kept | {"platform": platform} | ({"annotations": notes} if notes else {})
        else:
            raise ValueError(f"{layout} has a {one['mediaType']}, which is no OCI image")


def _platform(layout: Path, manifest: Descriptor) -> dict[str, str]:
    config = _read(layout, _read(layout, manifest)["config"])
    return {key: config[key] for key in ("architecture", "os", "variant") if config.get(key)}


def _read(layout: Path, descriptor: Descriptor) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((layout / "blobs" / descriptor["digest"].replace(":", "/")).read_bytes())
    return found


def _json(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


if __name__ == "__main__":
    sys.stdout.write(join(Path(sys.argv[1]), sys.argv[2], [Path(word) for word in sys.argv[3:]]) + "\n")
