"""The API server's own validation of events.k8s.io/v1 Events (pkg/apis/core/validation/events.go), in its words."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

Json = dict[str, Any]
NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z")
QUALIFIED = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?\Z")
MICRO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z\Z")
DEPRECATED = ("deprecatedSource", "deprecatedFirstTimestamp", "deprecatedLastTimestamp", "deprecatedCount")


def problems(event: Json, namespace: str) -> list[str]:
    """Why the server would answer 422; empty: it would take the Event."""
    found: list[str] = []
    metadata = event.get("metadata") or {}
    name = metadata.get("name", "")
    if not isinstance(name, str) or len(name) > 253 or not NAME.match(name):
        found.append(
            f'metadata.name: Invalid value: "{name}": a lowercase RFC 1123 subdomain must consist of lower case …'
        )
    if metadata.get("namespace", namespace) != namespace:
        found.append("metadata.namespace: does not match the namespace sent")
    if not isinstance(event.get("eventTime"), str) or not MICRO_TIME.match(event["eventTime"]):
        found.append("eventTime: Required value")
    else:
        datetime.fromisoformat(event["eventTime"])
    controller = event.get("reportingController", "")
    if not controller or not QUALIFIED.match(controller):
        found.append(
            "reportingController: Required value"
            if not controller
            else "reportingController: name part must consist of …"
        )
    for field, limit in (("reportingInstance", 128), ("action", 128), ("reason", 128)):
        value = event.get(field, "")
        if not value:
            found.append(f"{field}: Required value")
        elif len(value) > limit:
            found.append(f"{field}: Invalid value: can have at most {limit} characters")
    if len(event.get("note", "")) > 1024:
        found.append("note: Invalid value: can have at most 1024 characters")
    if event.get("type") not in ("Normal", "Warning"):
        found.append("type: Invalid value: has invalid value")
    regarding = event.get("regarding") or {}
    if regarding.get("namespace", "") != namespace and not (
        not regarding.get("namespace") and namespace in ("default", "kube-system")
    ):
        found.append("involvedObject.namespace: does not match event.namespace")
    found += [f"{field}: needs to be unset" for field in DEPRECATED if field in event]
    return found + series_problems(event.get("series"))


def series_problems(series: Json | None) -> list[str]:
    """Likewise for the series part."""
    if series is None:
        return []
    found = []
    if not isinstance(series.get("count"), int) or series["count"] < 2:
        found.append("series.count: Invalid value: should be at least 2")
    if not MICRO_TIME.match(str(series.get("lastObservedTime", ""))):
        found.append("series.lastObservedTime: Required value")
    return found


def patch_problems(before: Json, patch: Json) -> list[str]:
    """Only ``series`` may change; what a merge patch repeats unchanged is no change."""
    changed = [
        key
        for key, value in patch.items()
        if key not in ("series", "metadata", "kind", "apiVersion") and before.get(key) != value
    ]
    return [f"{key}: Invalid value: field is immutable" for key in changed] + series_problems(patch.get("series"))
