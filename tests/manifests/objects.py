"""Rendered objects: reading them, naming them, comparing two renderings. Runs no tool and reads nothing but manifests/."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "manifests"
BASE = MANIFESTS / "base"
CHART = MANIFESTS / "chart"
EXAMPLES = MANIFESTS / "examples"
COMPONENTS = sorted(path.parent for path in MANIFESTS.glob("components/*/kustomization.yaml"))
OVERLAYS = sorted(path.parent for path in MANIFESTS.glob("overlays/*/kustomization.yaml"))
HELMS_LABELS = ("app.kubernetes.io/instance", "app.kubernetes.io/managed-by", "helm.sh/chart")

Object = dict[str, Any]


def parse(text: str, what: str) -> list[Object]:
    """The objects of a YAML stream; empty documents left out. Raises ValueError, which names ``what``, for anything else."""
    documents = [document for document in _documents(text, what) if document is not None]
    for document in documents:
        missing = [key for key in ("apiVersion", "kind") if not isinstance(document, dict) or not document.get(key)]
        if missing:
            raise ValueError(f"{what}: a document without {' and '.join(missing)} is no Kubernetes object")
    return documents


def mapping(text: str, what: str) -> dict[str, Any]:
    """The one mapping of a YAML file that is no Kubernetes object. Raises ValueError, which names ``what``, for anything else."""
    documents = _documents(text, what)
    if len(documents) != 1 or not isinstance(documents[0], dict) or "kind" in documents[0]:
        raise ValueError(f"{what}: one mapping without a kind is wanted, as values for a chart are")
    return documents[0]


def _documents(text: str, what: str) -> list[Any]:
    try:
        return list(yaml.safe_load_all(text))
    except yaml.YAMLError as error:
        raise ValueError(f"{what}: no YAML: {error}") from error


def name(item: Object) -> str:
    """``DaemonSet oomward/oomward``, ``ClusterRole oomward``."""
    metadata = item.get("metadata", {})
    namespace = metadata.get("namespace")
    return f"{item['kind']} {f'{namespace}/' if namespace else ''}{metadata.get('name')}"


def of_kind(items: Iterable[Object], kind: str) -> Object:
    """The only one of that kind. Raises ValueError when there is none, or more."""
    (found,) = [item for item in items if item["kind"] == kind]
    return found


def is_hook(item: Object) -> bool:
    """Whether Helm applies it at another time than the installation, such as for `helm test`."""
    return "helm.sh/hook" in item["metadata"].get("annotations", {})


def without_helms_own(items: Iterable[Object]) -> list[Object]:
    """Copies without hooks and the labels that Helm's conventions ask for, as docs/reference/manifests.md names them."""
    copies = copy.deepcopy([item for item in items if not is_hook(item)])
    for item in copies:
        labels = item["metadata"].get("labels", {})
        for label in HELMS_LABELS:
            labels.pop(label, None)
    return copies


def differences(first: Iterable[Object], second: Iterable[Object]) -> list[str]:
    """What differs, a line each: where, and both values. Empty: the same objects."""
    ours, theirs = _by_name(first), _by_name(second)
    found: list[str] = []
    for key in sorted(ours.keys() | theirs.keys()):
        found += _compare(key, ours.get(key, _MISSING), theirs.get(key, _MISSING))
    return found


_MISSING = object()


def _by_name(items: Iterable[Object]) -> dict[str, Object]:
    named: dict[str, Object] = {}
    for item in items:
        if name(item) in named:
            raise ValueError(f"{name(item)} is there twice")
        named[name(item)] = item
    return named


def _compare(where: str, first: object, second: object) -> list[str]:
    if isinstance(first, dict) and isinstance(second, dict):
        keys = sorted(first.keys() | second.keys())
        return [
            line
            for key in keys
            for line in _compare(f"{where} .{key}", first.get(key, _MISSING), second.get(key, _MISSING))
        ]
    if isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        pairs = enumerate(zip(first, second, strict=True))
        return [line for i, (one, other) in pairs for line in _compare(f"{where} [{i}]", one, other)]
    if first == second and type(first) is type(second):
        return []
    return [f"{where}: {_shown(first)} and {_shown(second)}"]


def _shown(value: object) -> str:
    if value is _MISSING:
        return "nothing"
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
