"""Rules for containers that ended, in CrashLoopBackOff or for good; and for running ones that lost a process or are not ready."""

from __future__ import annotations

from agent.diagnose import facts
from agent.diagnose.case import At
from agent.diagnose.rule import NO, PERHAPS, YES, Rule
from agent.diagnose.table_pods import DESCRIBE
from agent.model.diagnosis import Category

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
    LOWER + " (it did not reach its own limit of {limit}): {kills} in an hour",
    LOWER + " (it did not reach its own limit of {limit})",
    "set a memory limit for it: it has none, so it may use all memory of the node",
)
MORE_TIME = "raise timeoutSeconds or failureThreshold, or add a startupProbe for a slow start"
RESTART = "; if it does not handle the loss of a process, restart it now"

ENDS: tuple[Rule, ...] = (
    Rule("ended-node-oom", {At.CRASH: Category.NODE_OOM, At.ENDED: Category.NODE_OOM}, YES, YES,
        ("{who} was OOM-killed because the node, or all pods together, ran out of memory: this was not its fault, its limit is {limit}",
         "{who} was OOM-killed because the node, or all pods together, ran out of memory"),
        NODE, facts=(facts.OOM, facts.NODE_OOM)),
    Rule("ended-after-oom", OF_CHILD, NO, PERHAPS,
        ("a process of {who} ({victim}) was OOM-killed, and then the container ended with code {exit_code}",
         "a process of {who} was OOM-killed, and then the container ended with code {exit_code}"),
        RAISE, facts=(facts.OOM, facts.OOM_OF_CHILD)),
    Rule("ended-oom", OF_OOM, NO, PERHAPS,
        ("{who} was OOM-killed: the pod reached its limit of {pod_limit}",
         "{who} was OOM-killed: it reached its limit of {own_limit}",
         "{who} was OOM-killed; its limit is {limit}", "{who} was OOM-killed"),
        RAISE, facts=(facts.OOM,)),
    Rule("ended-lost", {At.CRASH: Category.UNKNOWN, At.ENDED: Category.UNKNOWN}, PERHAPS, PERHAPS,
        ("how {who} ended is not known: the runtime had no record of it any more",),
        ("check whether the node or its runtime was restarted then; see also `oomward history --pod {namespace}/{pod}`",),
        says=r"ContainerStatusUnknown|could not be located when the pod was"),
    Rule("ended-probe", FAILED, PERHAPS, PERHAPS,
        ("{who} was ended by the kubelet: its probe failed",),
        (f"find out why the probe fails (`{{log}}`); {MORE_TIME}",),
        says=r"(?:liveness|startup) probe.{0,80}fail|fail.{0,80}(?:liveness|startup) probe"),
    Rule("ended-permission-text", DENIED, NO, NO,
        ("{who} ended with code {exit_code}: uid {uid} lacks a permission that it needs",
         "{who} ended: it lacks a permission that it needs"),
        ("give uid {uid} access to what the message names (fsGroup for volumes, chown in the image), or run as a user that has it",
         "give the image's user access to what the message names (fsGroup for volumes, chown in the image)"),
        says=r"permission denied|operation not permitted|EACCES|EPERM"),
    Rule("ended-permission", DENIED, NO, NO,
        ("{who} ended with code 126: its command exists but cannot be executed",),
        ("make the command executable for uid {uid} (chmod +x in the image)", "make the command executable (chmod +x in the image)"),
        facts=(facts.EXIT_126,)),
    Rule("ended-command-missing", FAILED, NO, NO,
        ("{who} ended with code 127: a shell did not find a command",),
        ("find its name in `{log}`, and add it to the image or correct the path",),
        facts=(facts.EXIT_127,)),
    Rule("ended-probe-likely", FAILED, PERHAPS, PERHAPS,
        ("{who} was ended by {signal}, and this node saw no OOM kill: most likely its liveness or startup probe failed",),
        (f"look for `probe failed` in the Events ({DESCRIBE}); then {MORE_TIME}",),
        facts=(facts.PROBED,)),
    Rule("ended-fault", FAILED, NO, PERHAPS,
        ("{who} died from {signal}: a fault of the program itself",),
        ("see `{log}` and report it to its developers: a bug, or an image for another processor",),
        facts=(facts.OWN_SIGNAL,)),
    Rule("ended-signal", FAILED, PERHAPS, PERHAPS,
        ("{who} died from {signal}, and this node saw no OOM kill",),
        ("see `{log}`, and find out what sent {signal}; {again}", "see `{log}`, and find out what sent {signal}"),
        facts=(facts.SIGNALLED,)),
    Rule("ended-completed", {At.CRASH: Category.COMPLETED, At.ENDED: Category.COMPLETED}, NO, NO,
        ("{who} ended with code 0, although it is meant to keep running, and is restarted each time",),
        ("if it is meant to end, set restartPolicy OnFailure or make it a Job; else keep its main process in the foreground",),
        facts=(facts.EXIT_0,)),
    Rule("ended-exit-code", FAILED, NO, PERHAPS,
        ("{who} ended with code {exit_code}",),
        ("find the cause in `{log}`; {again}", "find the cause in `{log}`"),
        facts=(facts.EXIT_KNOWN,)),
    Rule("ended", FAILED, PERHAPS, PERHAPS,
        ("{who} ended, and the status does not say how",),
        ("see `{log}`, and `oomward history --pod {namespace}/{pod}` for OOM kills",)),
)  # fmt: skip

