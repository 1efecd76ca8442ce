"""Field and label selectors, as the API server reads them in a query."""

from __future__ import annotations

import re
from typing import Any

Json = dict[str, Any]
FIELDS = ("metadata.name", "metadata.namespace", "spec.nodeName", "status.phase", "spec.restartPolicy")
SET = re.compile(r"(\S+)\s+(in|notin)\s+\(([^)]*)\)\Z")


class BadSelectorError(ValueError):
    """The server answers 400."""


def matches(pod: Json, fields: str, labels: str) -> bool:
    """Whether a pod is selected by both."""
    return all(_field(pod, part) for part in fields.split(",") if part) and all(
        _label(pod, part) for part in _parts(labels)
    )


def _field(pod: Json, part: str) -> bool:
    key, equal, wanted = part.partition("!=") if "!=" in part else part.partition("=")
    if key not in FIELDS:
        raise BadSelectorError(f"field label not supported: {key}")
    value: Any = pod
    for name in key.split("."):
        value = value.get(name, "") if isinstance(value, dict) else ""
    return (str(value) == wanted.lstrip("=")) is (equal != "!=")


def _parts(text: str) -> list[str]:
    return [part.strip() for part in re.split(r",(?![^(]*\))", text) if part.strip()]


def _label(pod: Json, part: str) -> bool:
    labels = pod["metadata"].get("labels") or {}
    if (match := SET.match(part)) is not None:
        inside = labels.get(match[1]) in [value.strip() for value in match[3].split(",")]
        return inside if match[2] == "in" else not inside
    if part.startswith("!"):
        return part[1:] not in labels
    for sign in ("!=", "==", "="):
        if sign in part:
            key, _, value = part.partition(sign)
            return (labels.get(key.strip()) == value.strip()) is (sign != "!=")
    return part in labels
