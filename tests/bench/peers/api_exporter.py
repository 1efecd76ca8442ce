"""An API-only OOM reporter: containers with lastState OOMKilled, once per restart.

Stands for github.com/xing/kubernetes-oom-event-generator (its README: at each change of a pod, containers that say they
were OOMKilled before, when the restart count is higher than the one known) and for alerts on kube-state-metrics'
kube_pod_container_status_last_terminated_reason. Watches, so it misses no change in the API. Writes its counts, by id
of the container that died, to a file when it ends.
"""

from __future__ import annotations

import argparse
import json
import signal
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

from tests.bench.peers.client import Client

Known = dict[tuple[str, str], int]


class EndedError(Exception):
    """SIGTERM."""


def died(pod: Any, known: Known) -> list[str]:
    """Ids of containers that are newly OOMKilled in the pod's status; ``known``: the restart counts already seen."""
    found = []
    for status in pod.get("status", {}).get("containerStatuses", ()):
        key = pod["metadata"]["uid"], status["name"]
        last = status.get("lastState", {}).get("terminated") or {}
        if last.get("reason") == "OOMKilled" and status["restartCount"] > known.get(key, 0):
            found.append(last["containerID"].partition("://")[2])
        known[key] = status["restartCount"]
    return found


def follow(client: Client, node: str, known: Known, counts: Counter[str], ready: Path) -> None:
    """List and watch, over and over, until EndedError."""
    while True:
        listed = client.get("/api/v1/pods", fieldSelector=f"spec.nodeName={node}")
        for pod in listed["items"]:
            counts.update(died(pod, known))
        ready.touch()
        version = listed["metadata"]["resourceVersion"]
        query = {"fieldSelector": f"spec.nodeName={node}", "resourceVersion": version, "timeoutSeconds": "3600"}
        for event in client.watch("/api/v1/pods", **query):
            if event["type"] in ("ADDED", "MODIFIED"):
                counts.update(died(event["object"], known))


def end(_signum: int, _frame: FrameType | None) -> None:
    raise EndedError


def main() -> None:
    """Until SIGTERM."""
    top = argparse.ArgumentParser(description=__doc__)
    for name in ("--api", "--token", "--node"):
        top.add_argument(name, required=True)
    top.add_argument("--out", type=Path, required=True)
    asked = top.parse_args()
    counts: Counter[str] = Counter()
    signal.signal(signal.SIGTERM, end)
    try:
        follow(Client(asked.api, asked.token), asked.node, {}, counts, asked.out.with_suffix(".ready"))
    except EndedError:
        asked.out.write_text(json.dumps(counts))


if __name__ == "__main__":
    main()
