"""Rules for pods that were ended as a whole: evictions, preemption, deadlines, shutdowns and lost nodes."""

from __future__ import annotations

from agent.diagnose import facts
from agent.diagnose.case import At
from agent.diagnose.rule import NO, PERHAPS, YES, Rule
from agent.model.diagnosis import Category

EVICTED = {At.POD: Category.EVICTED}
PREEMPTED = {At.POD: Category.PREEMPTED}
SHUTDOWN = {At.POD: Category.NODE_SHUTDOWN}
LOST = {At.POD: Category.UNKNOWN}
BY_KUBELET = ("Evicted", "TerminationByKubelet")  # the second if only the condition DisruptionTarget is left
NUMBER = r"[0-9.]*[0-9][a-z]*"
OWN_LIMIT = (
    rf"container (?P<filler>\S{{1,253}}) exceeded its local ephemeral storage limit \"?(?P<most>{NUMBER})"
    rf"|usage exceeds the total limit of containers (?P<total>{NUMBER})"
    rf"|EmptyDir volume \"(?P<volume>[^\"\n]{{1,253}})\" exceeds the limit \"(?P<size>{NUMBER})"
)
DELETE = "nothing; delete the failed pod if you no longer need it (`kubectl delete pod -n {namespace} {pod}`)"
MAKE_AGAIN = "create the pod again, best by a Deployment or a Job: nothing replaces a pod without a controller"
AFTER = (
    "{owner} replaces the pod; delete this one if you no longer need it (`kubectl delete pod -n {namespace} {pod}`)",
    MAKE_AGAIN,
)
EVICTION = "pkg/kubelet/eviction/helpers.go: evictionMessage, and eviction_manager.go: evictPod (1.25 to 1.36)"
LOCAL = "pkg/kubelet/eviction/eviction_manager.go: localStorageEviction (1.25 to 1.36)"
MANAGER = "pkg/kubelet/nodeshutdown/nodeshutdown_manager.go (1.21 to 1.36)"

