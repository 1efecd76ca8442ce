"""What manifests/components/defaults does to new pods and Jobs, in Python, and what a Job then does.

The conditions are CEL's in those files; a change there belongs here too. The Job's part is pkg/controller/job's: failed pods count
where the restart policy is Never, and restarts of containers in pods that run or wait (pastBackoffLimitOnFailure) where it is OnFailure.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
MODE, NOTEBOOKS = "defaults.oomward.dev/mode", "defaults.oomward.dev/restart-notebooks"
ASKS = "oomward.dev/restart-on-failure"
NEVER_ONLY = ("podFailurePolicy", "backoffLimitPerIndex")  # the API server takes these with restartPolicy Never only


def created_pod(pod: Json, namespace_labels: Json) -> Json:
    """A new pod as the policies leave it."""
    pod = copy.deepcopy(pod)
    labels = pod["metadata"].setdefault("labels", {})
    if MODE in namespace_labels:
        labels.setdefault("oomward.dev/mode", namespace_labels[MODE])
    notebook = namespace_labels.get(NOTEBOOKS) == "true" and labels.get("component") == "singleuser-server"
    if notebook and pod["spec"].get("restartPolicy", "Always") == "Never":
        pod["spec"]["restartPolicy"] = "OnFailure"
    return pod


def created_job(job: Json) -> Json:
    """A new Job as the policies leave it, with the API server's own default."""
    job = copy.deepcopy(job)
    asked = (job["metadata"].get("annotations") or {}).get(ASKS, "")
    if re.fullmatch("[0-9]{1,2}", asked) and not any(field in job["spec"] for field in NEVER_ONLY):
        job["spec"]["backoffLimit"] = int(asked)
        job["spec"]["template"]["spec"]["restartPolicy"] = "OnFailure"
    job["spec"].setdefault("backoffLimit", 6)
    return job


@dataclass
class Outcome:
    """``whole``: runs of the container that were not ended by the Job; ``started``: all."""

    succeeded: bool
    pods: int
    started: int
    whole: int


def run(job: Json, failures: int) -> Outcome:
    """Of a Job with one pod at a time and one container that fails so often, and then succeeds."""
    limit, policy = job["spec"]["backoffLimit"], job["spec"]["template"]["spec"]["restartPolicy"]
    pods = started = 1
    for failed in range(1, failures + 1):
        if policy == "Never":
            if failed > limit:
                return Outcome(False, pods, started, started)
            pods, started = pods + 1, started + 1
            continue
        started += 1  # the kubelet restarts it, and the Job sees restartCount
        if failed > 0 if limit == 0 else failed >= limit:
            return Outcome(False, pods, started, started - 1)
    return Outcome(True, pods, started, started)
