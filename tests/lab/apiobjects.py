"""Objects that clients of the API's stand-in write: any kind that is registered, and pods by their API (create, patch, resize, evict).

Every write has the API's own conditions: resourceVersion on updates, JSON patch's tests, uid preconditions, what may change on a live
pod, disruption budgets, and admission that a test adds. ``reactors`` stand for controllers and kubelets: they see each write.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from agent.pods.parse import parse_quantity
from tests.lab.apievents import merge
from tests.lab.apijsonpatch import PatchError, apply
from tests.lab.apiselect import parse
from tests.lab.apistore import Json, Store
from tests.lab.quantity import canonical_pod

if TYPE_CHECKING:
    from tests.lab.apihandler import Handler

PATH = re.compile(
    r"(/api/v1|/apis/[^/]+/[^/]+)(?:/namespaces/([^/]+))?/([a-z]+)(?:/([^/]+))?(?:/(resize|eviction|status))?\Z"
)
JSON_PATCH, MERGE_PATCH = "application/json-patch+json", "application/merge-patch+json"
EVENTS = ("/apis/events.k8s.io/v1", "events")
POLL_S = 0.01  # at least between two looks of a watch
SHARE = 0.1  # of a processor that a watch takes at most
MOST_CHANGES = 1000  # that are remembered: some minutes
Key = tuple[str, str, str, str]  # root, plural, namespace, name
Admission = Callable[[str, str, Json, Json | None], str | None]  # verb, path, object, old object: why it is denied
Reactor = Callable[[Json | None, Json], None]  # before and after a client's write


class Invalid(str):
    """An admission's answer with status 422 instead of 403: that of a ValidatingAdmissionPolicy that names no reason."""

    __slots__ = ()


class Stored(MutableMapping[Key, Json]):
    """Objects by key. Whoever writes or removes one, a client or a test, a watch from any version before sees it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._objects: dict[Key, Json] = {}
        self._changes: deque[tuple[int, Key, Json | None]] = deque(
            maxlen=MOST_CHANGES
        )  # version, key, the object before

    def __getitem__(self, key: Key) -> Json:
        return self._objects[key]

    def __setitem__(self, key: Key, obj: Json) -> None:
        with self._store.changed:
            self._note(key)
            self._objects[key] = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self._store.version)}}

    def __delitem__(self, key: Key) -> None:
        with self._store.changed:
            self._objects[key]
            self._note(key)
            del self._objects[key]

    def __iter__(self) -> Iterator[Key]:
        with self._store.changed:
            return iter(list(self._objects))

    def __len__(self) -> int:
        return len(self._objects)

    def at(self, version: int | None) -> dict[Key, Json]:
        """All objects as they were at a version; None: as they are."""
        with self._store.changed:
            found = dict(self._objects)
            for changed, key, before in reversed(self._changes):
                if version is None or changed <= version:
                    break
                found.pop(key, None)
                if before is not None:
                    found[key] = before
            return found

    def _note(self, key: Key) -> None:
        self._store.version += 1
        self._changes.append((self._store.version, key, self._objects.get(key)))
        self._store.changed.notify_all()


@dataclass
class Objects:
    """``kinds`` are the collections that exist; ``budgets``: names of pods that a disruption budget protects now."""

    stored: Stored
    kinds: set[tuple[str, str]] = field(
        default_factory=lambda: {
            ("/api/v1", "configmaps"),
            ("/api/v1", "namespaces"),
            ("/apis/coordination.k8s.io/v1", "leases"),
        }
    )
    admission: list[Admission] = field(default_factory=list)
    reactors: list[Reactor] = field(default_factory=list)
    budgets: set[str] = field(default_factory=set)


def serve(handler: Handler, verb: str, path: str, query: dict[str, str], raw: bytes) -> None:
    """Answer if the path is one of these objects'."""
    match = PATH.match(path)
    if match is None:
        return
    root, namespace, plural, name, sub = match.groups(default="")
    one = _One(handler, verb, path, (root, plural, namespace, name), sub)
    if (root, plural) == ("/api/v1", "pods"):
        one.pod(raw)
    elif (root, plural) == EVENTS and verb == "get" and not name:
        one.collection(query)
    elif (root, plural) in handler.api.objects.kinds:
        one.collection(query) if verb == "get" and not name else one.single(raw)


