"""Rules for containers that ended, in CrashLoopBackOff or for good."""

from __future__ import annotations

from agent.diagnose import facts
from agent.diagnose.case import At
from agent.diagnose.rule import NO, PERHAPS, YES, Rule, Sure
from agent.diagnose.table_pods import DESCRIBE
from agent.diagnose.table_starts import E2BIG, EXECVE, SHORTEN, TOO_LONG
from agent.model.diagnosis import Category

FAILED = {At.CRASH: Category.CRASH_LOOP, At.ENDED: Category.FAILED}
OF_OOM = {At.CRASH: Category.CRASH_LOOP, At.ENDED: Category.OOM_CONTAINER}
OF_CHILD = {At.CRASH: Category.CRASH_LOOP, At.ENDED: Category.OOM_PROCESS}
DENIED = {At.CRASH: Category.PERMISSION, At.ENDED: Category.PERMISSION}
RAISE = (
    (
        "{replace}: its pod's cgroup most likely kept a limit of {behind} from before a resize (kubernetes issue 138760), and raising "
        "the limit does not help"
    ),
    "its new limit of {wanted} is not in force ({pending}): make room for it on this node, or {replace}",
    "see whether its limit of {raised} is enough: the kill was at the earlier limit of {own_limit}",
    "raise its limit of {lowered} to {next}: the kill was at the earlier limit of {own_limit}",
    "{filled}",
    "raise the pod's memory limit from {pod_limit} to {pod_next}, which its containers share: {kills} in an hour",
    "raise the pod's memory limit from {pod_limit} to {pod_next}, which its containers share",
    "raise the limit from {base} to {next}: its peak was {peak} with {kills} in an hour",
    "raise the limit from {base} to {next}: {kills} in an hour",
    "raise the limit from {base} to {next}, or reduce its memory use",
    "check its usage and the pod's limit (`oomward ps`): which limit it reached is not known",
)
LOWER = (
    "run less on the node, set memory requests to what pods use (they decide which pods are killed first), "
    "or reserve more for the system"
)
NODE = (
    "{shortage_advice}",
    LOWER + " (it did not reach its own limit of {limit}): {kills} in an hour",
    LOWER + " (it did not reach its own limit of {limit})",
    "set a memory limit for it: it has none, so it may use all memory of the node",
)
MORE_TIME = "raise timeoutSeconds or failureThreshold, or add a startupProbe for a slow start"
RESTART = "; if it does not handle the loss of a process, restart it now"
LIMITS = (
    "{who} was OOM-killed: the pod reached its limit of {pod_limit}",
    "{who} was OOM-killed: the pod reached a limit of {behind}",
    "{who} was OOM-killed ({victim}): it reached its limit of {own_limit}",
    "{who} was OOM-killed: it reached its limit of {own_limit}",
    "{who} was OOM-killed; its limit is {limit}",
    "{who} was OOM-killed",
)
CONTAINERD = (
    "containerd's and CRI-O's reason for a kill counted in memory.events, for any process, at any time of the instance"
)
DIED = "this node's kill counters and kernel log"
CODES = "exit codes by the runtime: 128 + signal number (runc, crun)"
PROBES = "pkg/kubelet/kuberuntime/kuberuntime_manager.go: computePodActions (1.25 to 1.36) ends it, and only an Event says so"
PROGRAM = "the container's own exit code or termination message"
STATUS = "pkg/kubelet/kubelet_pods.go: convertToAPIContainerStatuses (1.22 to 1.36)"

HEAP = r"heap out of memory|OutOfMemoryError|std::bad_alloc|runtime: out of memory|\bMemoryError\b|OutOfMemoryException"
REBOOT = "the node or its runtime was stopped meanwhile: see its uptime and the runtime's log; that it was killed for memory is not known"
LOST = "containerd internal/cri/server: unknownContainerStatus (exit code 255), after its own restart or the node's"

