"""Rules for pods that failed as a whole or do not start. Messages: kubelet's eviction, preemption, nodeshutdown, lifecycle."""

from __future__ import annotations

from agent.diagnose import facts
from agent.diagnose.case import At
from agent.diagnose.rule import NO, PERHAPS, YES, Rule
from agent.model.diagnosis import Category

EVICTED = {At.POD: Category.EVICTED}
REJECTED = {At.POD: Category.REJECTED}
CREATING = {At.CREATING: Category.NOT_STARTING}
CULPRIT = (
    r"(?:[^\n]{0,400}?container (?P<culprit>[^\s\n]{1,253}) was using (?P<used>[0-9.]+[a-z]*), "
    r"(?:request is|which exceeds its request of) (?P<request>[0-9.]+[a-z]*))?"
)
OWN_LIMIT = (
    r"container (?P<culprit>\S{1,253}) exceeded its local ephemeral storage limit \"?(?P<most>[0-9.]+[a-z]*)"
    r"|usage exceeds the total limit of containers (?P<total>[0-9.]+[a-z]*)"
    r"|EmptyDir volume \"(?P<volume>[^\"\n]{1,253})\" exceeds the limit \"(?P<size>[0-9.]+[a-z]*)"
)
UID_RANGE = r"runAsUser: Invalid value: (?P<uid>[0-9]+): must be in the ranges: \[(?P<low>[0-9]+), (?P<high>[0-9]+)\]"
SECURITY_UID = (
    "remove runAsUser: {uid}, so that the platform picks a uid, or use one of {low} to {high}; else bind the pod's service "
    "account to a constraint that allows it"
)
DESCRIBE = "`kubectl describe pod -n {namespace} {pod}`"

