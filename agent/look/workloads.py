"""Which workload a pod belongs to: by its controller, or by its name if the API does not know the pod any more."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from agent.model import Pod

RANDOM = "[bcdfghjklmnpqrstvwxz2456789]"  # apimachinery's util/rand: the end of a generated name, and pod-template-hash
# Minutes since 1970 (cronjob/utils.go, getJobName; seconds before 1.21).
JOB_OF_CRON = re.compile(r"(.+)-[0-9]{8,11}\Z")
# What follows the workload's name in the name of its pod.
POD_NAMES = {
    "CronJob": rf"-[0-9]{{8,11}}(?:-[0-9]+)?-{RANDOM}{{5}}",
    "Deployment": rf"-{RANDOM}{{6,10}}-{RANDOM}{{5}}",
    "StatefulSet": "-[0-9]+",
    "DaemonSet": rf"-{RANDOM}{{5}}",
    "ReplicaSet": rf"-{RANDOM}{{5}}",
    "ReplicationController": rf"-{RANDOM}{{5}}",
    "Job": rf"(?:-[0-9]+)?-{RANDOM}{{5}}",
    "Pod": "",
}
GUESSED = ("CronJob", "Deployment")  # their pods' names have two parts more, which says enough
STATIC_POD = "StaticPod"
OF_TEMPLATES = (("pod-template-hash", "Deployment"), ("rollouts-pod-template-hash", "Rollout"))


@dataclass(frozen=True, slots=True)
class Workload:
    """``kind`` as the API has it; a Deployment instead of its ReplicaSet, a CronJob instead of its Job; Pod: nothing owns it."""

    namespace: str
    kind: str
    name: str

    @property
    def order(self) -> tuple[str, str, str]:
        return self.namespace, self.name, self.kind


def workload_of(pod: Pod) -> Workload:
    """Without a request to the API: the node's rights do not include ReplicaSets and Jobs."""
    controller = pod.status.controller
    if pod.config_hash is not None or (controller is not None and controller.kind == "Node"):
        return Workload(pod.namespace, STATIC_POD, pod.name)
    if controller is None:
        return Workload(pod.namespace, "Pod", pod.name)
    kind, name = controller.kind, controller.name
    for label, owner in OF_TEMPLATES if kind == "ReplicaSet" else ():
        template = pod.labels.get(label)
        if template and name.endswith(f"-{template}"):
            return Workload(pod.namespace, owner, name.removesuffix(f"-{template}"))
    if kind == "Job" and (found := JOB_OF_CRON.match(name)):
        return Workload(pod.namespace, "CronJob", found[1])
    return Workload(pod.namespace, kind, name)


def workload_by_name(namespace: str, pod: str, known: Iterable[Workload]) -> Workload:
    """Of a pod that was deleted: a ``known`` workload if the name fits one, the one with the longest name; else by the name alone."""
    fitting = [
        one
        for one in known
        if one.namespace == namespace
        and pod.startswith(one.name)
        and re.fullmatch(POD_NAMES.get(one.kind, "-.+"), pod[len(one.name) :])
    ]
    if fitting:
        return max(fitting, key=lambda one: len(one.name))
    for kind in GUESSED:
        if found := re.fullmatch(rf"(.+?){POD_NAMES[kind]}", pod):
            return Workload(namespace, kind, found[1])
    return Workload(namespace, "Pod", pod)
