"""Fuzz target for a list of pods that comes in pieces: it must say what the whole text says, or that it is none.

The first byte says how large the pieces are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from agent.kube.api import ApiError, UnbelievableAnswerError
from agent.pods.list import Unread, read_list

Found = tuple[list[object], str] | None


def check(data: bytes) -> None:
    """Compare with the library's reading of the whole."""
    size, text = 1 + (data[0] if data else 0), data[1:]
    pieces: Iterator[bytes] = (text[at : at + size] for at in range(0, len(text), size))
    found: Found
    try:
        items, version = read_list(pieces, lambda item: (item,))
        if any(isinstance(item, Unread) for (item,) in items):
            return  # what is too deep for the library is skipped here
        found = [item for (item,) in items], version
    except (UnbelievableAnswerError, ValueError):
        found = None
    except ApiError as error:
        raise AssertionError(f"nothing broke off: {error}") from error
    if repr(found) != repr(_as_a_whole(text)):  # repr, since NaN is not what it is
        raise AssertionError(f"{found!r} was read, and it is {_as_a_whole(text)!r}")


class _TwiceError(ValueError):
    """A key twice."""


def _as_a_whole(text: bytes) -> Found:
    top: list[dict[str, object]] = []

    def pairs(members: list[tuple[str, object]]) -> dict[str, object]:
        top[:] = [dict(members)]
        top[0]["\0twice"] = len(top[0]) < len(members)
        return dict(members)

    try:
        body = json.loads(text.decode(), object_pairs_hook=pairs)
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict) or top[0]["\0twice"]:
        return None
    metadata, items = body.get("metadata"), body.get("items")
    if body.get("kind") != "PodList" or not isinstance(metadata, dict) or metadata.get("continue"):
        return None
    version = metadata.get("resourceVersion")
    if not (items is None or isinstance(items, list)) or not isinstance(version, str):
        return None
    return items or [], version
