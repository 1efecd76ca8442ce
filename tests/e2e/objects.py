"""What the end-to-end run applies: an overlay of manifests/base with the image under test, and herder in three forms.

Pure: settings in, objects and files out.
"""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.lab.boot import REPO

MANIFESTS = REPO / "manifests"
MODE = "oomward.dev/mode"
IMAGE = "ghcr.io/oomward/oomward"
NAMESPACE = "oomward-e2e"
HERDERS: dict[str, str | None] = {"herder-single": "single", "herder-group": "group", "herder-plain": None}


@dataclass(frozen=True, slots=True)
class Settings:
    """``image`` with its tag or digest; ``profile`` full or least-privilege."""

    image: str
    profile: str = "full"

    @classmethod
    def from_environment(cls, environment: dict[str, str]) -> Settings:
        """IMAGE, PROFILE. Raises ValueError for another profile."""
        profile = environment.get("PROFILE", "full")
        if profile not in ("full", "least-privilege"):
            raise ValueError(f"PROFILE is full or least-privilege, not {profile!r}")
        return cls(environment.get("IMAGE") or f"{IMAGE}:dev", profile)


def image_override(image: str) -> dict[str, str]:
    """An entry of kustomize's ``images``. Raises ValueError for an image that names neither tag nor digest."""
    name, at, digest = image.partition("@")
    if at:
        return {"name": IMAGE, "newName": name, "digest": digest}
    name, colon, tag = image.rpartition(":")
    if not colon or "/" in tag:
        raise ValueError(f"IMAGE needs a tag or a digest: {image}")
    return {"name": IMAGE, "newName": name, "newTag": tag}


def overlay(settings: Settings, folder: Path) -> dict[str, Any]:
    """kustomization.yaml for ``folder``, from which paths are relative."""

    def there(*parts: str) -> str:
        return os.path.relpath(MANIFESTS.joinpath(*parts), folder.resolve())

    pull = [{"op": "add", "path": "/spec/template/spec/containers/0/imagePullPolicy", "value": "IfNotPresent"}]
    made: dict[str, Any] = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [there("base")],
        "images": [image_override(settings.image)],
        "patches": [{"target": {"kind": "DaemonSet"}, "patch": yaml.safe_dump(pull)}],
    }
    if settings.profile != "full":
        made["components"] = [there("components", settings.profile)]
    return made


def herders() -> list[dict[str, Any]]:
    """The example, as it is but for its name, its namespace and its label: single, group, and asking for nothing."""
    example: dict[str, Any] = yaml.safe_load((MANIFESTS / "examples" / "herder.yaml").read_text())
    return [_herder(example, name, mode) for name, mode in HERDERS.items()]


def _herder(example: dict[str, Any], name: str, mode: str | None) -> dict[str, Any]:
    made = copy.deepcopy(example)
    made["metadata"] = {"name": name, "namespace": NAMESPACE, "labels": {"app": name}}
    made["spec"]["selector"]["matchLabels"] = {"app": name}
    template = made["spec"]["template"]
    template["metadata"]["labels"] = {"app": name} | ({MODE: mode} if mode else {})
    for selector in _selectors(template["spec"]):
        selector["matchLabels"] = {"app": name}
    return made


def _selectors(spec: dict[str, Any]) -> list[dict[str, Any]]:
    required = spec["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    return [term["labelSelector"] for term in (*spec["topologySpreadConstraints"], *required)]
