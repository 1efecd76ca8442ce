"""What kubectl's JSON and the metrics page say, as answers to the end-to-end run's questions. Pure: no kubectl, no time."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from tests.lab.agent_process import LABEL, SAMPLE, Series

Json = dict[str, Any]
GROUP_SINCE = (1, 28)  # the kubelet writes memory.oom.group 1 from here on


def server_version(version: Json) -> tuple[int, int]:
    """Of ``kubectl version --output json``; vendors put a + behind the minor. Raises ValueError when no server answered."""
    server = version.get("serverVersion")
    if not isinstance(server, dict):
        raise ValueError("no API server answered: does KUBECONFIG lead to a cluster?")
    return int(server["major"]), int(re.sub(r"\D.*", "", server["minor"]))


def plain_containers_die(version: tuple[int, int]) -> bool:
    """Whether an OOM kill takes the whole of a container that asks for nothing."""
    return version >= GROUP_SINCE


def pod_of(pods: Json, app: str) -> Json | None:
    """The newest pod of that app that is not being deleted."""
    found = [
        pod
        for pod in pods["items"]
        if pod["metadata"].get("labels", {}).get("app") == app and "deletionTimestamp" not in pod["metadata"]
    ]
    return max(found, key=lambda pod: str(pod["metadata"]["creationTimestamp"]), default=None)


def restarts(pod: Json) -> int:
    """Of all its containers."""
    return sum(int(status["restartCount"]) for status in pod.get("status", {}).get("containerStatuses", []))


def is_running(pod: Json) -> bool:
    """Whether every container runs now."""
    statuses = pod.get("status", {}).get("containerStatuses", [])
    return bool(statuses) and all("running" in status.get("state", {}) for status in statuses)


def reasons(events: Json, pod: Json) -> list[str]:
    """Reasons of oomward's Events on this very pod (events.k8s.io/v1: ``regarding``)."""
    uid = pod["metadata"]["uid"]
    return [
        str(event["reason"])
        for event in events["items"]
        if event.get("regarding", {}).get("uid") == uid and event.get("reportingController") == "oomward.dev/agent"
    ]


def metrics(pages: Iterable[str]) -> Series:
    """All samples of several agents' pages, added up."""
    total: Series = {}
    for line in (line for page in pages for line in page.splitlines()):
        if not line.startswith("#") and (match := SAMPLE.match(line)) is not None:
            key = (match[1], frozenset(LABEL.findall(match[2] or "")))
            total[key] = total.get(key, 0.0) + float(match[3])
    return total


def value(series: Series, name: str, **labels: str) -> float:
    """The sum of a metric's series that carry these labels."""
    wanted = set(labels.items())
    return sum(number for (found, carried), number in series.items() if found == name and wanted <= carried)


def complaints(series: Series) -> list[str]:
    """Metrics that have to be 0 after a run in which nothing went wrong."""
    bad = {
        "kills that nobody could be named for": value(series, "oomward_unattributed_oom_kills_total"),
        "writes that were refused": value(series, "oomward_oom_group_writes_total", outcome="denied"),
        "repairs by the slow full look": value(series, "oomward_resync_corrections_total"),
        "cgroup files that could not be read": value(series, "oomward_cgroup_errors_total"),
    }
    return [f"{what}: {number:g}" for what, number in bad.items() if number]


def rolled_out(daemonset: Json) -> bool:
    """Whether each node that should have the agent has the newest one, ready."""
    status, generation = daemonset.get("status", {}), daemonset["metadata"]["generation"]
    desired = int(status.get("desiredNumberScheduled", 0))
    current = desired > 0 and status.get("observedGeneration") == generation
    return current and all(status.get(key) == desired for key in ("updatedNumberScheduled", "numberReady"))
