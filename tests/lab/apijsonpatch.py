"""JSON patch (RFC 6902) as the API server applies it (evanphx/json-patch): ``test`` for null succeeds where there is no value.

Takes an object and operations, gives the patched copy. Raises PatchError with the server's words.
"""

from __future__ import annotations

import copy
from typing import Any

MISSING = object()


class PatchError(ValueError):
    """An operation can't be applied: the server answers 422, and changes nothing."""


def apply(before: Any, patch: list[dict[str, Any]]) -> Any:
    """The object after all operations, or none of them."""
    found = copy.deepcopy(before)
    for one in patch:
        _operation(
            found, one["op"], [_plain(part) for part in one["path"].split("/")[1:]], one.get("value"), one["path"]
        )
    return found


def _plain(part: str) -> str:
    return part.replace("~1", "/").replace("~0", "~")


def _operation(root: Any, op: str, parts: list[str], value: Any, path: str) -> None:
    parent = root
    for part in parts[:-1]:
        parent = _get(parent, part)
        if parent is MISSING or not isinstance(parent, dict | list):
            raise PatchError(f"{op} operation does not apply: doc is missing path: {path}: missing value")
    last = parts[-1]
    present = _get(parent, last)
    if op == "test":
        if (None if present is MISSING else present) != value:
            raise PatchError(f"testing value {path} failed: test failed")
    elif op == "add" and isinstance(parent, list):
        parent.insert(len(parent) if last == "-" else int(last), value)
    elif op in ("replace", "remove") and present is MISSING:
        raise PatchError(f"{op} operation does not apply: doc is missing key: {path}: missing value")
    elif op in ("add", "replace"):
        parent[int(last) if isinstance(parent, list) else last] = copy.deepcopy(value)
    elif op == "remove":
        del parent[int(last) if isinstance(parent, list) else last]
    else:
        raise PatchError(f"Unexpected kind: {op}")


def _get(parent: Any, part: str) -> Any:
    if isinstance(parent, list):
        return parent[int(part)] if part.isdecimal() and int(part) < len(parent) else MISSING
    return parent.get(part, MISSING) if isinstance(parent, dict) else MISSING
