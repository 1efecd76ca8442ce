"""Two images for containerd, as docker archives: the lab's program, and the same as a sandbox's pause."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

from tests.lab.runtime import HOG

IMAGE = "docker.io/lab/hog:1"
PAUSE_IMAGE = "docker.io/lab/pause:1"
FOLDERS = ("proc", "sys", "dev", "etc", "run", "out", "tmp", "bin")


def write_archive(path: Path) -> None:
    """Both images in one archive for ``ctr images import``; they share their one layer."""
    layer = _tar({"hog": HOG.read_bytes()}, FOLDERS)
    diff_id = f"sha256:{hashlib.sha256(layer).hexdigest()}"
    files, manifest = {"layer.tar": layer}, []
    for name, process in ((IMAGE, {}), (PAUSE_IMAGE, {"Entrypoint": ["/hog", "pause"]})):
        config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": ["PATH=/:/bin"], **process},
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        }
        text = json.dumps(config).encode()
        file = f"{hashlib.sha256(text).hexdigest()}.json"
        files[file] = text
        manifest.append({"Config": file, "RepoTags": [name], "Layers": ["layer.tar"]})
    files["manifest.json"] = json.dumps(manifest).encode()
    path.write_bytes(_tar(files))


def _tar(files: dict[str, bytes], folders: tuple[str, ...] = ()) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        for name in folders:
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(folder)
        for name, content in files.items():
            file = tarfile.TarInfo(name)
            file.size, file.mode = len(content), 0o755
            archive.addfile(file, io.BytesIO(content))
    return written.getvalue()
