"""The API's stand-in: what the agent uses of kube-apiserver, on http.server, as the real one behaves. Faults: apifaults.py."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

Json = dict[str, Any]


class ApiServer:
    def __init__(self, *, bookmark_s: float = 1.0) -> None:
        self._lock = threading.Condition()
        self._version = 1000
        self._pods: dict[tuple[str, str], Json] = {}
        self._history: list[tuple[int, str, Json]] = []
        self._events: dict[tuple[str, str], Json] = {}
        self.bookmark_s = bookmark_s
        self.closing = False
        handler = type("Handler", (_Handler,), {"api": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def events(self) -> list[Json]:
        with self._lock:
            return list(self._events.values())

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.closing = True
        with self._lock:
            self._lock.notify_all()
        self._server.shutdown()
        self._server.server_close()

    def write_kubeconfig(self, path: Path) -> None:
        path.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "lab",
                    "clusters": [{"name": "lab", "cluster": {"server": self.url}}],
                    "users": [{"name": "lab", "user": {"token": "lab-token"}}],
                    "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
                }
            )
        )

    def put_pod(self, pod: Json) -> None:
        key = (pod["metadata"]["namespace"], pod["metadata"]["name"])
        with self._lock:
            self._version += 1
            stored = {**pod, "metadata": {**pod["metadata"], "resourceVersion": str(self._version)}}
            kind = "MODIFIED" if key in self._pods else "ADDED"
            self._pods[key] = stored
            self._history.append((self._version, kind, stored))
            self._lock.notify_all()

    def delete_pod(self, namespace: str, name: str) -> None:
        with self._lock:
            pod = self._pods.pop((namespace, name), None)
            if pod is None:
                return
            self._version += 1
            pod = {**pod, "metadata": {**pod["metadata"], "resourceVersion": str(self._version)}}
            self._history.append((self._version, "DELETED", pod))
            self._lock.notify_all()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    api: ApiServer

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {k: v[0] for k, v in parse_qs(url.query).items()}
        if url.path != "/api/v1/pods":
            return self._json(404, {"kind": "Status", "reason": "NotFound", "code": 404, "message": url.path})
        node = query.get("fieldSelector", "").partition("spec.nodeName=")[2]
        if query.get("watch") == "true":
            return self._watch(node, int(query["resourceVersion"]), float(query.get("timeoutSeconds", 300)))
        with self.api._lock:
            items = [p for p in self.api._pods.values() if p["spec"].get("nodeName") == node]
            version = str(self.api._version)
        self._json(
            200, {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": version}, "items": items}
        )

    def _watch(self, node: str, version: int, seconds: float) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self.api.closing:
            with self.api._lock:
                news = [e for e in self.api._history if e[0] > version]
                if not news:
                    self.api._lock.wait(self.api.bookmark_s)
                    news = [e for e in self.api._history if e[0] > version]
            for version, kind, pod in news:
                if pod["spec"].get("nodeName") == node:
                    self._chunk({"type": kind, "object": pod})
            if not news:
                self._chunk(
                    {"type": "BOOKMARK", "object": {"kind": "Pod", "metadata": {"resourceVersion": str(version)}}}
                )
        self.wfile.write(b"0\r\n\r\n")

    def _chunk(self, event: Json) -> None:
        data = json.dumps(event).encode() + b"\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        key = (body["metadata"]["namespace"], body["metadata"]["name"])
        with self.api._lock:
            if key in self.api._events:
                return self._json(409, {"kind": "Status", "reason": "AlreadyExists", "code": 409, "message": "exists"})
            self.api._events[key] = body
        self._json(201, body)

    def _json(self, code: int, body: Json) -> None:
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass
