"""Which actions a failure may lead to, in order: the first that applies is the next step. Data only."""

from __future__ import annotations

from agent.model.diagnosis import Answer, Category, Diagnosis
from agent.model.recover import Action

GROW, IMAGE, FAIL, REPLACE, STRATEGY, RETRY = Action
PRESSURE_RULE = "memory-limit-pressure"  # not a diagnosis of a failure: a report of the agent before a kill
OWN_LIMIT = (
    "ended-oom",
    "ended-after-oom",
    "ended-oom-earlier",
    "running-oom",
    "running-after-oom",
    "running-after-child-oom",
    PRESSURE_RULE,
)
SECURITY = ("security-", "pod-security")
# A full cluster is no reason to change anything, and a pod on a node that does not report may still run.
LEFT_ALONE = ("scheduling", "node-lost")
NO_FAILURE = (Category.COMPLETED, Category.NOT_READY, Category.RESTARTED, Category.TERMINATING)
ENDED_POD = (  # the pod has ended: what passes is the cause, not the failure
    Category.EVICTED,
    Category.PREEMPTED,
    Category.NODE_SHUTDOWN,
    Category.REJECTED,
)

BY_CATEGORY: dict[Category, tuple[Action, ...]] = {
    Category.ERR_IMAGE_PULL: (IMAGE, STRATEGY, FAIL),
    Category.IMAGE_PULL_BACK_OFF: (IMAGE, STRATEGY, FAIL),
    Category.CREATE_CONFIG: (STRATEGY, FAIL),
    Category.CREATE: (STRATEGY, FAIL, RETRY),
    Category.RUN: (STRATEGY, FAIL, RETRY),
    Category.INIT: (REPLACE, STRATEGY, RETRY),
    Category.PERMISSION: (REPLACE, STRATEGY, FAIL),
    Category.CRASH_LOOP: (STRATEGY, RETRY),
    Category.OOM_CONTAINER: (),
    Category.OOM_PROCESS: (),
    Category.NODE_OOM: (),  # not the pod's fault
    Category.OOM_SANDBOX: (),  # the limit of the pod, which can't be resized
    Category.EVICTED: (REPLACE,),
    Category.DEADLINE: (),  # it was asked for, by its owner or by us
    Category.COMPLETED: (),
    Category.FAILED: (STRATEGY, RETRY),
    Category.NOT_READY: (),
    Category.RESTARTED: (),  # it runs again
    Category.RESIZE: (),  # a resize that waits or was refused is not repeated
    Category.NOT_STARTING: (STRATEGY, FAIL),
    Category.PREEMPTED: (REPLACE,),
    Category.NODE_SHUTDOWN: (REPLACE,),
    Category.REJECTED: (REPLACE, STRATEGY),
    Category.TERMINATING: (),  # it is deleted: nothing here helps
    Category.UNKNOWN: (RETRY,),
}


def chain(diagnosis: Diagnosis) -> tuple[Action, ...]:
    """The actions against this failure; empty: there are none, or it passes by itself."""
    if diagnosis.rule in OWN_LIMIT:
        return (
            (GROW,) if diagnosis.category in (Category.OOM_CONTAINER, Category.OOM_PROCESS) else (GROW, STRATEGY, RETRY)
        )
    if passes(diagnosis) or diagnosis.rule.startswith(LEFT_ALONE):
        return ()
    if diagnosis.rule.startswith(SECURITY):
        return (REPLACE, STRATEGY, FAIL)
    return BY_CATEGORY.get(diagnosis.category, ())


def passes(diagnosis: Diagnosis) -> bool:
    """Whether it passes by itself, or is no failure."""
    passing = diagnosis.transient is Answer.YES and diagnosis.category not in ENDED_POD
    return passing or diagnosis.category in NO_FAILURE


def cause(diagnosis: Diagnosis) -> str:
    """``ImagePullBackOff (image not found)``."""
    return f"{diagnosis.category.value} ({diagnosis.rule.replace('-', ' ')})"
