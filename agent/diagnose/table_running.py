"""Rules for containers that run, and are not well all the same: half dead, not ready, or killed a moment ago."""

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
HALF_DEAD = "; if it doesn't notice by itself that a process is gone, restart it now"

RUNNING: tuple[Rule, ...] = (
    Rule(
        "running-node-oom", {At.RUNNING: Category.NODE_OOM}, YES, YES,
        ("{who} lost a process since the node, or all pods together, had no memory left, and runs on: it may be half dead",),
        NODE, facts=(ALIVE_AFTER_KILL, LAST_NOT_ITS_OWN),
    ),
    Rule(
        "running-oom", {At.RUNNING: Category.OOM_PROCESS}, NO, PERHAPS,
        ("{who} lost a process ({victim}) to {its_limit} and runs on: it may be half dead",
         "{who} lost a process to {its_limit} and runs on: it may be half dead",
         "{who} lost a process ({victim}) for memory (which limit was hit is not known) and runs on: it may be half dead",
         "{who} lost a process for memory (which limit was hit is not known) and runs on: it may be half dead"),
        tuple(text + HALF_DEAD for text in RAISE), facts=(ALIVE_AFTER_KILL,),
    ),
    Rule(
        "running-after-node-oom", {At.RUNNING: Category.NODE_OOM}, YES, YES,
        ("{who} runs again; the instance before was killed since the node, or all pods together, had no memory left",),
        NODE, facts=(RESTARTED_BY_OOM, NODE_OOM),
    ),
    Rule(
        "running-after-oom", {At.RUNNING: Category.OOM_CONTAINER}, NO, PERHAPS,
        ("{who} runs again; the instance before was killed for memory",),
        RAISE, facts=(RESTARTED_BY_OOM,),
    ),
    Rule(
        "running-not-started", {At.RUNNING: Category.NOT_READY}, PERHAPS, PERHAPS,
        ("{who} runs, and its startup probe has not succeeded for five minutes",),
        ("see what it does (`kubectl logs -n {namespace} {pod} -c {container}`), and whether the startup probe asks the right thing",),
        facts=(NOT_STARTED_LONG,),
    ),
    Rule(
        "running-not-ready", {At.RUNNING: Category.NOT_READY}, PERHAPS, PERHAPS,
        ("{who} runs, and has not been ready for a while: its readiness probe fails",),
        ("see what it waits for (`kubectl logs -n {namespace} {pod} -c {container}`); does the readiness probe ask the right thing?",),
        facts=(NOT_READY_LONG,),
    ),
)  # fmt: skip
