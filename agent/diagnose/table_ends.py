"""Rules for containers that ended, between two tries (CrashLoopBackOff) or for good."""

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
    "raise the limit from {limit}, or have it use less",
    "give it a memory limit of its own, or raise the pod's, and see what it uses (`oomward ps`)",
)
LOWER = "lower what runs on the node, set requests that tell what pods use (they decide who goes first), or reserve more for the system"
NODE = (
    f"{LOWER}: {{kills}} in an hour",
    LOWER,
)

DESCRIBE = "`kubectl describe pod -n {namespace} {pod}`"
MORE_TIME = "give it more timeoutSeconds or failureThreshold, or a startupProbe for a slow start"

ENDS: tuple[Rule, ...] = (
    Rule(
        "ended-node-oom", {At.CRASH: Category.NODE_OOM, At.ENDED: Category.NODE_OOM}, YES, YES,
        ("{who} was killed since the node, or all pods together, had no memory left: not its own doing",),
        NODE, facts=(OOM, NODE_OOM),
    ),
    Rule(
        "ended-after-oom", OF_CHILD, NO, PERHAPS,
        ("a process of {who} ({victim}) was killed for memory, and the rest ended after it with code {exit_code}",
         "a process of {who} was killed for memory, and the rest ended after it with code {exit_code}"),
        RAISE, facts=(OOM, OOM_OF_CHILD),
    ),
    Rule(
        "ended-oom", OF_OOM, NO, PERHAPS,
        ("{who} was killed for memory: the pod reached its limit of {pod_limit}",
         "{who} was killed for memory: it reached its limit of {own_limit}",
         "{who} was killed for memory; its limit is {limit}", "{who} was killed for memory"),
        RAISE, facts=(OOM,),
    ),
    Rule(
        "ended-lost", {At.CRASH: Category.UNKNOWN, At.ENDED: Category.UNKNOWN}, PERHAPS, PERHAPS,
        ("how {who} ended nobody knows: the runtime had no record of it any more",),
        ("see whether the node or its runtime was restarted then; `oomward history --pod {namespace}/{pod}` has OOM kills of that time",),
        says=says(r"ContainerStatusUnknown|could not be located when the pod was"),
    ),
    Rule(
        "ended-probe", FAILED, PERHAPS, PERHAPS,
        ("{who} was ended by the kubelet: its probe failed",),
        (f"see why the probe fails (`{{log}}`); {MORE_TIME}",),
        says=says(r"(?:liveness|startup) probe.{0,80}fail|fail.{0,80}(?:liveness|startup) probe"),
    ),
    Rule(
        "ended-permission-text", DENIED, NO, NO,
        ("{who} ended with code {exit_code}, refused something it needs, as uid {uid}",
         "{who} ended, refused something it needs"),
        ("give uid {uid} access to what the message names (fsGroup for volumes, chown in the image), or run as a user that has it",
         "see what the message names: give the image's user access to it (fsGroup for volumes, chown in the image)"),
        says=says(r"permission denied|operation not permitted|EACCES|EPERM"),
    ),
    Rule(
        "ended-permission", DENIED, NO, NO,
        ("{who} ended with code 126: its command is there and may not be run",),
        ("make the command executable for uid {uid} (chmod +x in the image)", "make the command executable (chmod +x in the image)"),
        facts=(EXIT_126,),
    ),
    Rule(
        "ended-command-missing", FAILED, NO, NO,
        ("{who} ended with code 127: a shell did not find a command",),
        ("see `{log}` for its name, and add it to the image or mend the path",),
        facts=(EXIT_127,),
    ),
    Rule(
        "ended-probe-likely", FAILED, PERHAPS, PERHAPS,
        ("{who} was ended by {signal}, and not for memory as far as the node saw: most likely its liveness or startup probe failed",),
        (f"see the Events ({DESCRIBE}) for `probe failed`; then {MORE_TIME}",),
        facts=(PROBED,),
    ),
    Rule(
        "ended-fault", FAILED, NO, PERHAPS,
        ("{who} died of {signal}: the program itself went wrong",),
        ("see `{log}`, and have its makers look at it: a fault in it, or an image for another processor",),
        facts=(OWN_SIGNAL,),
    ),
    Rule(
        "ended-signal", FAILED, PERHAPS, PERHAPS,
        ("{who} died of {signal}, and not for memory as far as the node saw",),
        ("see `{log}`, and who or what on the node sent {signal}; {again}", "see `{log}`, and who or what on the node sent {signal}"),
        facts=(SIGNALLED,),
    ),
    Rule(
        "ended-completed", {At.CRASH: Category.COMPLETED, At.ENDED: Category.COMPLETED}, NO, NO,
        ("{who} ended well, with code 0, where it should go on: it is started again and again",),
        ("set restartPolicy OnFailure or make it a Job if it is to end; else see that its main process stays in the foreground",),
        facts=(EXIT_0,),
    ),
    Rule(
        "ended-exit-code", FAILED, NO, PERHAPS,
        ("{who} ended with code {exit_code}",),
        ("see why: `{log}`; {again}", "see why: `{log}`"),
        facts=(EXIT_KNOWN,),
    ),
    Rule(
        "ended", FAILED, PERHAPS, PERHAPS,
        ("{who} ended, and the status doesn't say how",),
        ("see `{log}`, and `oomward history --pod {namespace}/{pod}` for OOM kills",),
    ),
)  # fmt: skip
