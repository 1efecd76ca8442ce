"""The API's stand-in: what the agent uses of kube-apiserver, on http.server, as the real one behaves, faults included."""

from __future__ import annotations

import json
import socket
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.lab import apievents
from tests.lab.apifaults import Fault, Faults, How
from tests.lab.apiselect import BadSelectorError, matches
from tests.lab.apistore import ExpiredError, Store

Json = dict[str, Any]
EVENTS = "/apis/events.k8s.io/v1/namespaces/"


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came in."""

    verb: str
    path: str
    query: dict[str, str]
    user_agent: str


class ApiServer:
    """``token`` is what is accepted (None: any); tests may change it while it runs. ``history``: see Store."""

    def __init__(self, *, bookmark_s: float = 1.0, history: int = 1000, token: str | None = "lab-token") -> None:
        self.store = Store(history)
        self.faults = Faults()
        self.requests: list[Request] = []
        self.token = token
        self.bookmark_s = bookmark_s
        self.closing = False
        self._http = _Http(("127.0.0.1", 0), type("Handler", (_Handler,), {"api": self}))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    @property
    def events(self) -> list[Json]:
        """Events that were accepted."""
        with self.store.changed:
            return list(self.store.events.values())

    def start(self) -> None:
        threading.Thread(target=self._http.serve_forever, args=(0.02,), name="api", daemon=True).start()

    def close(self) -> None:
        self.closing = True
        self.faults.clear()
        with self.store.changed:
            self.store.changed.notify_all()
        self._http.shutdown()
        self._http.server_close()

    def put_pod(self, pod: Json) -> None:
        self.store.put(pod)

    def delete_pod(self, namespace: str, name: str) -> None:
        self.store.delete(namespace, name)

    def write_kubeconfig(self, path: Path, token_file: Path | None = None) -> None:
        """A kubeconfig that leads here; ``token_file``: the token is read from there, as often as the client does."""
        user: Json = {"token": self.token or "any"}
        if token_file is not None:
            token_file.write_text(self.token or "any")
            user = {"tokenFile": str(token_file)}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "lab",
            "clusters": [{"name": "lab", "cluster": {"server": self.url}}],
            "users": [{"name": "lab", "user": user}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
        }
        path.write_text(json.dumps(config))


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients go away; that is theirs."""


