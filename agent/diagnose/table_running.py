"""Rules for running containers: those that lost a process, were restarted, or are not ready."""

from __future__ import annotations

from agent.diagnose import facts
from agent.diagnose.case import At
from agent.diagnose.rule import NO, PERHAPS, YES, Rule, Sure
from agent.diagnose.table_ends import (
    CODES,
    CONTAINERD,
    DIED,
    LOST,
    MORE_TIME,
    NODE,
    PROBES,
    PROGRAM,
    RAISE,
    REBOOT,
    RESTART,
)
from agent.diagnose.table_pods import DESCRIBE
from agent.model.diagnosis import Category

RESTARTED = {At.RUNNING: Category.RESTARTED}
NOT_READY = {At.RUNNING: Category.NOT_READY}
AGAIN = "{who} is running again (restart {restarts}); the previous instance "
PROBE = "pkg/kubelet/prober: results are in the status, causes only in Events (1.25 to 1.36)"

RUNNING: tuple[Rule, ...] = (
    Rule("running-node-oom", {At.RUNNING: Category.NODE_OOM}, YES, YES,
        ("{who} lost a process because {shortage}; it is still running, perhaps only in part",
         "{who} lost a process because the node, or all pods together, ran out of memory; it is still running, perhaps only in part"),
        NODE, facts=(facts.ALIVE_AFTER_KILL, facts.LAST_NOT_ITS_OWN), sure=Sure.SEEN, source=DIED),
    Rule("running-oom", {At.RUNNING: Category.OOM_PROCESS}, NO, PERHAPS,
        ("{who} lost a process ({victim}) at {its_limit}; it is still running, perhaps only in part",
         "{who} lost a process at {its_limit}; it is still running, perhaps only in part",
         "{who} lost a process ({victim}) to an OOM kill (which limit was hit is not known); it is still running, perhaps only in part",
         "{who} lost a process to an OOM kill (which limit was hit is not known); it is still running, perhaps only in part"),
        tuple(text + RESTART for text in RAISE), facts=(facts.ALIVE_AFTER_KILL,), sure=Sure.SEEN, source=DIED),
    Rule("running-after-node-oom", {At.RUNNING: Category.NODE_OOM}, YES, YES,
        (AGAIN + "was OOM-killed because {shortage}",
         AGAIN + "was OOM-killed because the node, or all pods together, ran out of memory"),
        NODE, facts=(facts.RESTARTED, facts.NODE_OOM), sure=Sure.SEEN, source=DIED),
    Rule("running-after-oom-no-limit", {At.RUNNING: Category.OOM_CONTAINER}, PERHAPS, PERHAPS,
        (AGAIN + ("was OOM-killed without a memory limit of its own or of the pod: most likely the node, or all pods together, ran out of "
                  "memory"),),
        NODE[-1:], facts=(facts.RESTARTED, facts.OOM, facts.NO_LIMIT), sure=Sure.LIKELY, source=CONTAINERD),
    Rule("running-after-child-oom", {At.RUNNING: Category.OOM_PROCESS}, NO, PERHAPS,
        (AGAIN + "lost a process ({victim}) to an OOM kill and then ended with code {exit_code}",
         AGAIN + "lost a process to an OOM kill and then ended with code {exit_code}"),
        RAISE, facts=(facts.RESTARTED, facts.OOM, facts.OOM_OF_CHILD), sure=Sure.LIKELY, source=DIED),
    Rule("running-after-oom", {At.RUNNING: Category.OOM_CONTAINER}, NO, PERHAPS,
        (AGAIN + "was OOM-killed: the pod reached its limit of {pod_limit}",
         AGAIN + "was OOM-killed: the pod reached a limit of {behind}",
         AGAIN + "was OOM-killed ({victim}): it reached its limit of {own_limit}",
         AGAIN + "was OOM-killed: it reached its limit of {own_limit}",
         AGAIN + "was OOM-killed; its limit is {limit}",
         AGAIN + "was OOM-killed"),
        RAISE, facts=(facts.RESTARTED, facts.OOM), source=CONTAINERD),
    Rule("running-init-long", {At.RUNNING: Category.NOT_STARTING}, PERHAPS, PERHAPS,
        ("the pod has not started, because {who} has been running for more than five minutes",),
        (("see what it does or waits for (`kubectl logs -n {namespace} {pod} -c {container}`): often a service, a DNS name or a migration "
          "that is not there yet"),),
        facts=(facts.INIT_LONG,), sure=Sure.LIKELY,
        source="pkg/kubelet/kuberuntime/kuberuntime_container.go: computeInitContainerActions (1.25 to 1.36)"),
    Rule("running-not-started", NOT_READY, PERHAPS, PERHAPS,
        ("{who} is running, but its startup probe has not succeeded for five minutes",),
        ("see its log (`kubectl logs -n {namespace} {pod} -c {container}`), and check the startup probe",),
        facts=(facts.NOT_STARTED_LONG,), source=PROBE),
    Rule("running-not-ready", NOT_READY, PERHAPS, PERHAPS,
        ("{who} is running, but has not been ready for a while: its {readiness} fails",
         "{who} is running, but has not been ready for a while"),
        ("see its log (`kubectl logs -n {namespace} {pod} -c {container}`), and check the {readiness}",
         "see its log (`kubectl logs -n {namespace} {pod} -c {container}`), and its probes if it has any"),
        facts=(facts.NOT_READY_LONG,), source=PROBE),
    Rule("running-after-unknown", RESTARTED, PERHAPS, YES,
        ("{who} is running again (restart {restarts}); how the previous instance ended is not known: the runtime found it gone",),
        (REBOOT,),
        facts=(facts.RESTARTED, facts.LOST_END), source=LOST),
    Rule("running-after-probe", RESTARTED, PERHAPS, PERHAPS,
        (AGAIN + "was ended by {signal} (exit code {exit_code}) without an OOM kill: most likely its liveness or startup probe failed",),
        (f"look for `probe failed` in the Events ({DESCRIBE}); then {MORE_TIME}",),
        facts=(facts.RESTARTED, facts.PROBED), sure=Sure.LIKELY, source=PROBES),
    Rule("running-after-end", RESTARTED, PERHAPS, PERHAPS,
        (AGAIN + "died from {signal} (exit code {exit_code}), and no OOM kill is known then",
         AGAIN + "ended with code {exit_code}"),
        ("find the cause in `kubectl logs -n {namespace} {pod} -c {container} --previous`",),
        facts=(facts.RESTARTED, facts.FAILED_END), source=CODES + "; " + PROGRAM),
)  # fmt: skip
