"""The agent's pages, as a probe or Prometheus asks for them."""

from __future__ import annotations

import urllib.error
import urllib.request

SLOWEST_S = 20.0


def page(port: int, path: str) -> tuple[int, str]:
    """Status and body of a page of the agent at this port; 0 and nothing when nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=SLOWEST_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""
