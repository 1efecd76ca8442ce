"""Rules for pods that have no node, do not start, or have a resize that is not done."""

from __future__ import annotations

from agent.diagnose import facts
from agent.diagnose.case import At
from agent.diagnose.rule import NO, PERHAPS, YES, Rule, Sure
from agent.model.diagnosis import Category

CREATING = {At.CREATING: Category.NOT_STARTING}
SCHEDULING = {At.SCHEDULING: Category.NOT_STARTING}
RESIZE = {At.RESIZE: Category.RESIZE}
DESCRIBE = "`kubectl describe pod -n {namespace} {pod}`"
SCHEDULER = "pkg/scheduler/framework/plugins: the reasons of the filters (1.25 to 1.36)"
RESIZING = "pkg/kubelet/allocation: canResizePod in allocation_manager.go, later in handlers.go (1.33 to 1.36)"
READY = "pkg/kubelet/status/generate.go: GeneratePodReadyToStartContainersCondition (1.28 to 1.36)"

PODS: tuple[Rule, ...] = (
    Rule("scheduling-gated", SCHEDULING, PERHAPS, NO,
        ("the pod has no node: its schedulingGates are not removed yet",),
        ("find what removes them: a controller (a queue such as Kueue) that is down, or that has no room for it yet",),
        ("SchedulingGated",), source="pkg/scheduler/framework/plugins/schedulinggates (1.26 to 1.36)"),
    Rule("scheduling-volume", SCHEDULING, PERHAPS, PERHAPS,
        ("the pod has no node: its volume claim {claim} does not exist", ("the pod has no node: a volume of it is not bound, or is in "
                                                                          "another zone")),
        ("create the claim {claim}, or correct its name; the scheduler then continues",
         "check the claims (`kubectl get pvc -n {namespace}`): storage class, capacity, and the zone of a volume that exists",),
        says=(r"persistentvolumeclaim \\?\"(?P<claim>[^\"\\\n]{1,253})\\?\" not found|unbound (?:immediate )?PersistentVolumeClaims|"
              r"volume node affinity conflict|find available persistent volumes|exceed max volume count"),
        source=SCHEDULER),
    Rule("scheduling-resources", SCHEDULING, PERHAPS, YES,
        ("the pod has no node: {number} of {nodes} nodes have too little {resource} for its requests",
         "the pod has no node: none has enough {resource} for its requests", "the pod has no node: none has room for its requests"),
        ("lower its request of {resource}, or add nodes; what counts is the sum of requests on a node, not its usage",
         "lower its requests, or add nodes; what counts is the sum of requests on a node, not its usage"),
        says=(r"(?:/(?P<nodes>[0-9]+) nodes are available[^\n]*?(?P<number>[0-9]+) |predicates[^\n]*?)"
              r"(?:Insufficient (?P<resource>[a-z0-9./-]{0,252}[a-z0-9])|Too many pods)"),
        source=SCHEDULER),
    Rule("scheduling-affinity", SCHEDULING, PERHAPS, PERHAPS,
        ("the pod has no node: none matches its nodeSelector, affinity, spread constraints or ports",),
        ("compare the pod's nodeSelector and affinity with the nodes' labels (`kubectl get nodes --show-labels`)",),
        says=r"affinity|MatchNodeSelector|selector|topology spread|free ports|PodFitsHostPorts|didn't match|didn't have", source=SCHEDULER),
    Rule("scheduling-taint", SCHEDULING, PERHAPS, PERHAPS,
        ("the pod has no node: they have taints that it does not tolerate",),
        ("add a toleration, or see why the nodes are tainted or cordoned (`kubectl describe node`)",),
        says=r"untolerated taint|had taint|PodToleratesNodeTaints|were unschedulable", source=SCHEDULER),
    Rule("scheduling-other", SCHEDULING, PERHAPS, PERHAPS,
        ("the pod has no node: the scheduler found none that fits",),
        ("read the message: it has the number of nodes for each reason",),
        says=r"nodes are available|no nodes available|failed to fit in any node", source=SCHEDULER),
    Rule("scheduling-kubelet", SCHEDULING, PERHAPS, PERHAPS,
        ("the pod has a node, but its kubelet has not looked at the pod for five minutes",),
        ("check the node (`kubectl get nodes`): its kubelet is down, or does not reach the API",),
        facts=(facts.HAS_NODE,), sure=Sure.LIKELY, source="status.startTime is set by pkg/kubelet/status/status_manager.go"),
    Rule("scheduling", SCHEDULING, PERHAPS, PERHAPS,
        ("the pod has had no node for five minutes, and no scheduler says why",),
        ("check its schedulerName, and that this scheduler runs; then see the Events: " + DESCRIBE,), sure=Sure.OPEN,
        source="pkg/scheduler/schedule_one.go: handleSchedulingFailure (1.25 to 1.36)"),
    Rule("sandbox-oom", {At.SANDBOX: Category.OOM_SANDBOX}, NO, NO,
        ("the pod's sandbox is OOM-killed at the pod's memory limit of {pod_limit}, {kills} in an hour; without it no container starts",
         "the pod's sandbox is OOM-killed at the pod's memory limit, {kills} in an hour; without it no container starts"),
        ("raise the containers' memory limits, in sum {pod_limit}: the sandbox and each container's start need some MiB of it",
         "raise the containers' memory limits: the sandbox and each container's start need some MiB of their sum"),
        sure=Sure.SEEN, source="this node's kill counters and kernel log"),
    Rule("not-starting-sandbox", CREATING, PERHAPS, PERHAPS,
        ("no container has started for five minutes: the pod has no network yet, or a volume is not mounted",),
        (f"see the Events ({DESCRIBE}): FailedMount names a volume, FailedCreatePodSandBox the network plugin",),
        facts=(facts.NO_NETWORK,), sure=Sure.LIKELY, source=READY),
    Rule("not-starting-image", CREATING, PERHAPS, PERHAPS,
        ("no container has started for five minutes, although the network is ready: an image pull is slow, or waits for others",),
        (f"see the Events ({DESCRIBE}) for the image; serializeImagePulls: false lets the kubelet pull several at once",),
        facts=(facts.HAS_NETWORK,), sure=Sure.LIKELY, source=READY),
    Rule("not-starting", CREATING, PERHAPS, PERHAPS,
        ("no container has started for five minutes: the pod waits for a volume, the network or an image",),
        (f"see the Events: {DESCRIBE}",), sure=Sure.OPEN, source="pkg/kubelet/kubelet_pods.go: convertToAPIContainerStatuses"),
    Rule("resize-infeasible", RESIZE, NO, NO,
        ("the pod's resize can never be done on this node: it asks for {wanted_amount} {resource}, and the node has {capacity}",
         "the pod's resize can never be done on this node"),
        ("ask for less than {capacity}, or {replace}, so that it is placed on a larger node",
         "the message says what forbids it, such as a static CPU or memory policy: {replace} with the new resources"),
        ("Infeasible",), says=r"(?:capacity: (?P<resource>[a-z]+), requested: (?P<wanted_amount>[0-9]+), capacity: (?P<capacity>[0-9]+))?$",
        source=RESIZING),
    Rule("resize-deferred", RESIZE, YES, YES,
        ("the pod's resize waits for room on the node: {wanted_amount} {resource} requested, {used} of {capacity} used",
         "the pod's resize waits for room on the node"),
        ("free {resource} on the node, or {replace}, so that it is placed where there is room",
         "free resources on the node, or {replace}, so that it is placed where there is room"),
        ("Deferred",),
        says=(r"(?:resource: (?P<resource>[a-z]+), requested: (?P<wanted_amount>[0-9]+), used: (?P<used>[0-9]+), capacity: "
              r"(?P<capacity>[0-9]+))?$"),
        source=RESIZING),
    Rule("resize-failed", RESIZE, PERHAPS, PERHAPS,
        ("the pod's resize is accepted, but was not applied: an error, which the kubelet retries",),
        ("read the message: a new memory limit below the usage is refused; else {replace}",),
        ("Error",), source="pkg/kubelet/kuberuntime/kuberuntime_manager.go: doPodResizeAction (1.33 to 1.36)"),
    Rule("resize-in-progress", RESIZE, YES, YES,
        ("the pod's resize is accepted, and being applied",),
        ("wait; if it lasts, see the kubelet's log, or {replace}",), source=RESIZING),
)  # fmt: skip
