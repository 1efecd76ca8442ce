"""A packed chart as an OCI layout, as `helm push` makes it in a registry: `python scripts/release/helm_oci.py OUT CHART.tgz`.

Prints the digest. The tag is the chart's version. `… OUT --artifact-hub FILE` does the same with artifacthub-repo.yml and the tag
artifacthub.io. So the digest is known, and a registry on one's own machine can be tried, before anything is published.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tarfile
from pathlib import Path
from typing import Any

import yaml

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
TAG = "org.opencontainers.image.ref.name"


def chart(out: Path, packed: Path) -> str:
    """https://helm.sh/docs/topics/registries/#helm-chart-manifest"""
    with tarfile.open(packed) as files:
        (member,) = [one for one in files.getmembers() if one.name.count("/") == 1 and one.name.endswith("/Chart.yaml")]
        text = files.extractfile(member)
        assert text is not None  # a plain file
        found: dict[str, Any] = yaml.safe_load(text.read())
    layer = ("application/vnd.cncf.helm.chart.content.v1.tar+gzip", packed.read_bytes())
    config = ("application/vnd.cncf.helm.config.v1+json", json.dumps(found).encode())
    notes = {
        "title": found["name"],
        "version": found["version"],
        "description": found["description"],
        "url": found["home"],
    }
    return write(
        out,
        str(found["version"]),
        config,
        layer,
        {f"org.opencontainers.image.{key}": value for key, value in notes.items()},
    )


def artifact_hub(out: Path, file: Path) -> str:
    """https://artifacthub.io/docs/topics/repositories/helm-charts/#oci-support"""
    layer = ("application/vnd.cncf.artifacthub.repository-metadata.layer.v1.yaml", file.read_bytes())
    notes = {"org.opencontainers.image.title": file.name}
    return write(out, "artifacthub.io", ("application/vnd.cncf.artifacthub.config.v1+yaml", b""), layer, {}, notes)


def write(
    out: Path,
    tag: str,
    config: tuple[str, bytes],
    layer: tuple[str, bytes],
    notes: dict[str, str],
    layer_notes: dict[str, str] | None = None,
) -> str:
    """One artifact with one layer; ``config`` and ``layer`` are media type and content."""
    blobs = out / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(kind: str, content: bytes) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(content)}

    below = put(*layer) | ({"annotations": layer_notes} if layer_notes else {})
    document = {"schemaVersion": 2, "mediaType": MANIFEST, "config": put(*config), "layers": [below]}
    top = put(MANIFEST, json.dumps(document | ({"annotations": notes} if notes else {})).encode())
    (out / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [top | {"annotations": {TAG: tag}}]}))
    (out / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return str(top["digest"])


if __name__ == "__main__":
    folder, *words = sys.argv[1:]
    of_hub = words[0] == "--artifact-hub"
    sys.stdout.write(
        (artifact_hub(Path(folder), Path(words[1])) if of_hub else chart(Path(folder), Path(words[0]))) + "\n"
    )