ENDS: tuple[Rule, ...] = (
    Rule("ended-node-oom", {At.CRASH: Category.NODE_OOM, At.ENDED: Category.NODE_OOM}, YES, YES,
        ("{who} was OOM-killed because {shortage}: this was not its fault, its limit is {limit}",
         "{who} was OOM-killed because {shortage}",
         "{who} was OOM-killed because the node, or all pods together, ran out of memory"),
        NODE, facts=(facts.OOM, facts.NODE_OOM), sure=Sure.SEEN, source=DIED),
    Rule("ended-oom-no-limit", OF_OOM, PERHAPS, PERHAPS,
        (("{who} was OOM-killed without a memory limit of its own or of the pod: most likely the node, or all pods together, ran out of "
          "memory"),),
        NODE[-1:], facts=(facts.OOM, facts.NO_LIMIT), sure=Sure.LIKELY, source=CONTAINERD),
    Rule("ended-after-oom", OF_CHILD, NO, PERHAPS,
        ("a process of {who} ({victim}) was OOM-killed, and then the container ended with code {exit_code}",
         "a process of {who} was OOM-killed, and then the container ended with code {exit_code}"),
        RAISE, facts=(facts.OOM, facts.OOM_OF_CHILD), sure=Sure.LIKELY, source=DIED + "; " + CONTAINERD),
    Rule("ended-oom", OF_OOM, NO, PERHAPS,
        LIMITS, RAISE, facts=(facts.OOM,), source=CONTAINERD),
    Rule("ended-stopped", {At.CRASH: Category.CRASH_LOOP, At.ENDED: Category.FAILED}, PERHAPS, PERHAPS,
        (("{who} was asked to stop (SIGTERM, exit code 143), as by a drain, a rollout or a probe; the runtime's OOMKilled is about an "
          "earlier kill of one of its processes, or none"),),
        (f"see the Events ({DESCRIBE}) for what stopped it; `oomward history --pod {{namespace}}/{{pod}}` lists its OOM kills",),
        facts=(facts.OOM_EARLIER, facts.SIGTERM), sure=Sure.LIKELY, source=CONTAINERD),
    Rule("ended-oom-earlier", {At.CRASH: Category.CRASH_LOOP, At.ENDED: Category.OOM_PROCESS}, NO, PERHAPS,
        (("{who} ended with code {exit_code}; the runtime says OOMKilled too: one of its processes was OOM-killed at some time, perhaps "
          "long before"),),
        ("find the cause in `{log}`; `oomward history --pod {namespace}/{pod}` shows when a process was killed, and how large it was",),
        facts=(facts.OOM_EARLIER, facts.EXIT_KNOWN), sure=Sure.LIKELY, source=CONTAINERD),
    Rule("ended-arguments", FAILED, NO, NO, (TOO_LONG,), (SHORTEN,), says=E2BIG, source=EXECVE),
    Rule("ended-lost", {At.CRASH: Category.UNKNOWN, At.ENDED: Category.UNKNOWN}, PERHAPS, PERHAPS,
        ("how {who} ended is not known: the runtime had no record of it any more",),
        ("check whether the node or its runtime was restarted then; see also `oomward history --pod {namespace}/{pod}`",),
        says=r"ContainerStatusUnknown|could not be located when the pod was", source=STATUS),
    Rule("ended-unknown", {At.CRASH: Category.UNKNOWN, At.ENDED: Category.UNKNOWN}, PERHAPS, YES,
        ("how {who} ended is not known: the runtime found it gone",), (REBOOT,), facts=(facts.LOST_END,), source=LOST),
    Rule("ended-heap", FAILED, NO, PERHAPS,
        ("{who} ended by itself (code {exit_code}): its program ran out of the memory that it allows itself, and no OOM kill is known then",
         "{who} ended by itself: its program ran out of the memory that it allows itself"),
        (("raise the program's own bound (Java -Xmx or -XX:MaxRAMPercentage, Node --max-old-space-size) below its limit of {limit}, or the "
          "limit too, or reduce its memory use"),
         "raise the program's own bound (Java -Xmx or -XX:MaxRAMPercentage, Node --max-old-space-size), or reduce its memory use"),
        says=HEAP, source=PROGRAM),
    Rule("ended-probe", FAILED, PERHAPS, PERHAPS,
        ("{who} was ended by the kubelet: its probe failed",),
        (f"find out why the probe fails (`{{log}}`); {MORE_TIME}",),
        says=r"(?:liveness|startup) probe.{0,80}fail|fail.{0,80}(?:liveness|startup) probe", source=PROGRAM),
    Rule("ended-permission-text", DENIED, NO, NO,
        ("{who} ended with code {exit_code}: uid {uid} lacks a permission that it needs",
         "{who} ended: it lacks a permission that it needs"),
        ("give uid {uid} access to what the message names (fsGroup for volumes, chown in the image), or run as a user that has it",
         "give the image's user access to what the message names (fsGroup for volumes, chown in the image)"),
        says=r"permission denied|operation not permitted|EACCES|EPERM", sure=Sure.LIKELY, source=PROGRAM),
    Rule("ended-permission", DENIED, NO, NO,
        ("{who} ended with code 126: its command exists but cannot be executed",),
        ("make the command executable for uid {uid} (chmod +x in the image)", "make the command executable (chmod +x in the image)"),
        facts=(facts.EXIT_126,), source="POSIX shells and runtimes: 126"),
    Rule("ended-command-missing", FAILED, NO, NO,
        ("{who} ended with code 127: a shell did not find a command",),
        ("find its name in `{log}`, and add it to the image or correct the path",),
        facts=(facts.EXIT_127,), source="POSIX shells: 127"),
    Rule("ended-probe-likely", FAILED, PERHAPS, PERHAPS,
        ("{who} was ended by {signal}, and no OOM kill is known then: most likely its liveness or startup probe failed",),
        (f"look for `probe failed` in the Events ({DESCRIBE}); then {MORE_TIME}",),
        facts=(facts.PROBED,), sure=Sure.LIKELY, source=PROBES),
    Rule("ended-fault", FAILED, NO, PERHAPS,
        ("{who} died from {signal}: a fault of the program itself",),
        ("see `{log}` and report it to its developers: a bug, or an image for another processor",),
        facts=(facts.OWN_SIGNAL,), source=CODES),
    Rule("ended-sigterm", FAILED, PERHAPS, PERHAPS,
        ("{who} was asked to stop (SIGTERM, exit code 143), and no OOM kill is known then",),
        (f"see the Events ({DESCRIBE}) for what stopped it: a drain, a rollout, a scale-down, or something in the pod",),
        facts=(facts.SIGTERM,), source=CODES),
    Rule("ended-signal", FAILED, PERHAPS, PERHAPS,
        ("{who} died from {signal}, and no OOM kill is known then",),
        ("see `{log}`, and find out what sent {signal}; {again}", "see `{log}`, and find out what sent {signal}"),
        facts=(facts.SIGNALLED,), sure=Sure.OPEN, source=CODES),
    Rule("ended-completed", {At.CRASH: Category.COMPLETED, At.ENDED: Category.COMPLETED}, NO, NO,
        ("{who} ended with code 0, although it is meant to keep running, and is restarted each time",),
        (("if it is meant to end, make it a Job or CronJob: pods of {owner} are always restarted; else keep its main process in the "
          "foreground"),
         "if it is meant to end, set restartPolicy OnFailure or make it a Job; else keep its main process in the foreground"),
        facts=(facts.EXIT_0,), source=PROGRAM),
    Rule("ended-exit-code", FAILED, NO, PERHAPS,
        ("{who} ended with code {exit_code}",),
        ("find the cause in `{log}`; {again}", "find the cause in `{log}`"),
        facts=(facts.EXIT_KNOWN,), source=PROGRAM),
    Rule("ended", FAILED, PERHAPS, PERHAPS,
        ("{who} ended, and the status does not say how",),
        ("see `{log}`, and `oomward history --pod {namespace}/{pod}` for OOM kills",), sure=Sure.OPEN, source=STATUS),
)  # fmt: skip