class _AnsweredError(Exception):
    """The request has had its answer."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    api: ApiServer

    def do_GET(self) -> None:
        self._serve("get")

    def do_POST(self) -> None:
        self._serve("create")

    def do_PATCH(self) -> None:
        self._serve("patch")

    def _serve(self, verb: str) -> None:
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        if verb == "get" and url.path.endswith("/pods"):
            verb = "watch" if query.get("watch") in ("true", "1") else "list"
        self.api.requests.append(Request(verb, url.path, query, self.headers.get("User-Agent", "")))
        body = self._body()
        try:
            fault = self.api.faults.take(verb, url.path)
            self._meet(fault)
            self._authenticate()
            if verb in ("list", "watch"):
                self._pods(verb, url.path, query, fault)
            elif url.path.startswith(EVENTS):
                self._events(verb, url.path.removeprefix(EVENTS), body)
            else:
                self._other(verb, url.path, body)
        except _AnsweredError:
            return

    def _body(self) -> Json:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            found = json.loads(raw) if raw else {}
        except ValueError:
            found = {}
        return found if isinstance(found, dict) else {}

    # ------------------------------------------------------------------------------------------------------- faults

    def _meet(self, fault: Fault | None) -> None:
        """Faults that need no knowledge of the request."""
        if fault is None:
            return
        if fault.delay_s:
            time.sleep(fault.delay_s)
        if fault.how is How.STATUS:
            headers = {} if fault.retry_after_s is None else {"Retry-After": str(fault.retry_after_s)}
            self._status(fault.status, fault.reason, fault.message, headers)
        if fault.how is How.CLOSE:
            self._hang_up()
        if fault.how is How.SILENT:
            self.api.faults.released.wait(600)
            self._hang_up()

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)
        raise _AnsweredError

    def _authenticate(self) -> None:
        given = self.headers.get("Authorization", "")
        if self.api.token is not None and given != f"Bearer {self.api.token}":
            self._status(401, "Unauthorized", "Unauthorized")

    # --------------------------------------------------------------------------------------------------------- pods

    def _pods(self, verb: str, path: str, query: dict[str, str], fault: Fault | None) -> None:
        fields, labels = query.get("fieldSelector", ""), query.get("labelSelector", "")
        if path != "/api/v1/pods":
            namespace = path.removeprefix("/api/v1/namespaces/").partition("/")[0]
            fields = f"{fields},metadata.namespace={namespace}".strip(",")
        try:
            matches({"metadata": {}}, fields, labels)
        except BadSelectorError as error:
            self._status(400, "BadRequest", str(error))
        version = query.get("resourceVersion", "")
        if version and not version.isdigit():
            self._status(400, "BadRequest", f"invalid resource version {version!r}")
        if verb == "watch":
            self._watch(int(version or 0), fields, labels, query, fault)
        else:
            self._list(fields, labels, query, fault)

    def _list(self, fields: str, labels: str, query: dict[str, str], fault: Fault | None) -> None:
        store = self.api.store
        with store.changed:
            if int(query.get("resourceVersion") or 0) > store.version + 1000:
                self._status(504, "Timeout", "Too large resource version")
            items: list[Any] = [p for _, p in sorted(store.pods.items()) if matches(p, fields, labels)]
            version = str(store.version)
        limit, skip = int(query.get("limit") or 0), int(query.get("continue") or 0)
        metadata: Json = {"resourceVersion": version}
        if limit and len(items) > skip + limit:
            metadata |= {"continue": str(skip + limit), "remainingItemCount": len(items) - skip - limit}
        items = items[skip : skip + limit] if limit else items[skip:]
        if fault is not None and fault.how is How.POISON:
            items.insert(0, {"metadata": {"name": 7, "namespace": [], "uid": "poison"}, "spec": "none"})
        body = json.dumps({"kind": "PodList", "apiVersion": "v1", "metadata": metadata, "items": items}).encode()
        if fault is not None and fault.how is How.TRUNCATE:
            self._send(200, body[: len(body) // 2])
        self._send(200, body)

    def _watch(self, version: int, fields: str, labels: str, query: dict[str, str], fault: Fault | None) -> None:
        store = self.api.store
        with store.changed:
            version = version or store.version
        until = time.monotonic() + float(query.get("timeoutSeconds") or 1800)
        bookmarks = query.get("allowWatchBookmarks") in ("true", "1")
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self._misbehave(fault)
        while not self.api.closing and (left := until - time.monotonic()) > 0:
            try:
                with store.changed:
                    news = store.since(version, fields, labels)
                    if not news:
                        store.changed.wait(min(left, self.api.bookmark_s))
                        news = store.since(version, fields, labels)
                    now = store.version
            except ExpiredError:
                self._gone("too old resource version")
                break
            for _, kind, pod in news:
                self._event(kind, pod)
            version = now
            if not news and bookmarks:
                self._event("BOOKMARK", {"kind": "Pod", "apiVersion": "v1", "metadata": {"resourceVersion": str(now)}})
        self.wfile.write(b"0\r\n\r\n")

    def _gone(self, message: str) -> None:
        self._event("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": message})

    def _misbehave(self, fault: Fault | None) -> None:
        """Faults of a watch that has begun."""
        match fault.how if fault is not None else None:
            case How.SILENT_MIDWAY:
                self.api.faults.released.wait(600)
                self._hang_up()
            case How.CUT_MIDWAY:
                self.wfile.write(b'100\r\n{"type":"ADDED","obj')
                self.wfile.flush()
                self._hang_up()
            case How.GARBAGE:
                self._chunk(b"<html>502 Bad Gateway</html>\n")
            case How.GONE_EVENT:
                self._gone("the lab says so")
                self.wfile.write(b"0\r\n\r\n")
                raise _AnsweredError
            case How.ERROR_EVENT:
                self._event(
                    "ERROR",
                    {"kind": "Status", "code": 500, "reason": "InternalError", "message": "etcd leader changed"},
                )
            case How.POISON:
                self._event("ADDED", {"metadata": {"name": 7, "namespace": [], "uid": "poison"}, "spec": "none"})
            case How.HUGE:
                for _ in range(9):
                    self._chunk(b"x" * (1 << 20))
            case _:
                return

    # ------------------------------------------------------------------------------------------------------- events

    def _events(self, verb: str, rest: str, body: Json) -> None:
        namespace, _, tail = rest.partition("/")
        store = self.api.store
        if namespace in store.missing:
            self._status(404, "NotFound", f'namespaces "{namespace}" not found')
        if verb == "patch":
            self._patch_event(namespace, tail.removeprefix("events/"), body)
        if verb != "create" or tail != "events":
            self._status(405, "MethodNotAllowed", f"{verb} {tail}")
        if namespace in store.terminating:
            message = f"unable to create new content in namespace {namespace} because it is being terminated"
            self._status(403, "Forbidden", message)
        wrong = apievents.problems(body, namespace)
        if wrong:
            self._status(422, "Invalid", f"Event is invalid: {'; '.join(wrong)}")
        key = (namespace, body["metadata"]["name"])
        with store.changed:
            if key in store.events:
                self._status(409, "AlreadyExists", f'events.events.k8s.io "{key[1]}" already exists')
            store.version += 1
            stored = {**body, "metadata": {**body["metadata"], "resourceVersion": str(store.version)}}
            store.events[key] = stored
        self._send(201, json.dumps(stored).encode())

    def _patch_event(self, namespace: str, name: str, patch: Json) -> None:
        store = self.api.store
        with store.changed:
            before = store.events.get((namespace, name))
            if before is None:
                self._status(404, "NotFound", f'events.events.k8s.io "{name}" not found')
            assert before is not None
            wrong = apievents.patch_problems(before, patch)
            if wrong:
                self._status(422, "Invalid", f"Event is invalid: {'; '.join(wrong)}")
            store.version += 1
            after = {
                **before,
                "series": patch.get("series"),
                "metadata": {**before["metadata"], "resourceVersion": str(store.version)},
            }
            store.events[namespace, name] = after
        self._send(200, json.dumps(after).encode())

    def _other(self, verb: str, path: str, body: Json) -> None:
        if path == "/version":
            self._send(200, b'{"major": "1", "minor": "36", "gitVersion": "v1.36.0-lab"}')
        if path == "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews" and verb == "create":
            self._send(201, json.dumps({**body, "status": {"allowed": True}}).encode())
        parts = path.removeprefix("/api/v1/namespaces/").split("/")
        with self.api.store.changed:
            pod = self.api.store.pods.get((parts[0], parts[-1]))
        if pod is not None and verb == "get":
            self._send(200, json.dumps(pod).encode())
        self._status(404, "NotFound", f"the server could not find the requested resource {path}")

    # ------------------------------------------------------------------------------------------------------ answers

    def _event(self, kind: str, obj: Json) -> None:
        self._chunk(json.dumps({"type": kind, "object": obj}).encode() + b"\n")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def _status(self, code: int, reason: str, message: str, headers: dict[str, str] | None = None) -> None:
        body = {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "reason": reason,
            "code": code,
            "message": message,
        }
        self._send(code, json.dumps(body).encode(), headers)

    def _send(self, code: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        raise _AnsweredError

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Requests are in ``requests``."""
