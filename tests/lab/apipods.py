"""List and watch of pods by the API's stand-in, with the API's meaning of resourceVersion, limit and bookmarks.

Takes a request's handler and query, gives the answer through it; faults in the middle of an answer are here too.
Sources: kubernetes.io/docs/reference/using-api/api-concepts (resource versions, watches) and apiserver's storage/cacher.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, NoReturn

from tests.lab.apifaults import How
from tests.lab.apiselect import BadSelectorError, Selector, parse
from tests.lab.apistore import ExpiredError, Json, TooLargeError, token

if TYPE_CHECKING:
    from tests.lab.apihandler import Handler

POISON: Json = {"metadata": {"name": 7, "namespace": [], "uid": "poison"}, "spec": "none"}
EXPIRED = "too old resource version"
EXPIRED_PAGE = "The provided continue parameter is too old to display a consistent list result."


def serve(handler: Handler, verb: str, path: str, query: dict[str, str]) -> None:
    """Answer one list or watch, of all namespaces or of one."""
    fields = query.get("fieldSelector", "")
    if path != "/api/v1/pods":
        parts = path.split("/")
        if len(parts) != 6 or parts[3] != "namespaces":
            return
        fields = f"{fields},metadata.namespace={parts[4]}".strip(",")
    try:
        selector = parse(fields, query.get("labelSelector", ""))
    except BadSelectorError as error:
        handler.refuse(400, "BadRequest", str(error))
    version = query.get("resourceVersion", "")
    if version and not version.isdecimal():
        handler.refuse(400, "BadRequest", f'resourceVersion: Invalid value: "{version}"')
    if (match := query.get("resourceVersionMatch")) is not None and (
        wrong := _wrong_match(verb, version, match, query)
    ):
        handler.refuse(422, "Invalid", f"ListOptions.meta.k8s.io is invalid: resourceVersionMatch: {wrong}")
    if verb == "watch":
        _watch(handler, version, selector, query)
    else:
        _list(handler, version, selector, query)


def _wrong_match(verb: str, version: str, match: str, query: dict[str, str]) -> str:
    """What is wrong with resourceVersionMatch (apimachinery, ValidateListOptions); "" if nothing is."""
    if verb == "watch":
        return "Forbidden: resourceVersionMatch is forbidden for watch"
    if not version:
        return "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"
    if query.get("continue"):
        return "Forbidden: resourceVersionMatch is forbidden when continue is provided"
    return "" if match == "NotOlderThan" else f'Unsupported value: "{match}"'  # Exact, too: nobody here uses it


# --------------------------------------------------------------------------------------------------------------- list


def _list(handler: Handler, version: str, selector: Selector, query: dict[str, str]) -> None:
    store, start = handler.api.store, 0
    limit = int(query.get("limit") or 0)
    try:
        if query.get("continue"):
            if version not in ("", "0"):
                handler.refuse(400, "BadRequest", "specifying resource version is not allowed when using continue")
            items, at, start = store.page(query["continue"])
        else:
            items, at = store.select(selector, int(version) if version else None)
            # From the watch cache (version 0) a list comes whole, whatever the limit says.
            limit = 0 if version == "0" else limit
            store.remember(items, at)
    except ExpiredError:
        handler.refuse(410, "Expired", EXPIRED_PAGE)
    except TooLargeError:
        _too_large(handler, version)
    except ValueError as error:
        handler.refuse(400, "BadRequest", str(error))
    metadata: Json = {"resourceVersion": str(at)}
    end = start + limit if limit else len(items)
    if end < len(items):
        metadata["continue"] = token(at, end)
        if not selector.fields and not selector.labels:  # with a selector the server does not count what is left
            metadata["remainingItemCount"] = len(items) - end
    _send_list(handler, metadata, items[start:end])


def _send_list(handler: Handler, metadata: Json, items: list[Json]) -> None:
    how = handler.fault.how if handler.fault is not None else None
    if how is How.POISON:
        items = [POISON, *items]
    if how is How.HUGE_OBJECT:
        items = [_huge(handler), *items]
    body = json.dumps({"kind": "PodList", "apiVersion": "v1", "metadata": metadata, "items": items}).encode()
    if how is How.TRUNCATE:
        handler.send_body(200, body[: len(body) // 2])
    if how is How.CUT_BODY:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[: len(body) // 2])
        handler.hang_up()
    handler.send_body(200, body)


def _too_large(handler: Handler, version: str) -> NoReturn:
    now = handler.api.store.cached
    handler.refuse(
        504, "Timeout", f"Timeout: Too large resource version: {version}, current: {now}", {"Retry-After": "1"}
    )


# -------------------------------------------------------------------------------------------------------------- watch


def _watch(handler: Handler, version: str, selector: Selector, query: dict[str, str]) -> None:
    api, store = handler.api, handler.api.store
    until_s = time.monotonic() + float(query.get("timeoutSeconds") or 1800)
    bookmarks = query.get("allowWatchBookmarks") in ("true", "1")
    at = int(version or 0)
    news: list[tuple[int, str, Json]] = []
    try:
        with store.changed:
            if at:
                store.since(at, selector)
            else:  # "" and "0": what is there now first, as ADDED, then what changes
                pods, at = store.select(selector, int(version) if version else None)
                news = [(at, "ADDED", pod) for pod in pods]
    except TooLargeError:
        _too_large(handler, version)
    except ExpiredError:
        if api.gone_as == "status":
            handler.refuse(410, "Expired", f"{EXPIRED}: {version}")
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    _misbehave(handler)
    for _, kind, pod in news:
        _event(handler, kind, pod)
    _stream(handler, at, selector, until_s, bookmarks=bookmarks)


def _stream(handler: Handler, at: int, selector: Selector, until_s: float, *, bookmarks: bool) -> None:
    """What changes after version ``at``, and bookmarks, until the monotonic clock says ``until_s``."""
    api, store = handler.api, handler.api.store
    bookmark_at = time.monotonic() + api.bookmark_s
    while not api.closing and (now := time.monotonic()) < until_s:
        if now >= bookmark_at:
            bookmark_at = now + api.bookmark_s
            if bookmarks:
                _bookmark(handler, at)
        try:
            with store.changed:
                news = store.since(at, selector)
                if not news and at >= store.cached:
                    store.changed.wait(min(until_s, bookmark_at) - now)
                    news = store.since(at, selector)
                at = max(at, store.cached)
        except ExpiredError:
            _gone(handler, f"{EXPIRED}: {at}")
            break
        for _, kind, pod in news:
            _event(handler, kind, pod)
    else:
        if bookmarks and not api.closing:  # as the real one, which sends one shortly before it ends a watch in time
            _bookmark(handler, at)
    handler.end_stream()


def _bookmark(handler: Handler, version: int) -> None:
    metadata = {"resourceVersion": str(version)}
    _event(handler, "BOOKMARK", {"kind": "Pod", "apiVersion": "v1", "metadata": metadata})


def _misbehave(handler: Handler) -> None:
    """Faults of a watch that has begun."""
    fault = handler.fault
    match fault.how if fault is not None else None:
        case How.SILENT_MIDWAY:
            handler.api.faults.released.wait()
            handler.hang_up()
        case How.CUT_MIDWAY:
            handler.wfile.write(b'100\r\n{"type":"ADDED","obj')
            handler.hang_up()
        case How.END:
            handler.end_stream()
        case How.GARBAGE:
            assert fault is not None
            _chunk(handler, fault.body + b"\n")
        case How.GONE_EVENT:
            _gone(handler, "the lab says so")
            handler.end_stream()
        case How.ERROR_EVENT:
            message = {"reason": "InternalError", "message": "etcd leader changed"}
            _event(handler, "ERROR", {"kind": "Status", "status": "Failure", "code": 500, **message})
        case How.POISON:
            _event(handler, "ADDED", POISON)
        case How.HUGE_OBJECT:
            _event(handler, "ADDED", _huge(handler))
        case How.HUGE:
            for _ in range(9):
                _chunk(handler, b"x" * (1 << 20))
        case _:
            return


def _huge(handler: Handler) -> Json:
    """A pod as large as etcd takes one."""
    with handler.api.store.changed:
        pod: Json = next(iter(handler.api.store.pods.values()))
    name: dict[str, Any] = {"name": "huge", "uid": "uid-huge", "annotations": {"oomward.dev/note": "x" * (1 << 20)}}
    return {**pod, "metadata": {**pod["metadata"], **name}}


def _gone(handler: Handler, message: str) -> None:
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    _event(handler, "ERROR", {**status, "code": 410, "reason": "Expired", "message": message})


def _event(handler: Handler, kind: str, obj: Json) -> None:
    _chunk(handler, json.dumps({"type": kind, "object": obj}).encode() + b"\n")


def _chunk(handler: Handler, data: bytes) -> None:
    handler.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
