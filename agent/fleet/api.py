"""Objects of the API, over the proxy's socket: plain HTTP, a connection per request."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

from agent.fleet import FleetError
from agent.fleet.stream import refusal
from agent.wording.text import safe

PAGE = 500  # as kubectl has it
MOST_BYTES = 512 << 20
LONGEST_PATH = 400  # characters in a message
METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
EXPIRED, FORBIDDEN, NOT_FOUND, UNAUTHORIZED = 410, 403, 404, 401

Json = dict[str, Any]


class ApiError(FleetError):
    """``code``: of HTTP."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


class Api:
    """``timeout_s``: how long the server may be silent."""

    def __init__(self, socket_path: str, timeout_s: float) -> None:
        self.socket_path = socket_path
        self.timeout_s = timeout_s

    def get(self, path: str, query: Mapping[str, str] | None = None, accept: str = "application/json") -> Json:
        """One object. Raises ApiError for the server's own no, FleetError if it can't be reached."""
        connection = _Connection(self.socket_path, self.timeout_s)
        try:
            connection.request("GET", f"{path}?{urlencode(query)}" if query else path, headers={"Accept": accept})
            response = connection.getresponse()
            body = response.read(MOST_BYTES)
        except UnicodeError:
            raise FleetError(
                f"the API server can't be asked for {safe(path, LONGEST_PATH)}: a part of that is not UTF-8"
            ) from None
        except TimeoutError:
            raise FleetError(f"the API server did not answer within {self.timeout_s:g} s") from None
        except (OSError, http.client.HTTPException) as error:
            raise FleetError(f"the API server can't be reached: {str(error) or type(error).__name__}") from None
        finally:
            connection.close()
        if response.status != 200:
            raise ApiError(response.status, _why(response.status, body))
        return _object(body)

    def list(
        self, path: str, query: Mapping[str, str] | None = None, accept: str = "application/json"
    ) -> Iterator[Json]:
        """Page by page; from the start again, once, if the list becomes too old between two pages. Raises as ``get``."""
        try:
            yield from list(self._pages(path, query or {}, accept))
        except ApiError as error:
            if error.code != EXPIRED:
                raise
            yield from self._pages(path, query or {}, accept)

    def _pages(self, path: str, query: Mapping[str, str], accept: str) -> Iterator[Json]:
        more: dict[str, str] = {}
        while True:
            page = self.get(path, {"limit": str(PAGE), **query, **more}, accept)
            items = page.get("items")
            yield from (item for item in (items if isinstance(items, list) else []) if isinstance(item, dict))
            after = text(page, "metadata", "continue")
            if not after:
                return
            more = {"continue": after}


def _why(code: int, body: bytes) -> str:
    why = refusal(code, body)
    if code != UNAUTHORIZED:
        return why
    return f"the API server does not accept your credentials ({why}): log in again, until `kubectl get pods` works"


class _Connection(http.client.HTTPConnection):
    def __init__(self, socket_path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._socket_path = socket_path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._socket_path)


def _object(body: bytes) -> Json:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise FleetError("the API server's answer is not a JSON object")
    return found


def text(obj: object, *path: str) -> str:
    """The text at this place of an object; "" if there is none."""
    for name in path:
        obj = obj.get(name) if isinstance(obj, dict) else None
    return obj if isinstance(obj, str) else ""