@dataclass
class _One:
    handler: Handler
    verb: str
    path: str
    key: Key
    sub: str

    @property
    def objects(self) -> Objects:
        return self.handler.api.objects

    # ------------------------------------------------------------------------------------------------------- any object

    def single(self, raw: bytes) -> NoReturn:
        with self.handler.api.store.changed:
            if self.verb == "create":
                body = self._body(raw)
                self.key = (*self.key[:3], body["metadata"]["name"])
                if self.key in self.objects.stored:
                    self._refuse(409, "AlreadyExists", f'{self.key[1]} "{self.key[3]}" already exists')
                after = self._keep(None, {**body, "metadata": {"uid": str(uuid.uuid4()), **body["metadata"]}})
                self._done(201, None, after)
            before = self.objects.stored.get(self.key)
            if before is None:
                self._refuse(404, "NotFound", f'{self.key[1]} "{self.key[3]}" not found')
            if self.verb == "get":
                self.handler.send_json(200, before)
            if self.verb == "delete":
                del self.objects.stored[self.key]
                self.handler.send_json(200, before)
            body = self._body(raw) if self.verb == "update" else self._patched(before, raw)
            asked = body["metadata"].get("resourceVersion")
            if asked is not None and asked != before["metadata"]["resourceVersion"]:
                self._conflict()
            after = self._keep(before, body)
        self._done(200, before, after)

    def _keep(self, before: Json | None, after: Json) -> Json:
        self._admit(after, before)
        self.objects.stored[self.key] = after
        return self.objects.stored[self.key]

    # ------------------------------------------------------------------------------------------------------------- pods

    def pod(self, raw: bytes) -> None:
        """Writes of pods; reads are apipods' part."""
        if self.verb not in ("create", "patch"):
            return
        store = self.handler.api.store
        with store.changed:
            if self.verb == "create" and not self.sub:
                self._create_pod(self._body(raw))
            before = store.pods.get((self.key[2], self.key[3]))
            if before is None:
                self._refuse(404, "NotFound", f'pods "{self.key[3]}" not found')
            if self.sub == "eviction":
                self._evict(before, self._body(raw))
            after = canonical_pod(self._patched(before, raw))
            if (wrong := _wrong_change(before, after, self.sub)) is not None:
                self._refuse(422, "Invalid", f'Pod "{self.key[3]}" is invalid: {wrong}')
            self._admit(after, before)
            store.put(after)
            after = store.pods[self.key[2], self.key[3]]
        self._done(200, before, after)

    def _create_pod(self, body: Json) -> NoReturn:
        store, name = self.handler.api.store, body["metadata"]["name"]
        if (self.key[2], name) in store.pods:
            self._refuse(409, "AlreadyExists", f'pods "{name}" already exists')
        body = canonical_pod(body)
        self._admit(body, None)
        metadata = {
            **body["metadata"],
            "namespace": self.key[2],
            "uid": str(uuid.uuid4()),
            "creationTimestamp": self.handler.api.now(),
        }
        store.put({**body, "metadata": metadata, "status": {"phase": "Pending"}})
        self._done(201, None, store.pods[self.key[2], name])

    def _evict(self, pod: Json, body: Json) -> NoReturn:
        uid = ((body.get("deleteOptions") or {}).get("preconditions") or {}).get("uid")
        if uid is not None and uid != pod["metadata"]["uid"]:
            self._refuse(409, "Conflict", "the UID in the precondition does not match the UID in record")
        if self.key[3] in self.objects.budgets:
            why = "Cannot evict pod as it would violate the pod's disruption budget."
            self._refuse(429, "TooManyRequests", why)
        self._admit(body, None)
        self.handler.api.store.delete(self.key[2], self.key[3])
        self._done(201, pod, {**pod, "metadata": {**pod["metadata"], "deletionTimestamp": self.handler.api.now()}})

    # ------------------------------------------------------------------------------------------------------- collections

    def collection(self, query: dict[str, str]) -> NoReturn:
        """List, or watch by comparing what is there with what was."""
        if query.get("watch") not in ("true", "1"):
            with self.handler.api.store.changed:
                items, version = list(self._selected(query).values()), self.handler.api.store.version
            self.handler.send_json(200, {"kind": "List", "metadata": {"resourceVersion": str(version)}, "items": items})
        handler, since = self.handler, int(query.get("resourceVersion") or 0)
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        until = time.monotonic() + float(query.get("timeoutSeconds") or 1800)
        with handler.api.store.changed:
            known = {key: obj for key, obj in self._selected(query, since).items() if _version(obj) <= since}
        while True:  # once at least: what has changed since the list is sent however late it is
            began_s = time.monotonic()
            with handler.api.store.changed:
                now, version = self._selected(query), handler.api.store.version
            for key in known.keys() | now.keys():
                if known.get(key) is not now.get(key):
                    kind = "ADDED" if key not in known else "MODIFIED" if key in now else "DELETED"
                    line = json.dumps({"type": kind, "object": now.get(key, known.get(key))}).encode() + b"\n"
                    handler.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
            known = now
            if handler.api.closing or time.monotonic() >= until:
                break
            time.sleep(max(POLL_S, (time.monotonic() - began_s) / SHARE))  # many watches of much are no load
            with handler.api.store.changed:
                handler.api.store.changed.wait_for(self._news(version), until - time.monotonic())
        handler.end_stream()

    def _news(self, version: int) -> Callable[[], bool]:
        return lambda: self.handler.api.closing or self.handler.api.store.version != version

    def _selected(self, query: dict[str, str], at: int | None = None) -> dict[tuple[str, str], Json]:
        """By namespace and name, as they were at a version (Events: as they are)."""
        root, plural, namespace, _ = self.key
        if (root, plural) == EVENTS:
            asked = dict(one.split("=") for one in query.get("fieldSelector", "").split(",") if one)
            events = self.handler.api.store.events
            return {k: e for k, e in events.items() if all(e.get(field) == value for field, value in asked.items())}
        chosen = parse("", query.get("labelSelector", ""))
        mine = {
            (k[2], k[3]): obj
            for k, obj in self.objects.stored.at(at).items()
            if k[:2] == (root, plural) and namespace in ("", k[2])
        }
        return {k: obj for k, obj in mine.items() if chosen.matches(obj)}

    # ------------------------------------------------------------------------------------------------------------ parts

    def _body(self, raw: bytes) -> Json:
        body: Json = json.loads(raw)
        return body

    def _patched(self, before: Json, raw: bytes) -> Json:
        kind = self.handler.headers.get("Content-Type", "")
        try:
            patched: Json = apply(before, json.loads(raw)) if kind == JSON_PATCH else merge(before, json.loads(raw))
        except PatchError as error:
            self._refuse(422, "", str(error))
        return patched

    def _admit(self, after: Json, before: Json | None) -> None:
        path = self.path
        for one in self.objects.admission:
            if (why := one(self.verb, path, after, before)) is not None:
                code, reason = (422, "Invalid") if isinstance(why, Invalid) else (403, "Forbidden")
                name = self.key[3] or after["metadata"]["name"]
                self._refuse(code, reason, f'{self.key[1]} "{name}" is forbidden: {why}')

    def _conflict(self) -> NoReturn:
        why = f'Operation cannot be fulfilled on {self.key[1]} "{self.key[3]}": the object has been modified'
        self._refuse(409, "Conflict", why)

    def _refuse(self, code: int, reason: str, message: str) -> NoReturn:
        self.handler.refuse(code, reason, message)

    def _done(self, code: int, before: Json | None, after: Json) -> NoReturn:
        for react in self.objects.reactors:
            react(before, after)
        self.handler.done(code, after)