PODS: tuple[Rule, ...] = (
    Rule("evicted-memory", EVICTED, YES, YES,
        ("the node ran short of memory, and the kubelet evicted the pod; container {culprit} used {used} with a request of {request}",
         "the node ran short of memory, and the kubelet evicted the pod"),
        ("set the memory request of container {culprit} to {used} or more, not {request}: then the scheduler picks a node with room",
         "set memory requests to what the pod uses: pods above their requests are evicted first"),
        ("Evicted",), says=r"low on resource: memory\b" + CULPRIT + r"|condition: \[?MemoryPressure"),
    Rule("evicted-own-storage", EVICTED, NO, NO,
        ("container {culprit} wrote more than its ephemeral-storage limit of {most}, and the pod was evicted",
         "the pod wrote more than the ephemeral-storage limits of its containers, {total}, and was evicted",
         "volume {volume} grew beyond its sizeLimit of {size}, and the pod was evicted",
         "the pod exceeded its limit of local storage and was evicted"),
        ("raise the ephemeral-storage limit of container {culprit} from {most}, or write less, or write to a volume",
         "raise the ephemeral-storage limits from {total}, or write less, or write to a volume",
         "raise the sizeLimit of volume {volume} from {size}, or store less in it",
         "raise the limit, or write less, or write to a volume"),
        ("Evicted",), says=OWN_LIMIT),
    Rule("evicted-disk", EVICTED, YES, YES,
        ("the node ran short of disk, and the kubelet evicted the pod; container {culprit} used {used} with a request of {request}",
         "the node ran short of disk or inodes, and the kubelet evicted the pod"),
        ("set the ephemeral-storage request of container {culprit} to {used} or more instead of {request}, or write less",
         "remove images and logs on the node, or give it more disk; set ephemeral-storage requests and limits"),
        ("Evicted",),
        says=r"low on resource: (?:ephemeral-storage|inodes|nodefs|imagefs)\b" + CULPRIT + r"|condition: \[?DiskPressure"),
    Rule("evicted-pids", EVICTED, YES, YES,
        ("the node ran short of process IDs, and the kubelet evicted the pod",),
        ("find what creates the processes; podPidsLimit in the kubelet's configuration limits each pod",),
        ("Evicted",), says=r"low on resource: pids|condition: \[?PIDPressure"),
    Rule("evicted", EVICTED, PERHAPS, PERHAPS,
        ("the pod was evicted",),
        ("read the message; `kubectl describe node` shows the node's pressure conditions",),
        ("Evicted", "EvictionByEvictionAPI", "DeletionByTaintManager")),
    Rule("deadline", {At.POD: Category.DEADLINE}, NO, PERHAPS,
        ("the pod ran longer than its activeDeadlineSeconds of {deadline}, and was ended",
         "the pod ran longer than its activeDeadlineSeconds, and was ended"),
        ("raise activeDeadlineSeconds from {deadline} if the work takes longer, else find out what it waited for",
         "raise activeDeadlineSeconds if the work takes longer, else find out what it waited for"),
        ("DeadlineExceeded",)),
    Rule("preempted", {At.POD: Category.PREEMPTED}, YES, YES,
        ("the pod was preempted for a pod of higher priority",),
        ("give it a higher priorityClassName, or add capacity to the cluster",),
        ("Preempting", "Preempted", "PreemptionByScheduler")),
    Rule("node-shutdown", {At.POD: Category.NODE_SHUTDOWN}, YES, YES,
        ("the node shut down and ended its pods",),
        ("nothing; delete the failed pod if you no longer need it (`kubectl delete pod -n {namespace} {pod}`)",),
        ("NodeShutdown", "Shutdown", "Terminated", "TerminationByKubelet")),
    Rule("rejected-resources", REJECTED, YES, YES,
        ("the node had not enough {resource} for the pod ({wanted} requested, {used} of {capacity} used)",
         "the node had not enough resources for the pod"),
        ("lower its request of {wanted} {resource}, or free resources on the node; if it sets nodeName, let the scheduler choose",
         "lower its requests, or free resources on the node; if it sets nodeName, let the scheduler choose"),
        ("OutOf*",),
        says=(r"OutOf(?:[^\n]*\n[^\n]*enough resource: (?P<resource>[a-z0-9./-]{1,253}), requested: (?P<wanted>[0-9]+), "
              r"used: (?P<used>[0-9]+), capacity: (?P<capacity>[0-9]+))?")),
    Rule("rejected-device", REJECTED, YES, PERHAPS,
        ("a device or resource plugin of the node could not provide what the pod requests",),
        ("check the plugin on the node (GPU, network): is it up, are its devices healthy? Then delete the pod to have it replaced",),
        ("UnexpectedAdmissionError", "TopologyAffinityError", "*ResourceFit*")),
    Rule("rejected-node", REJECTED, NO, NO,
        ("the node does not meet the pod's requirements ({reason})",),
        ("correct what {reason} names in the pod's spec or the node's labels and ports; without nodeName the scheduler checks them",),
        ("NodeAffinity", "MatchNodeSelector", "NodeName", "HostName", "NodePorts", "HostPortConflict", "PodFitsHost*", "PodOSNotSupported",
         "PodOSSelectorNodeLabelDoesNotMatch", "SysctlForbidden", "AppArmor", "Seccomp", "ProcMount", "TaintToleration", "InvalidNodeInfo",
         "*NotSupported")),
    Rule("node-lost", {At.POD: Category.UNKNOWN}, PERHAPS, PERHAPS,
        ("the node has not reported for a while, so the pod's status may be outdated",),
        ("check the node; the status is updated as soon as its kubelet reaches the API",),
        ("NodeLost", "NodeStatusUnknown")),
    Rule("pod-security-uid", REJECTED, NO, NO,
        ("a container is set to run as uid {uid}, which the constraint forbids: {low} to {high} are allowed",),
        (SECURITY_UID,),
        says=r"security context constraint[^\n]*" + UID_RANGE, facts=(facts.PENDING_OR_FAILED,)),
    Rule("pod-security", REJECTED, NO, NO,
        ("the cluster's security policy forbids the pod's securityContext",),
        ("reduce the securityContext as the message says, or have an administrator allow it for the pod's service account",),
        says=r"security context constraint|violates PodSecurity", facts=(facts.PENDING_OR_FAILED,)),
    Rule("pod-failed", {At.POD: Category.UNKNOWN}, PERHAPS, PERHAPS,
        ("the pod failed as a whole ({reason})",),
        (f"read the message, and see {DESCRIBE}",),
        facts=(facts.FAILED_POD, facts.HAS_REASON)),
    Rule("sandbox-oom", {At.SANDBOX: Category.OOM_SANDBOX}, NO, NO,
        ("the pod's sandbox is OOM-killed at the pod's memory limit of {pod_limit}, {kills} in an hour; without it no container starts",
         "the pod's sandbox is OOM-killed at the pod's memory limit, {kills} in an hour; without it no container starts"),
        ("raise the containers' memory limits, in sum {pod_limit}: the sandbox and each container's start need some MiB of it",
         "raise the containers' memory limits: the sandbox and each container's start need some MiB of their sum")),
    Rule("not-starting-sandbox", CREATING, PERHAPS, PERHAPS,
        ("no container has started for five minutes: the pod has no network yet, or a volume is not mounted",),
        (f"see the Events ({DESCRIBE}): FailedMount names a volume, FailedCreatePodSandBox the network plugin",),
        facts=(facts.NO_NETWORK,)),
    Rule("not-starting-image", CREATING, PERHAPS, PERHAPS,
        ("no container has started for five minutes, although the network is ready: an image pull is slow, or waits for others",),
        (f"see the Events ({DESCRIBE}) for the image; serializeImagePulls: false lets the kubelet pull several at once",),
        facts=(facts.HAS_NETWORK,)),
    Rule("not-starting", CREATING, PERHAPS, PERHAPS,
        ("no container has started for five minutes: the pod waits for a volume, the network or an image",),
        (f"see the Events: {DESCRIBE}",)),
)  # fmt: skip