RUNNING: tuple[Rule, ...] = (
    Rule("running-node-oom", {At.RUNNING: Category.NODE_OOM}, YES, YES,
        ("{who} lost a process because the node, or all pods together, ran out of memory; it is still running, perhaps only in part",),
        NODE, facts=(facts.ALIVE_AFTER_KILL, facts.LAST_NOT_ITS_OWN)),
    Rule("running-oom", {At.RUNNING: Category.OOM_PROCESS}, NO, PERHAPS,
        ("{who} lost a process ({victim}) at {its_limit}; it is still running, perhaps only in part",
         "{who} lost a process at {its_limit}; it is still running, perhaps only in part",
         "{who} lost a process ({victim}) to an OOM kill (which limit was hit is not known); it is still running, perhaps only in part",
         "{who} lost a process to an OOM kill (which limit was hit is not known); it is still running, perhaps only in part"),
        tuple(text + RESTART for text in RAISE), facts=(facts.ALIVE_AFTER_KILL,)),
    Rule("running-after-node-oom", {At.RUNNING: Category.NODE_OOM}, YES, YES,
        ("{who} is running again; the previous instance was OOM-killed because the node, or all pods together, ran out of memory",),
        NODE, facts=(facts.RESTARTED_BY_OOM, facts.NODE_OOM)),
    Rule("running-after-oom", {At.RUNNING: Category.OOM_CONTAINER}, NO, PERHAPS,
        ("{who} is running again; the previous instance was OOM-killed",),
        RAISE, facts=(facts.RESTARTED_BY_OOM,)),
    Rule("running-not-started", {At.RUNNING: Category.NOT_READY}, PERHAPS, PERHAPS,
        ("{who} is running, but its startup probe has not succeeded for five minutes",),
        ("see its log (`kubectl logs -n {namespace} {pod} -c {container}`), and check the startup probe",),
        facts=(facts.NOT_STARTED_LONG,)),
    Rule("running-not-ready", {At.RUNNING: Category.NOT_READY}, PERHAPS, PERHAPS,
        ("{who} is running, but has not been ready for a while: its readiness probe fails",),
        ("see its log (`kubectl logs -n {namespace} {pod} -c {container}`), and check the readiness probe",),
        facts=(facts.NOT_READY_LONG,)),
)  # fmt: skip
