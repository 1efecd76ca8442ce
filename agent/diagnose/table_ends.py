"""Rules for containers that ended, in CrashLoopBackOff or for good."""

from __future__ import annotations

from agent.diagnose.case import At
from agent.diagnose.facts import (
    EXIT_0,
    EXIT_126,
    EXIT_127,
    EXIT_KNOWN,
    NODE_OOM,
    OOM,
    OOM_OF_CHILD,
    OWN_SIGNAL,
    PROBED,
    SIGNALLED,
)
from agent.diagnose.rule import Rule, says
from agent.model.diagnosis import Answer, Category

YES, NO, PERHAPS = Answer.YES, Answer.NO, Answer.PERHAPS
FAILED = {At.CRASH: Category.CRASH_LOOP, At.ENDED: Category.FAILED}
OF_OOM = {At.CRASH: Category.CRASH_LOOP, At.ENDED: Category.OOM_CONTAINER}
OF_CHILD = {At.CRASH: Category.CRASH_LOOP, At.ENDED: Category.OOM_PROCESS}
DENIED = {At.CRASH: Category.PERMISSION, At.ENDED: Category.PERMISSION}
RAISE = (
    "raise the pod's memory limit from {pod_limit}, which its containers share: {kills} in an hour",
    "raise the limit from {limit}: its peak was {peak} with {kills} in an hour",
    "raise the limit from {limit}: {kills} in an hour",
    "raise the limit from {limit}, or reduce its memory use",
    "give it a memory limit of its own, or raise the pod's, and check its usage (`oomward ps`)",
)
LOWER = (
    "run less on the node, set memory requests to what pods use (they decide which pods are killed first), "
    "or reserve more for the system"
)
NODE = (
    f"{LOWER}: {{kills}} in an hour",
    LOWER,
)

DESCRIBE = "`kubectl describe pod -n {namespace} {pod}`"
MORE_TIME = "raise timeoutSeconds or failureThreshold, or add a startupProbe for a slow start"

ENDS: tuple[Rule, ...] = (
    Rule(
        "ended-node-oom", {At.CRASH: Category.NODE_OOM, At.ENDED: Category.NODE_OOM}, YES, YES,
        ("{who} was OOM-killed because the node, or all pods together, ran out of memory: this was not its fault",),
        NODE, facts=(OOM, NODE_OOM),
    ),
    Rule(
        "ended-after-oom", OF_CHILD, NO, PERHAPS,
        ("a process of {who} ({victim}) was OOM-killed, and then the container ended with code {exit_code}",
         "a process of {who} was OOM-killed, and then the container ended with code {exit_code}"),
        RAISE, facts=(OOM, OOM_OF_CHILD),
    ),
    Rule(
        "ended-oom", OF_OOM, NO, PERHAPS,
        ("{who} was OOM-killed: the pod reached its limit of {pod_limit}",
         "{who} was OOM-killed: it reached its limit of {own_limit}",
         "{who} was OOM-killed; its limit is {limit}", "{who} was OOM-killed"),
        RAISE, facts=(OOM,),
    ),
    Rule(
        "ended-lost", {At.CRASH: Category.UNKNOWN, At.ENDED: Category.UNKNOWN}, PERHAPS, PERHAPS,
        ("how {who} ended is not known: the runtime had no record of it any more",),
        ("check whether the node or its runtime was restarted then; see also `oomward history --pod {namespace}/{pod}`",),
        says=says(r"ContainerStatusUnknown|could not be located when the pod was"),
    ),
    Rule(
        "ended-probe", FAILED, PERHAPS, PERHAPS,
        ("{who} was ended by the kubelet: its probe failed",),
        (f"find out why the probe fails (`{{log}}`); {MORE_TIME}",),
        says=says(r"(?:liveness|startup) probe.{0,80}fail|fail.{0,80}(?:liveness|startup) probe"),
    ),
    Rule(
        "ended-permission-text", DENIED, NO, NO,
        ("{who} ended with code {exit_code}: uid {uid} lacks a permission that it needs",
         "{who} ended: it lacks a permission that it needs"),
        ("give uid {uid} access to what the message names (fsGroup for volumes, chown in the image), or run as a user that has it",
         "give the image's user access to what the message names (fsGroup for volumes, chown in the image)"),
        says=says(r"permission denied|operation not permitted|EACCES|EPERM"),
    ),
    Rule(
        "ended-permission", DENIED, NO, NO,
        ("{who} ended with code 126: its command exists but cannot be executed",),
        ("make the command executable for uid {uid} (chmod +x in the image)", "make the command executable (chmod +x in the image)"),
        facts=(EXIT_126,),
    ),
    Rule(
        "ended-command-missing", FAILED, NO, NO,
        ("{who} ended with code 127: a shell did not find a command",),
        ("find its name in `{log}`, and add it to the image or correct the path",),
        facts=(EXIT_127,),
    ),
    Rule(
        "ended-probe-likely", FAILED, PERHAPS, PERHAPS,
        ("{who} was ended by {signal}, and this node saw no OOM kill: most likely its liveness or startup probe failed",),
        (f"look for `probe failed` in the Events ({DESCRIBE}); then {MORE_TIME}",),
        facts=(PROBED,),
    ),
    Rule(
        "ended-fault", FAILED, NO, PERHAPS,
        ("{who} died from {signal}: a fault of the program itself",),
        ("see `{log}` and report it to its developers: a bug, or an image for another processor",),
        facts=(OWN_SIGNAL,),
    ),
    Rule(
        "ended-signal", FAILED, PERHAPS, PERHAPS,
        ("{who} died from {signal}, and this node saw no OOM kill",),
        ("see `{log}`, and find out what sent {signal}; {again}", "see `{log}`, and find out what sent {signal}"),
        facts=(SIGNALLED,),
    ),
    Rule(
        "ended-completed", {At.CRASH: Category.COMPLETED, At.ENDED: Category.COMPLETED}, NO, NO,
        ("{who} ended with code 0, although it is meant to keep running, and is restarted each time",),
        ("if it is meant to end, set restartPolicy OnFailure or make it a Job; else keep its main process in the foreground",),
        facts=(EXIT_0,),
    ),
    Rule(
        "ended-exit-code", FAILED, NO, PERHAPS,
        ("{who} ended with code {exit_code}",),
        ("find the cause in `{log}`; {again}", "find the cause in `{log}`"),
        facts=(EXIT_KNOWN,),
    ),
    Rule(
        "ended", FAILED, PERHAPS, PERHAPS,
        ("{who} ended, and the status does not say how",),
        ("see `{log}`, and `oomward history --pod {namespace}/{pod}` for OOM kills",),
    ),
)  # fmt: skip
