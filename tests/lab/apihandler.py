"""One request to the API's stand-in: its log, its fault, its token, its answer.

Takes HTTP from a client, gives what the store holds or the API's Status of a refusal. A fault that the test switched on
comes first, as a proxy's would. Pods are apipods' part.
"""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import parse_qs, unquote, urlsplit

from tests.lab import apievents, apiexec, apiobjects, apipods
from tests.lab.apifaults import Fault, How
from tests.lab.apistore import Json

if TYPE_CHECKING:
    from tests.lab.apiserver import ApiServer

EVENTS = "/apis/events.k8s.io/v1/namespaces/"
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
PATCHES = ("application/merge-patch+json", "application/strategic-merge-patch+json")


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came in. ``client_port`` names the connection; ``verb`` is RBAC's (list, watch, create …)."""

    verb: str
    path: str
    query: dict[str, str]
    user_agent: str
    client_port: int
    content_type: str


class AnsweredError(Exception):
    """The request has had its answer."""


class Handler(BaseHTTPRequestHandler):
    """Made for each connection; ``api`` is set by the server."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    api: ApiServer
    fault: Fault | None

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string(self.api.clock() if timestamp is None else timestamp)

    def do_GET(self) -> None:
        self._serve("get")

    def do_POST(self) -> None:
        self._serve("create")

    def do_PATCH(self) -> None:
        self._serve("patch")

    def do_PUT(self) -> None:
        self._serve("update")

    def do_DELETE(self) -> None:
        self._serve("delete")

    def _serve(self, verb: str) -> None:
        url = urlsplit(self.path)
        path = unquote(url.path)
        query = {key: values[0] for key, values in parse_qs(url.query, keep_blank_values=True).items()}
        if verb == "get" and path.endswith("/pods"):
            verb = "watch" if query.get("watch") in ("true", "1") else "list"
        agent, kind = self.headers.get("User-Agent", ""), self.headers.get("Content-Type", "")
        self.api.requests.append(Request(verb, path, query, agent, self.client_address[1], kind))
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.fault = self.api.faults.take(verb, path)
        try:
            self._meet(self.fault)
            self._authenticate()
            self._authorize(verb, path)
            self._route(verb, path, query, raw)
        except AnsweredError:
            return

    def _route(self, verb: str, path: str, query: dict[str, str], raw: bytes) -> None:
        if verb in ("list", "watch"):
            apipods.serve(self, verb, path, query)
        elif path.startswith(EVENTS):
            self._events(verb, path.removeprefix(EVENTS), query, raw)
        elif path == REVIEWS and verb == "create":
            self._review(self._json(raw))
        elif path == "/version":
            self.send_json(200, {"major": "1", "minor": "36", "gitVersion": "v1.36.0-lab"})
        elif verb == "get":
            apiexec.serve(self, path)
            self._nodes(path)
            self._one(path)
        apiobjects.serve(self, verb, path, query, raw)
        self.refuse(404, "NotFound", "the server could not find the requested resource")

    # ------------------------------------------------------------------------------------------------------- faults

    def _meet(self, fault: Fault | None) -> None:
        """Faults that need no knowledge of the request."""
        if fault is None:
            return
        released = self.api.faults.released
        if fault.delay_s:
            released.wait(fault.delay_s)
        if fault.how is How.STATUS:
            headers = {} if fault.retry_after_s is None else {"Retry-After": str(fault.retry_after_s)}
            self.refuse(fault.status, fault.reason, fault.message, headers)
        if fault.how is How.BODY:
            self.send_body(fault.code, fault.body)
        if fault.how is How.CLOSE:
            self.hang_up()
        if fault.how is How.SILENT:
            released.wait()
            self.hang_up()

    def hang_up(self) -> NoReturn:
        """Close the connection as it is."""
        self.close_connection = True
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError as error:
            raise AnsweredError from error
        raise AnsweredError

    def _authenticate(self) -> None:
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        if self.api.token is not None and (scheme.lower() != "bearer" or token != self.api.token):
            self.refuse(401, "Unauthorized", "Unauthorized")

    def _authorize(self, verb: str, path: str) -> None:
        """Lists that the test has forbidden, of all namespaces or (``list pods in shop``) of one."""
        resource = path.rpartition("/")[2]
        where = path.split("/")[4] if path.count("/") == 5 else ""
        asked = [("list", resource)] if not where else [("list", f"{resource} in {where}")]
        if verb in ("get", "list") and any(one in self.api.forbidden for one in asked):
            scope = f'in the namespace "{where}"' if where else "at the cluster scope"
            self.refuse(
                403, "Forbidden", f'{resource} is forbidden: User "lab" cannot list resource "{resource}" {scope}'
            )

    # ------------------------------------------------------------------------------------------------ single objects

    def _one(self, path: str) -> None:
        match path.removeprefix("/api/v1/").split("/"):
            case ["namespaces", namespace, "pods", name]:
                kind, found = "pods", self.api.store.pods.get((namespace, name))
            case ["nodes", name]:
                kind, found = "nodes", self.api.store.nodes.get(name)
            case _:
                return
        if found is not None:
            self.send_json(200, found)
        self.refuse(404, "NotFound", f'{kind} "{name}" not found')

    def _nodes(self, path: str) -> None:
        """The whole list, as metadata only where that is asked for."""
        if path != "/api/v1/nodes":
            return
        with self.api.store.changed:
            found = [node for _, node in sorted(self.api.store.nodes.items())]
        if "as=PartialObjectMetadataList" in self.headers.get("Accept", ""):
            found = [{"metadata": node["metadata"]} for node in found]
        self.send_json(200, {"kind": "NodeList", "metadata": {}, "items": found})

    def _review(self, review: Json) -> None:
        asked = (review.get("spec") or {}).get("resourceAttributes") or {}
        allowed = (asked.get("verb"), asked.get("resource")) not in self.api.denied
        status = {"allowed": allowed} | ({} if allowed else {"reason": "no RBAC policy matched"})
        self.send_json(201, {**review, "status": status})

    # ------------------------------------------------------------------------------------------------------- events

    def _events(self, verb: str, rest: str, query: dict[str, str], raw: bytes) -> None:
        namespace, _, tail = rest.partition("/")
        name = tail.removeprefix("events").removeprefix("/")
        if verb == "create" and tail == "events":
            self._create_event(namespace, self._json(raw))
        elif verb == "patch" and name:
            self._patch_event(namespace, name, self._json(raw))
        elif verb == "get" and name:
            self.send_json(200, self._event(namespace, name))
        elif verb == "get" and tail == "events":
            items = [event for (where, _), event in sorted(self.api.store.events.items()) if where == namespace]
            field, _, wanted = query.get("fieldSelector", "").partition("=")
            items = [event for event in items if not field or event.get(field) == wanted]
            metadata = {"resourceVersion": str(self.api.store.version)}
            kind = {"kind": "EventList", "apiVersion": "events.k8s.io/v1", "metadata": metadata}
            self.send_json(200, {**kind, "items": items})

    def _event(self, namespace: str, name: str) -> Json:
        with self.api.store.changed:
            found = self.api.store.events.get((namespace, name))
        if found is None:
            self.refuse(404, "NotFound", f'events.events.k8s.io "{name}" not found')
        return found

    def _create_event(self, namespace: str, body: Json) -> None:
        store = self.api.store
        try:
            wrong = apievents.problems(body, namespace)
        except apievents.BadEventError as error:
            self.refuse(400, "BadRequest", str(error))
        if namespace in store.missing:  # admission's NamespaceLifecycle looks before validation does
            self.refuse(404, "NotFound", f'namespaces "{namespace}" not found')
        if namespace in store.terminating:
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            name = body["metadata"].get("name")
            self.refuse(403, "Forbidden", f'events.events.k8s.io "{name}" is forbidden: {why}')
        if wrong:
            self.refuse(422, "Invalid", f'Event "{body["metadata"].get("name")}" is invalid: {"; ".join(wrong)}')
        key = (namespace, body["metadata"]["name"])
        with store.changed:
            if key in store.events:
                self.refuse(409, "AlreadyExists", f'events.events.k8s.io "{key[1]}" already exists')
            stored = store.put_event(body)
        self.done(201, stored)

    def _patch_event(self, namespace: str, name: str, patch: Json) -> None:
        if self.headers.get("Content-Type", "") not in PATCHES:
            self.refuse(
                415, "UnsupportedMediaType", f"the body of the request was in an unknown format - want {PATCHES}"
            )
        with self.api.store.changed:
            before = self._event(namespace, name)
            after = apievents.merge(before, patch)
            if after["metadata"].get("resourceVersion") != before["metadata"].get("resourceVersion"):
                self.refuse(
                    409, "Conflict", f'Operation cannot be fulfilled on events "{name}": the object has been modified'
                )
            if after == before:
                self.done(200, before)
            try:
                wrong = apievents.patch_problems(before, after)
            except apievents.BadEventError as error:
                self.refuse(400, "BadRequest", str(error))
            if wrong:
                self.refuse(422, "Invalid", f'Event "{name}" is invalid: {"; ".join(wrong)}')
            stored = self.api.store.put_event(after)
        self.done(200, stored)

    def done(self, code: int, stored: Json) -> NoReturn:
        """Answer for something that is done, unless that answer is to be lost."""
        if self.fault is not None and self.fault.how is How.LOST_ANSWER:
            self.hang_up()
        if self.fault is not None and self.fault.how is How.LATE_STATUS:
            self.refuse(self.fault.status, self.fault.reason, self.fault.message)
        self.send_json(code, stored)

    # ------------------------------------------------------------------------------------------------------ answers

    def _json(self, raw: bytes) -> Json:
        try:
            found = json.loads(raw)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            self.refuse(400, "BadRequest", "the object provided is unrecognized")
        return found

    def refuse(self, code: int, reason: str, message: str, headers: dict[str, str] | None = None) -> NoReturn:
        """The API's Status of a failure."""
        failure = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        body = {**failure, "reason": reason, "code": code, "message": message}
        self.send_body(code, json.dumps(body).encode(), headers)

    def end_stream(self) -> NoReturn:
        """The end of an answer in chunks."""
        self.wfile.write(b"0\r\n\r\n")
        raise AnsweredError

    def send_json(self, code: int, obj: Json) -> NoReturn:
        """An object as the whole answer."""
        self.send_body(code, json.dumps(obj).encode())

    def send_body(self, code: int, body: bytes, headers: dict[str, str] | None = None) -> NoReturn:
        """Bytes as the whole answer."""
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        raise AnsweredError

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Requests are in ``requests``."""