EVICTIONS: tuple[Rule, ...] = (
    Rule("evicted-memory", EVICTED, YES, YES,
        ("the node ran short of memory, and the kubelet evicted the pod; container {culprit} used {used} with a request of {request}",
         "the node ran short of memory, and the kubelet evicted the pod"),
        ("set the memory request of container {culprit} to {enough} or more, not {request}: then the scheduler picks a node with room",
         "find what fills the node's memory: this pod used only {little}; set memory requests to what pods use",
         "set memory requests to what the pod uses: pods above their requests are evicted first"),
        BY_KUBELET, says=r"low on (?:resource: (?:\[?memory|allocatableMemory)|compute resources)|condition: \[?MemoryPressure",
        source=EVICTION),
    Rule("evicted-own-storage", EVICTED, NO, NO,
        ("container {filler} wrote more than its ephemeral-storage limit of {most}, and the pod was evicted",
         "the pod wrote more than the ephemeral-storage limits of its containers, {total}, and was evicted",
         "volume {volume} grew beyond its sizeLimit of {size}, and the pod was evicted",
         "the pod exceeded its limit of local storage and was evicted"),
        ("raise the ephemeral-storage limit of container {filler} from {most}, or write less, or write to a volume",
         "raise the ephemeral-storage limits from {total}, or write less, or write to a volume",
         "raise the sizeLimit of volume {volume} from {size}, or store less in it",
         "raise the limit, or write less, or write to a volume"),
        BY_KUBELET, says=OWN_LIMIT, source=LOCAL),
    Rule("evicted-disk", EVICTED, YES, YES,
        ("the node ran short of disk, and the kubelet evicted the pod; container {culprit} used {used} with a request of {request}",
         "the node ran short of disk or inodes, and the kubelet evicted the pod"),
        ("set the ephemeral-storage request of container {culprit} to {enough} or more instead of {request}, or write less",
         "find what fills the node's disk (images, logs, other pods): this pod used only {little}",
         "remove images and logs on the node, or give it more disk; set ephemeral-storage requests and limits"),
        BY_KUBELET, says=(r"low on resource: \[?(?:ephemeral-storage|inodes|nodefs|imagefs|containerfs|DiskPressure)|"
                          r"condition: \[?DiskPressure"),
        source=EVICTION),
    Rule("evicted-pids", EVICTED, YES, YES,
        ("the node ran short of process IDs, and the kubelet evicted the pod",),
        ("find what creates the processes; podPidsLimit in the kubelet's configuration limits each pod",),
        BY_KUBELET, says=r"low on resource: \[?pids|condition: \[?PIDPressure", source=EVICTION),
    Rule("evicted-api", EVICTED, YES, YES,
        ("the pod was evicted through the API: a drain, an autoscaler or the descheduler",),
        AFTER, ("EvictionByEvictionAPI",), source="pkg/registry/core/pod/storage/eviction.go: addConditionAndDeletePod (1.26 to 1.36)"),
    Rule("evicted-taint", EVICTED, YES, YES,
        ("the node got a taint that the pod does not tolerate, most often because the node was not ready",),
        ("check why the node was tainted (`kubectl describe node`); tolerationSeconds set how long a pod stays",),
        ("DeletionByTaintManager",), source="pkg/controller/tainteviction/taint_eviction.go: addConditionAndDeletePod (1.26 to 1.36)"),
    Rule("evicted-node-gone", EVICTED, YES, YES,
        ("the pod's node no longer exists, or is out of service",), AFTER,
        ("DeletionByPodGC",), source="pkg/controller/podgc/gc_controller.go (1.26 to 1.36)"),
    Rule("evicted", EVICTED, PERHAPS, PERHAPS,
        ("the pod was evicted",),
        ("read the message; `kubectl describe node` shows the node's pressure conditions",),
        ("Evicted",), source=EVICTION),
    Rule("deadline", {At.POD: Category.DEADLINE}, NO, PERHAPS,
        ("the pod ran longer than its activeDeadlineSeconds of {deadline}, and was ended",
         "the pod ran longer than its activeDeadlineSeconds, and was ended"),
        ("raise activeDeadlineSeconds from {deadline} if the work takes longer, else find out what it waited for",
         "raise activeDeadlineSeconds if the work takes longer, else find out what it waited for"),
        ("DeadlineExceeded",), source="pkg/kubelet/active_deadline.go: ShouldEvict (1.25 to 1.36)"),
    Rule("preempted", PREEMPTED, YES, YES,
        ("the pod was preempted for a pod of higher priority",),
        ("give it a higher priorityClassName, or add capacity to the cluster",),
        ("Preempting", "Preempted", "PreemptionByScheduler", "TerminationByKubelet"), says=r"preempt",
        source="pkg/kubelet/preemption/preemption.go: evictPodsToFreeRequests; scheduler's PreemptionByScheduler (1.25 to 1.36)"),
    Rule("node-shutdown", SHUTDOWN, YES, YES,
        ("the node shut down and ended its pods",), (DELETE,),
        ("NodeShutdown", "Shutdown", "Terminated", "TerminationByKubelet"), says=r"shut|\bTerminated\b", source=MANAGER),
    Rule("ended-by-kubelet", {At.POD: Category.EVICTED}, PERHAPS, PERHAPS,
        ("the kubelet ended the pod",),
        ("read the message; `kubectl describe node` shows the node's pressure conditions",),
        ("TerminationByKubelet",), source=EVICTION),
    Rule("node-lost", LOST, PERHAPS, PERHAPS,
        ("the node has not reported for a while, so the pod's status may be outdated",),
        ("check the node; the status is updated as soon as its kubelet reaches the API",),
        ("NodeLost", "NodeStatusUnknown"), source="pkg/controller/util/node/controller_utils.go: SetPodTerminationReason (until 1.33)"),
    Rule("restarting-all", {At.POD: Category.RESTARTED}, YES, YES,
        ("the kubelet restarts all containers of the pod: one ended with an exit code for which its restartPolicyRules ask for it",),
        ("see which container ended and why (`kubectl describe pod -n {namespace} {pod}`): the others were ended for it",),
        facts=(facts.RESTARTING_ALL,),
        source="pkg/kubelet/status/generate.go: GenerateAllContainersRestartingCondition (1.35 and newer)"),
)  # fmt: skip
