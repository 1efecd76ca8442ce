"""Rules for pods that the kubelet of their node refused (phase Failed, no container was started)."""

from __future__ import annotations

from agent.diagnose import facts
from agent.diagnose.case import At
from agent.diagnose.rule import NO, PERHAPS, YES, Rule, Sure
from agent.model.diagnosis import Category

REJECTED = {At.POD: Category.REJECTED}
UID_RANGE = r"runAsUser: Invalid value: (?P<uid>[0-9]+): must be in the ranges: \[(?P<low>[0-9]+), (?P<high>[0-9]+)\]"
SECURITY_UID = (
    "remove runAsUser: {uid}, so that the platform picks a uid, or use one of {low} to {high}; else bind the pod's service "
    "account to a constraint that allows it"
)
PREDICATE = "pkg/kubelet/lifecycle/predicate.go: Admit (1.25 to 1.36)"
DEVICES = "pkg/kubelet/cm/devicemanager/manager.go: devicesToAllocate, allocateContainerResources (1.25 to 1.36)"
TOPOLOGY = "pkg/kubelet/cm/topologymanager/topology_manager.go (1.25 to 1.36)"
SCC = "openshift/apiserver-library-go: SecurityContextConstraints"
AGAIN = "to have it tried again, {replace}"

ADMISSION: tuple[Rule, ...] = (
    Rule("rejected-pods", REJECTED, YES, YES,
        ("the node had its maximum number of pods ({used} of {capacity})", "the node had its maximum number of pods"),
        (("run fewer pods on the node, or raise maxPods in the kubelet's configuration (and the node's range of pod addresses); "
          "if the pod sets nodeName, let the scheduler choose"),),
        ("OutOfpods",), says=r"OutOfpods(?:[^\n]*\n[^\n]*requested: [0-9]+, used: (?P<used>[0-9]+), capacity: (?P<capacity>[0-9]+))?",
        source=PREDICATE),
    Rule("rejected-resources", REJECTED, YES, YES,
        ("the node had not enough {resource} for the pod ({wanted} requested, {used} of {capacity} used)",
         "the node had not enough resources for the pod"),
        ("lower its request of {wanted} {resource}, or free resources on the node; if it sets nodeName, let the scheduler choose",
         "lower its requests, or free resources on the node; if it sets nodeName, let the scheduler choose"),
        ("OutOf*", "*ResourceFit*", "NodeResourcesFit"),
        says=(r"(?:enough resource: (?P<resource>[a-z0-9./-]{1,253}), requested: (?P<wanted>[0-9]+), "
              r"used: (?P<used>[0-9]+), capacity: (?P<capacity>[0-9]+))?$"),
        source=PREDICATE),
    Rule("rejected-full", REJECTED, YES, YES,
        (("the node was full ({missing} more {resource} needed for this critical pod), and the kubelet found no pod that it may end to "
          "make room"),
         "the node was full, and the kubelet found no pod that it may end to make room"),
        ("free {resource} on the node (the number of pods is maxPods); " + AGAIN, "free resources on the node; " + AGAIN),
        ("UnexpectedAdmissionError",),
        says=r"recover from admission failure: preemption(?:[^\n]*\[\(res: (?P<resource>[a-z0-9./-]{1,253}), q: (?P<missing>[0-9]+)\))?",
        source="pkg/kubelet/preemption/preemption.go: getPodsToPreempt (1.25 to 1.36)"),
    Rule("rejected-topology", REJECTED, PERHAPS, PERHAPS,
        ("the node could not place the pod's CPUs, memory or devices on the NUMA nodes that its Topology Manager policy asks for",),
        ("request what fits on one NUMA node, free exclusive CPUs, hugepages or devices there, or relax topologyManagerPolicy; " + AGAIN,),
        ("TopologyAffinityError", "Topology Affinity Error"), source=TOPOLOGY),
    Rule("rejected-smt", REJECTED, NO, NO,
        ("the pod requests {wanted} exclusive CPUs, but this node gives out whole cores of {threads} threads",
         "the node has {free} of the {asked} whole cores free that the pod needs",
         "the pod's exclusive CPUs are not a multiple of the threads per core, which this node requires"),
        ("request a multiple of {threads} CPUs, or remove full-pcpus-only from the node's cpuManagerPolicyOptions",
         "request whole cores, or remove full-pcpus-only from the node's cpuManagerPolicyOptions"),
        ("SMTAlignmentError", "SMT Alignment Error"),
        says=r"(?:requested (?P<wanted>[0-9]+) cpus not multiple cpus per core = (?P<threads>[0-9]+)|"
             r"available physical CPUs = (?P<free>[0-9]+), requested CPUs = (?P<asked>[0-9]+)[^\n]*)?$",
        source="pkg/kubelet/cm/cpumanager/policy_static.go: SMTAlignmentError (1.22 to 1.36)"),
    Rule("rejected-device", REJECTED, YES, PERHAPS,
        ("the node had too few healthy devices {device}: {wanted} requested, {free} available",
         "the node's devices {device} are not registered or not healthy", ("a device plugin of the node could not provide what the pod "
                                                                           "requests")),
        ("check the plugin of {device} on the node: is it up, are its devices healthy, did the kubelet restart before it? Then {replace}",
         "check the device plugin on the node (GPU, network): is it up, are its devices healthy? Then {replace}"),
        ("UnexpectedAdmissionError",),
        says=(r"number of devices unavailable for (?P<device>[a-z0-9./-]{1,253}?)\. Requested: ?(?P<wanted>[0-9]+), Available: "
              r"?(?P<free>[0-9]+)|"
              r"device ?plugin|unregistered device|unhealthy devices|devices? unavailable|Allocate failed due to rpc error|nvml"),
        source=DEVICES),
    Rule("rejected-cpus", REJECTED, YES, YES,
        ("the node had too few exclusive CPUs or too little memory of a NUMA node for the pod",),
        ("free exclusive CPUs or hugepages on the node (the static policies of its CPU and Memory Manager give them out); " + AGAIN,),
        ("UnexpectedAdmissionError",), says=r"not enough cpus available|memory ?manager|not enough memory|preferred hint",
        source="pkg/kubelet/cm/cpumanager/policy_static.go, memorymanager/policy_static.go (1.25 to 1.36)"),
    Rule("rejected-unexpected", REJECTED, PERHAPS, PERHAPS,
        ("the kubelet could not admit the pod, for a reason that it did not expect",),
        ("read the message and the kubelet's log on the node; " + AGAIN,),
        ("UnexpectedAdmissionError", "UnexpectedPredicateFailureType", "UnknownReason", "InvalidNodeInfo"), source=PREDICATE),
    Rule("rejected-ports", REJECTED, YES, YES,
        ("another pod of the node has a host port that this pod asks for",),
        ("use other hostPorts or none, or keep such pods apart; without nodeName the scheduler does; " + AGAIN,),
        ("NodePorts", "HostPortConflict", "PodFitsHostPorts"), source=PREDICATE),
    Rule("rejected-affinity", REJECTED, PERHAPS, PERHAPS,
        ("the node's labels do not match the pod's nodeSelector or node affinity (any more)",),
        ("correct the node's labels or the pod's nodeSelector and affinity; right after a reboot the labels can be late: then {replace}",),
        ("NodeAffinity", "MatchNodeSelector"), source=PREDICATE),
    Rule("rejected-taint", REJECTED, PERHAPS, PERHAPS,
        ("the node has a taint that the pod does not tolerate",),
        ("add a toleration, or remove the taint (`kubectl describe node`); " + AGAIN,),
        ("TaintToleration", "PodToleratesNodeTaints"), source=PREDICATE),
    Rule("rejected-node", REJECTED, NO, NO,
        ("the node does not meet the pod's requirements ({reason})",),
        ("correct what {reason} names in the pod's spec or the node's configuration; without nodeName the scheduler picks a node",),
        ("NodeName", "HostName", "PodFitsHost", "PodOSNotSupported", "PodOSSelectorNodeLabelDoesNotMatch", "SysctlForbidden", "AppArmor",
         "Seccomp", "ProcMount", "NoNewPrivs", "InitContainerRestartPolicyForbidden", "*NotSupported", "*Unsupported"), source=PREDICATE),
    Rule("pod-security-uid", REJECTED, NO, NO,
        ("a container is set to run as uid {uid}, which the constraint forbids: {low} to {high} are allowed",),
        (SECURITY_UID,),
        says=r"security context constraint[^\n]*" + UID_RANGE, facts=(facts.PENDING_OR_FAILED,), source=SCC),
    Rule("pod-security", REJECTED, NO, NO,
        ("the cluster's security policy forbids the pod's securityContext",),
        ("reduce the securityContext as the message says, or have an administrator allow it for the pod's service account",),
        says=r"security context constraint|violates PodSecurity", facts=(facts.PENDING_OR_FAILED,), source=SCC),
    Rule("pod-failed", {At.POD: Category.UNKNOWN}, PERHAPS, PERHAPS,
        ("the pod failed as a whole ({reason})",),
        ("read the message, and see `kubectl describe pod -n {namespace} {pod}`",),
        facts=(facts.FAILED_POD, facts.HAS_REASON), sure=Sure.OPEN),
)  # fmt: skip
