"""What a release on GitHub has: `python scripts/release/artifacts.py OUT TREE [DIGEST]`, in the environment of manifests.lock.

TREE is the image's / as a folder, DIGEST the published image's, by which the manifests then name it. Writes into OUT: install.yaml and
install-least-privilege.yaml, the chart, the kubectl plugin with its manifest for krew, the notes, and checksums. Reaches no network.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import helm_python
import yaml

sys.path.insert(0, str(Path(__file__).parent))

import plugin
import version

ROOT = version.ROOT
IMAGE = "ghcr.io/oomward/oomward"
MANIFESTS = {"install.yaml": "manifests/base", "install-least-privilege.yaml": "manifests/overlays/least-privilege"}
DOWNLOADS = "https://github.com/oomward/oomward/releases/download"
PLATFORMS = [(system, arch) for system in ("linux", "darwin") for arch in ("amd64", "arm64")]


def install(name: str, folder: str, digest: str | None) -> str:
    """All objects of an overlay in one file, with the image by its digest."""
    with tempfile.TemporaryDirectory(dir=ROOT, prefix=".release-") as made:
        image = {"name": IMAGE, "digest": digest} if digest else {"name": IMAGE, "newTag": version.in_code()}
        overlay = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [os.path.relpath(ROOT / folder, made)],
            "images": [image],
        }
        (Path(made) / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
        kubectl = Path(sys.executable).with_name("kubectl")
        done = subprocess.run([kubectl, "kustomize", made], capture_output=True, text=True, check=True, timeout=120)
    return f"# oomward {version.in_code()}: kubectl apply -f {name}; from {folder}\n{done.stdout}"


def archive(tree: Path, out: Path) -> None:
    """The plugin with the licence, as krew unpacks it."""
    with tempfile.TemporaryDirectory() as folder, out.open("wb") as file:
        program = Path(folder) / "kubectl-oomward"
        plugin.build(tree, program)
        with (
            gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed,
            tarfile.open(mode="w", fileobj=packed, format=tarfile.PAX_FORMAT) as made,
        ):
            for name, path, mode in (("kubectl-oomward", program, 0o755), ("LICENSE", ROOT / "LICENSE", 0o644)):
                info = tarfile.TarInfo(name)
                content = path.read_bytes()
                info.size, info.mode = len(content), mode
                made.addfile(info, io.BytesIO(content))


def krew(sha256: str) -> str:
    """https://krew.sigs.k8s.io/docs/developer-guide/plugin-manifest/"""
    tag = f"v{version.in_code()}"
    manifest = {
        "apiVersion": "krew.googlecontainertools.github.com/v1alpha2",
        "kind": "Plugin",
        "metadata": {"name": "oomward"},
        "spec": {
            "version": tag,
            "homepage": "https://github.com/oomward/oomward",
            "shortDescription": "Show OOM kills and OOM modes of pods",
            "description": "Asks oomward's agents on the nodes: which containers were OOM-killed, which mode is in force and why,\n"
            "what a failing pod needs.\n",
            "caveats": "Needs Python 3.11 or newer as python3, and oomward's agents in the cluster:\n"
            "https://github.com/oomward/oomward\n",
            "platforms": [
                {
                    "selector": {"matchLabels": {"os": system, "arch": arch}},
                    "uri": f"{DOWNLOADS}/{tag}/kubectl-oomward-{tag}.tar.gz",
                    "sha256": sha256,
                    "bin": "kubectl-oomward",
                    "files": [{"from": "*", "to": "."}],
                }
                for system, arch in PLATFORMS
            ],
        },
    }
    return yaml.safe_dump(manifest, sort_keys=False)


def main(out: Path, tree: Path, digest: str | None = None) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for name, folder in MANIFESTS.items():
        (out / name).write_text(install(name, folder, digest))
    helm_python.package(ROOT / "manifests" / "chart", destination=out)
    packed = out / f"kubectl-oomward-v{version.in_code()}.tar.gz"
    archive(tree, packed)
    (out / "oomward-krew.yaml").write_text(krew(hashlib.sha256(packed.read_bytes()).hexdigest()))
    (out / "notes.md").write_text(version.notes(version.in_code()) + "\n")
    sums = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n"
        for file in sorted(out.iterdir())
        if file.is_file() and file.name not in ("notes.md", "SHA256SUMS")
    ]
    (out / "SHA256SUMS").write_text("".join(sums))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:4])
