"""The API server's own validation of events.k8s.io/v1 Events (pkg/apis/core/validation/events.go), in its words.

Takes the JSON of a create or a merge patch, gives what a server would say against it. Lengths are in bytes of UTF-8,
since Go's len() counts those. Objects that would not even decode are BadEventError (400), not a problem (422).
"""

from __future__ import annotations

import re
from datetime import datetime
from types import NoneType
from typing import Any

Json = dict[str, Any]
SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z")
NAME_PART = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?\Z")
MICRO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)\Z")
UNSET = ("deprecatedSource", "deprecatedFirstTimestamp", "deprecatedLastTimestamp", "deprecatedCount")
TEXTS = ("reportingController", "reportingInstance", "action", "reason", "note", "type")
IMMUTABLE = (*TEXTS, "eventTime", "regarding", "related", *UNSET)
CLUSTER_NAMESPACES = ("default", "kube-system")  # where Events about objects without a namespace may live


class BadEventError(ValueError):
    """The body is no Event at all: the server answers 400."""


def problems(event: Json, namespace: str) -> list[str]:
    """Why the server would answer 422 to a create; empty: it would take the Event. Raises BadEventError (400)."""
    _decode(event, namespace)
    name = event["metadata"].get("name") or ""
    found = []
    if len(name) > 253 or not SUBDOMAIN.match(name):
        found.append(
            f'metadata.name: Invalid value: "{name}": a lowercase RFC 1123 subdomain must consist of lower case …'
        )
    if not event.get("eventTime"):
        found.append("eventTime: Required value")
    controller = event.get("reportingController") or ""
    found += _lengths(event) + _qualified(controller)
    if event.get("type") not in ("Normal", "Warning"):
        found.append(f'type: Invalid value: "": has invalid value: {event.get("type") or ""}')
    if not (event.get("regarding") or {}).get("namespace") and namespace not in CLUSTER_NAMESPACES:
        found.append('involvedObject.namespace: Invalid value: "": does not match event.namespace')
    found += [f"{field}: Invalid value: needs to be unset" for field in UNSET if event.get(field)]
    return found + series_problems(event.get("series"))


def patch_problems(before: Json, after: Json) -> list[str]:
    """Why the server would answer 422 to an update: only ``series`` and labels may change. Raises BadEventError (400)."""
    _decode(after, before["metadata"]["namespace"])
    changed = [key for key in IMMUTABLE if before.get(key) != after.get(key)]
    found = [f"{key}: Invalid value: field is immutable" for key in changed]
    if before["metadata"].get("name") != after["metadata"].get("name"):
        found.append("metadata.name: Invalid value: field is immutable")
    return found + (series_problems(after.get("series")) if before.get("series") != after.get("series") else [])


def series_problems(series: Json | None) -> list[str]:
    """Likewise for the series part of an Event that decodes."""
    if series is None:
        return []
    found = []
    if series.get("count", 0) < 2:
        found.append('series.count: Invalid value: "": should be at least 2')
    if not series.get("lastObservedTime"):
        found.append("series.lastObservedTime: Required value")
    return found


def merge(before: Any, patch: Any) -> Any:
    """RFC 7386: what a merge patch makes of a value."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(before) if isinstance(before, dict) else {}
    for key, value in patch.items():
        merged[key] = merge(merged.get(key), value)
        if value is None:
            del merged[key]
    return merged


def _decode(event: Json, namespace: str) -> None:
    """What Go's decoder, or the check of the request's namespace, refuses with a 400."""
    for key in ("metadata", "regarding", "related", "series", "deprecatedSource"):
        if not isinstance(event.get(key), dict | NoneType):
            raise BadEventError(f"json: cannot unmarshal {type(event[key]).__name__} into Go struct field Event.{key}")
    event["metadata"] = metadata = event.get("metadata") or {}
    series = event.get("series") or {}
    texts = [(key, event.get(key)) for key in TEXTS] + [(key, metadata.get(key)) for key in ("name", "namespace")]
    for key, value in texts:
        if not isinstance(value, str | NoneType):
            raise BadEventError(f"json: cannot unmarshal {type(value).__name__} into Go struct field Event.{key}")
    if type(series.get("count", 0)) is not int or series.get("count", 0) >= 1 << 31:
        raise BadEventError("json: cannot unmarshal into Go struct field EventSeries.series.count of type int32")
    for time in (event.get("eventTime"), series.get("lastObservedTime")):
        _micro_time(time)
    if metadata.setdefault("namespace", namespace) != namespace:
        raise BadEventError("the namespace of the provided object does not match the namespace sent on the request")


def _micro_time(value: object) -> None:
    if value is None:
        return
    try:
        if not isinstance(value, str) or not MICRO_TIME.match(value):
            raise ValueError(value)
        datetime.fromisoformat(value)
    except ValueError as error:
        raise BadEventError(f'parsing time "{value}" as "2006-01-02T15:04:05.000000Z07:00": cannot parse') from error


def _lengths(event: Json) -> list[str]:
    found = []
    for field, most, required in (
        ("reportingInstance", 128, True),
        ("action", 128, True),
        ("reason", 128, True),
        ("note", 1024, False),
    ):
        size = len((event.get(field) or "").encode())
        if required and not size:
            found.append(f"{field}: Required value")
        if size > most:
            found.append(f'{field}: Invalid value: "": can have at most {most} characters')
    return found


def _qualified(controller: str) -> list[str]:
    if not controller:
        return ["reportingController: Required value"]
    prefix, slash, name = controller.rpartition("/")
    if len(name) > 63 or not NAME_PART.match(name):
        return [
            f'reportingController: Invalid value: "{controller}": name part must consist of alphanumeric characters …'
        ]
    if slash and (len(prefix) > 253 or not SUBDOMAIN.match(prefix)):
        return [f'reportingController: Invalid value: "{controller}": prefix part a lowercase RFC 1123 subdomain …']
    return []