def _version(obj: Json) -> int:
    return int(obj["metadata"].get("resourceVersion") or 0)


def _wrong_change(before: Json, after: Json, sub: str) -> str | None:
    """What may not change on a live pod (pkg/apis/core/validation, ValidatePodUpdate and ValidatePodResize)."""
    old, new = (_without_changeable(pod["spec"], sub) for pod in (before, after))
    if old != new:
        return "spec: Forbidden: pod updates may not change fields other than image, activeDeadlineSeconds, tolerations"
    if before["metadata"]["uid"] != after["metadata"]["uid"] or before["status"] != after["status"]:
        return "metadata.uid: Invalid value: field is immutable"
    return _wrong_resize(before, after) if sub == "resize" else _wrong_deadline(before["spec"], after["spec"])


def _wrong_resize(before: Json, after: Json) -> str | None:
    if before["metadata"] != after["metadata"]:
        return "metadata: Forbidden: only resources may be resized"
    same = _qos(before) == _qos(after)
    return None if same else "spec: Invalid value: Pod QOS Class may not change as a result of resizing"


def _wrong_deadline(before: Json, after: Json) -> str | None:
    was, now = before.get("activeDeadlineSeconds"), after.get("activeDeadlineSeconds")
    if now is None or (now >= 1 and (was is None or now <= was)):
        return None
    return "spec.activeDeadlineSeconds: Invalid value: must be less than or equal to previous value"


def _without_changeable(spec: Json, sub: str) -> Json:
    fields = ("resources",) if sub == "resize" else ("image",)
    found = {k: v for k, v in spec.items() if sub == "resize" or k not in ("activeDeadlineSeconds", "tolerations")}
    for part in ("containers", "initContainers"):
        if part in found:
            found[part] = [{k: v for k, v in one.items() if k not in fields} for one in found[part]]
    return found


def _qos(pod: Json) -> str:
    """Of memory, which is all that is resized here."""
    parts = [one.get("resources") or {} for one in pod["spec"]["containers"]]
    pairs: list[tuple[Any, Any]] = [
        ((p.get("requests") or {}).get("memory"), (p.get("limits") or {}).get("memory")) for p in parts
    ]
    same = (limit is not None and parse_quantity(request or limit) == parse_quantity(limit) for request, limit in pairs)
    if all(same):
        return "Guaranteed"
    return "Burstable" if any(request or limit for request, limit in pairs) else "BestEffort"
