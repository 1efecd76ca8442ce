"""Rules for running containers: after the loss of a process, not ready, or recently OOM-killed."""

from __future__ import annotations

from agent.diagnose.case import At
from agent.diagnose.facts import (
    ALIVE_AFTER_KILL,
    LAST_NOT_ITS_OWN,
    NODE_OOM,
    NOT_READY_LONG,
    NOT_STARTED_LONG,
    RESTARTED_BY_OOM,
)
from agent.diagnose.rule import Rule
from agent.diagnose.table_ends import NODE, RAISE
from agent.model.diagnosis import Answer, Category

YES, NO, PERHAPS = Answer.YES, Answer.NO, Answer.PERHAPS
RESTART = "; if it does not handle the loss of a process, restart it now"

RUNNING: tuple[Rule, ...] = (
    Rule(
        "running-node-oom", {At.RUNNING: Category.NODE_OOM}, YES, YES,
        ("{who} lost a process because the node, or all pods together, ran out of memory; it is still running, perhaps only in part",),
        NODE, facts=(ALIVE_AFTER_KILL, LAST_NOT_ITS_OWN),
    ),
    Rule(
        "running-oom", {At.RUNNING: Category.OOM_PROCESS}, NO, PERHAPS,
        ("{who} lost a process ({victim}) at {its_limit}; it is still running, perhaps only in part",
         "{who} lost a process at {its_limit}; it is still running, perhaps only in part",
         "{who} lost a process ({victim}) to an OOM kill (which limit was hit is not known); it is still running, perhaps only in part",
         "{who} lost a process to an OOM kill (which limit was hit is not known); it is still running, perhaps only in part"),
        tuple(text + RESTART for text in RAISE), facts=(ALIVE_AFTER_KILL,),
    ),
    Rule(
        "running-after-node-oom", {At.RUNNING: Category.NODE_OOM}, YES, YES,
        ("{who} is running again; the previous instance was OOM-killed because the node, or all pods together, ran out of memory",),
        NODE, facts=(RESTARTED_BY_OOM, NODE_OOM),
    ),
    Rule(
        "running-after-oom", {At.RUNNING: Category.OOM_CONTAINER}, NO, PERHAPS,
        ("{who} is running again; the previous instance was OOM-killed",),
        RAISE, facts=(RESTARTED_BY_OOM,),
    ),
    Rule(
        "running-not-started", {At.RUNNING: Category.NOT_READY}, PERHAPS, PERHAPS,
        ("{who} is running, but its startup probe has not succeeded for five minutes",),
        ("see its log (`kubectl logs -n {namespace} {pod} -c {container}`), and check the startup probe",),
        facts=(NOT_STARTED_LONG,),
    ),
    Rule(
        "running-not-ready", {At.RUNNING: Category.NOT_READY}, PERHAPS, PERHAPS,
        ("{who} is running, but has not been ready for a while: its readiness probe fails",),
        ("see its log (`kubectl logs -n {namespace} {pod} -c {container}`), and check the readiness probe",),
        facts=(NOT_READY_LONG,),
    ),
)  # fmt: skip
