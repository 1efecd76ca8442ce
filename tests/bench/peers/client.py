"""The part of the Kubernetes API that the rebuilt tools need: JSON by GET, and a watch's lines."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

ANSWER_S = 30.0


@dataclass(frozen=True, slots=True)
class Client:
    """``url`` of the API server and the bearer token."""

    url: str
    token: str

    def get(self, path: str, **query: str) -> Any:
        """One object or list. Raises OSError."""
        with self._open(path, query, ANSWER_S) as answer:
            return json.loads(answer.read())

    def watch(self, path: str, **query: str) -> Iterator[Any]:
        """Events until the server ends the watch. Raises OSError."""
        with self._open(path, query | {"watch": "true"}, None) as answer:
            for line in answer:
                yield json.loads(line)

    def _open(self, path: str, query: dict[str, str], timeout_s: float | None) -> Any:
        url = f"{self.url}{path}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {self.token}"})
        return urllib.request.urlopen(request, timeout=timeout_s)
