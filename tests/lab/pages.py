"""Pages of the agent and of workloads, as a probe, Prometheus or a user asks for them."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request


def page(port: int | str, path: str, *, method: str = "GET", timeout_s: float = 20.0) -> tuple[int, str]:
    """Status and body of a page at this port of the machine; 0 and nothing when nobody answers, or not in time."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except (OSError, http.client.IncompleteRead):  # the latter: whoever answered died while it did
        return 0, ""
