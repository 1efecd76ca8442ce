"""The diagnosis uses the node's own facts: kills that a status does not show, which limit was hit, and the numbers of the advice."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.diagnose import diagnose
from agent.diagnose.failing import Failing
from agent.diagnose.memory import manifest
from agent.metrics.metrics import Metrics
from agent.model import ContainerKind, ContainerUse, MemoryUse, OomKill, Outcome, Scope, Victim
from agent.model.diagnosis import Category, ContainerFacts, Diagnosis, NodeFacts
from agent.model.status import ContainerState, Phase
from tests.unit.diagnose.recorded import recorded

UID = "837f1b14-9cec-4f6f-8f5b-c89f5b397ca5"
MIB = 1 << 20
NOW = recorded("crash-loop-oom-kubelet-1.29").now_unix_s
LIVE = "running-alone-kubelet-1.29"
LOOPING = "crash-loop-oom-kubelet-1.29"


def kill(
    ago_s: float, scope: Scope | None = Scope.CONTAINER, outcome: Outcome | None = Outcome.DIED, **more: object
) -> OomKill:
    """One of container web, that many seconds ago."""
    made = OomKill(
        "boot", 7, int(ago_s), NOW - ago_s, "node-1", "kubepods/x", 1, "shop", "web-6c9f7d5b8-x2p4q", UID, "web", "c" * 64,
        (Victim(7, "worker"),), scope=scope, limit_bytes=256 * MIB, usage_bytes=256 * MIB, outcome=outcome,
    )  # fmt: skip
    return replace(made, **more)  # type: ignore[arg-type]


def the_one(name: str, *kills: OomKill, **facts: ContainerFacts) -> Diagnosis:
    (one,) = recorded(name).diagnoses(*kills, **facts)
    return one


def test_a_crash_loop_of_oom_says_limit_next_limit_and_how_often() -> None:
    kills = [kill(60.0 * n + 30) for n in range(7)]
    one = the_one(LOOPING, *kills)
    assert (one.category, one.rule) == (Category.CRASH_LOOP, "ended-oom")
    assert one.what == "container web was OOM-killed (worker): it reached its limit of 256Mi"
    assert one.advice == "raise the limit from 256Mi to 320Mi: 7 kills in an hour"


def test_how_much_the_killed_process_had_is_said_where_the_log_says_it() -> None:
    one = the_one(LOOPING, kill(30, victims=(Victim(8, "python3", anon_bytes=180 * MIB),)))
    assert one.what == "container web was OOM-killed (python3, 180Mi): it reached its limit of 256Mi"


def test_the_peak_of_the_instance_that_lost_a_process_is_given() -> None:
    facts = ContainerFacts(limit_bytes=256 * MIB, peak_bytes=250 * MIB)
    one = the_one(LIVE, kill(30, outcome=Outcome.SURVIVED), web=facts)
    assert one.advice == (
        "raise the limit from 256Mi to 320Mi: its peak was 250Mi with 1 kill in an hour; if it does not handle the loss of a process, "
        "restart it now"
    )


def test_a_restarted_containers_advice_has_the_killed_instances_numbers_and_not_its_own_peak() -> None:
    facts = ContainerFacts(limit_bytes=256 * MIB, peak_bytes=4 * MIB)
    one = the_one("running-after-oom-kubelet-1.29", kill(20), web=facts)
    assert one.what.endswith("the previous instance was OOM-killed (worker): it reached its limit of 256Mi")
    assert one.advice == "raise the limit from 256Mi to 320Mi: 1 kill in an hour"
    assert one.next_step.text == (
        "it keeps running; the kubelet restarted it by itself (restartPolicy Always), and does so after each such end"
    )


def test_a_limit_that_was_raised_since_the_kill_is_to_be_watched_and_not_raised_again() -> None:
    facts = ContainerFacts(limit_bytes=512 * MIB)
    one = the_one("running-after-oom-kubelet-1.29", kill(20), web=facts)
    assert one.advice == "see whether its limit of 512Mi is enough: the kill was at the earlier limit of 256Mi"


def test_a_kill_long_before_the_end_did_not_end_the_container() -> None:
    found = recorded(LOOPING)
    last = found.pod["status"]["containerStatuses"][0]["lastState"]["terminated"]
    last["startedAt"] = "2026-06-01T09:00:00Z"
    early = kill(3600, outcome=Outcome.SURVIVED)
    assert [one.rule for one in found.diagnoses(early)] == ["ended-oom-earlier"], (
        "OOMKilled of a kill that was survived"
    )
    assert [one.rule for one in found.diagnoses(replace(early, outcome=Outcome.DIED))] == ["ended-oom"]
    last |= {"reason": "Error", "exitCode": 1}
    assert [one.rule for one in found.diagnoses(early)] == ["ended-exit-code"]


def test_without_any_limit_an_oom_kill_is_most_likely_the_nodes() -> None:
    found = recorded(LOOPING)
    found.pod["spec"]["containers"][0]["resources"] = {}
    (one,) = found.diagnoses()
    assert one.rule == "ended-oom-no-limit"
    assert "raise" not in one.advice


@pytest.mark.parametrize(
    ("limit", "to"), [(64 * MIB, "96Mi"), (256 * MIB, "320Mi"), (1 << 30, "1280Mi"), (5153960729, "6Gi"), (1, "48Mi")]
)
def test_the_next_limit_is_a_quarter_more_and_round(limit: int, to: str) -> None:
    assert manifest(limit) == to


def test_where_the_pods_limit_was_hit_it_is_that_which_is_to_be_raised() -> None:
    one = the_one(LOOPING, kill(30, Scope.POD, limit_bytes=512 * MIB))
    assert one.what == "container web was OOM-killed: the pod reached its limit of 512Mi"
    assert (
        one.advice == "raise the pod's memory limit from 512Mi to 640Mi, which its containers share: 1 kill in an hour"
    )


def test_an_old_kill_at_a_lower_limit_of_the_pod_was_before_its_resize() -> None:
    old, new = (kill(ago, Scope.POD, limit_bytes=100 * MIB) for ago in (1200, 60))
    name = "running-after-oom-kubelet-1.29"
    found = recorded(name)
    found.pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["finishedAt"] = "2026-06-01T11:40:00Z"
    found.pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["startedAt"] = "2026-06-01T11:30:00Z"
    (one,) = found.diagnoses(replace(old, container_id=None))
    assert one.advice == "see whether its limit of 256Mi is enough: the kill was at the earlier limit of 100Mi"
    one = the_one(LOOPING, new)
    assert "kept a limit of 100Mi from before a resize" in one.advice
    assert one.what == "container web was OOM-killed: the pod reached a limit of 100Mi"


def test_a_limit_that_the_kernel_rounds_down_to_pages_is_no_pending_resize() -> None:
    found = recorded(LIVE)
    found.pod["spec"]["containers"][0]["resources"] = {"limits": {"memory": "268435457"}}
    (one,) = found.diagnoses(kill(30, outcome=Outcome.SURVIVED), web=ContainerFacts(limit_bytes=256 * MIB))
    assert one.advice.startswith("raise the limit from 256Mi to 320Mi")


def test_a_limit_that_was_lowered_since_the_kill_is_raised_above_it() -> None:
    found = recorded(LOOPING)
    found.pod["spec"]["containers"][0]["resources"]["limits"]["memory"] = "128Mi"
    (one,) = found.diagnoses(kill(30))
    assert one.advice == "raise its limit of 128Mi to 320Mi: the kill was at the earlier limit of 256Mi"


@pytest.mark.parametrize("scope", [Scope.NODE, Scope.KUBEPODS])
def test_out_of_the_nodes_memory_is_not_the_containers_own_doing(scope: Scope) -> None:
    one = the_one(LOOPING, kill(30, scope))
    assert (one.category, one.rule, one.transient.value) == (Category.NODE_OOM, "ended-node-oom", "yes")
    assert one.advice.startswith("run less on the node")
    assert one.advice.endswith(": 1 kill in an hour")


@pytest.mark.parametrize(
    ("scope", "why", "advice"),
    [
        (Scope.NUMA, "a NUMA node or cpuset of the node ran out of memory", "let it use more of the node's NUMA nodes"),
        (Scope.SYSRQ, "somebody asked the kernel for an OOM kill (sysrq f)", "ask who wrote f to /proc/sysrq-trigger"),
    ],
)
def test_a_kill_at_no_limit_names_its_cause_and_who_can_help(scope: Scope, why: str, advice: str) -> None:
    one = the_one(LOOPING, kill(30, scope))
    assert (one.category, one.rule) == (Category.NODE_OOM, "ended-node-oom")
    assert f"was OOM-killed because {why}: this was not its fault" in one.what
    assert one.advice.startswith(advice)
    lost = the_one(LIVE, kill(30, scope, Outcome.SURVIVED))
    assert (lost.rule, why in lost.what, lost.advice.startswith(advice)) == ("running-node-oom", True, True)


def test_137_and_a_kill_that_the_node_saw_is_an_oom_kill_though_the_runtime_did_not_notice() -> None:
    name = "crash-loop-oom-no-reason-containerd-1.5"
    assert the_one(name).rule == "ended-signal"
    assert the_one(name, kill(5)).rule == "ended-oom"
    assert the_one(name, kill(5, container_id="d" * 64)).rule == "ended-signal", "a kill in another instance"
    assert the_one(name, kill(5, container_id=None)).rule == "ended-oom", "by the time when no id is known"
    assert the_one(name, kill(900, container_id=None)).rule == "ended-signal", "long before it began"
    assert the_one(name, kill(5, pod_uid="another")).rule == "ended-signal"
    assert the_one(name, kill(5, container="helper")).rule == "ended-signal"


def test_a_container_that_lost_a_process_and_runs_on_may_be_half_dead() -> None:
    one = the_one(LIVE, kill(30, outcome=Outcome.SURVIVED))
    assert (one.category, one.rule, one.next_step.will.value) == (Category.OOM_PROCESS, "running-oom", "runs")
    assert (
        one.what
        == "container web lost a process (worker) at its memory limit; it is still running, perhaps only in part"
    )
    assert "is not restarted" in one.next_step.text


@pytest.mark.parametrize(
    ("scope", "to"),
    [(Scope.POD, "at its pod's memory limit"), (None, "to an OOM kill (which limit was hit is not known)")],
)
def test_a_process_lost_to_another_limit_or_an_unknown_one_is_not_reported_as_lost_to_the_containers(
    scope: Scope | None, to: str
) -> None:
    one = the_one(LIVE, kill(30, scope, Outcome.SURVIVED))
    assert one.rule == "running-oom"
    assert one.what == f"container web lost a process (worker) {to}; it is still running, perhaps only in part"
    bare = the_one(LIVE, kill(30, scope, Outcome.SURVIVED, victims=()))
    assert bare.what == f"container web lost a process {to}; it is still running, perhaps only in part"


def test_a_process_lost_to_the_nodes_memory_is_distinguished() -> None:
    one = the_one(LIVE, kill(30, Scope.NODE, Outcome.SURVIVED))
    assert (one.category, one.rule) == (Category.NODE_OOM, "running-node-oom")


@pytest.mark.parametrize(
    ("lost", "why"),
    [
        (kill(3700, outcome=Outcome.SURVIVED), "more than an hour ago"),
        (kill(30, outcome=Outcome.DIED), "the container died of it: that is the instance before"),
        (kill(30, outcome=Outcome.SURVIVED, container="helper"), "another container's"),
    ],
)
def test_what_says_nothing_of_the_instance_that_runs_is_passed_over(lost: OomKill, why: str) -> None:
    assert recorded(LIVE).diagnoses(lost) == (), why


def test_which_instance_lost_a_process_goes_by_its_id_before_the_clock() -> None:
    found = recorded(LIVE)
    web = found.pod["status"]["containerStatuses"][0]
    web["containerID"] = f"containerd://{'c' * 64}"
    web["state"]["running"]["startedAt"] = "2026-06-01T12:00:00Z"
    assert [one.rule for one in found.diagnoses(kill(30, outcome=Outcome.SURVIVED))] == ["running-oom"]
    assert found.diagnoses(kill(30, outcome=Outcome.SURVIVED, container_id="d" * 64)) == ()
    assert found.diagnoses(kill(30, outcome=Outcome.SURVIVED, container_id=None)) == (), "by the clock it was before"


def test_a_restart_after_an_oom_kill_is_reported_for_an_hour() -> None:
    found = recorded("running-after-oom-kubelet-1.29")
    (one,) = found.diagnoses(kill(20, Scope.NODE))
    assert (one.category, one.rule) == (Category.NODE_OOM, "running-after-node-oom")
    status = found.parsed
    assert diagnose(status, (), NodeFacts(found.now_unix_s + 3500))[0].rule == "running-after-oom"
    assert diagnose(status, (), NodeFacts(found.now_unix_s + 3700)) == ()


def test_which_process_of_several_was_lost_is_said() -> None:
    one = the_one("crash-loop-oom-of-a-child-containerd-1.7", kill(31, victims=(Victim(8, "evil\x1b[31m"),)))
    assert (
        one.what
        == "a process of container web (evil\\x1b[31m) was OOM-killed, and then the container ended with code 1"
    )


def test_a_killed_init_container_is_still_reported_as_oom_killed() -> None:
    status = recorded("ended-oom-never-kubelet-1.29").parsed
    (web,) = status.containers
    (one,) = diagnose(replace(status, containers=(replace(web, kind=ContainerKind.INIT),)), (), NodeFacts(NOW))
    assert (one.category, one.kind) == (Category.OOM_CONTAINER, ContainerKind.INIT)


def test_a_state_without_times_is_matched_to_no_kill() -> None:
    status = recorded(LOOPING).parsed
    (web,) = status.containers
    ended = ContainerState(Phase.TERMINATED, exit_code=137)
    bare = replace(web, previous_id=None, status=replace(web.status, last=ended))
    (one,) = diagnose(replace(status, containers=(bare,)), [kill(5, container_id=None)], NodeFacts(NOW))
    assert one.rule == "ended-signal"


STARTING = "starting-kubelet-1.29"


@pytest.mark.parametrize("known", [True, False], ids=["known to be the sandbox", "no container was ever started"])
def test_a_sandbox_that_is_killed_again_and_again_is_said_with_what_to_do(known: bool) -> None:
    """A memory limit of 200Ki: no container ever starts, and its status only says ContainerCreating."""
    of = recorded(STARTING)
    assert of.diagnoses() == ()
    kills = [
        replace(
            kill(10.0 * n, Scope.POD, container=None, container_id=f"{n:064x}", limit_bytes=200 << 10, sandbox=known),
            pod_uid=of.parsed.uid,
            at_unix_s=of.now_unix_s - 10.0 * n,
        )
        for n in range(3)
    ]
    (one,) = of.diagnoses(*kills)
    assert (one.rule, one.category, one.container, one.retry_helps) == ("sandbox-oom", "OOMKilledSandbox", None, "no")
    assert one.what == (
        "the pod's sandbox is OOM-killed at the pod's memory limit of 200Ki, 3 kills in an hour; without it no container starts"
    )
    assert one.advice == (
        "raise the containers' memory limits, in sum 200Ki: the sandbox and each container's start need some MiB of it"
    )
    assert of.diagnoses(*(replace(one, scope=Scope.NODE) for one in kills)) == (), "that is not its limit"
    assert of.diagnoses(*(replace(one, container="web", sandbox=False) for one in kills)) == ()


def test_a_kill_in_a_sandbox_whose_containers_run_is_no_reason_not_to_start() -> None:
    assert recorded(LIVE).diagnoses(kill(30, Scope.POD, container=None, sandbox=True)) == ()


def test_a_container_without_a_limit_that_died_of_the_nodes_shortage_is_not_cleared_and_is_advised_to_get_one() -> None:
    of = recorded(LOOPING)
    (limited,) = of.diagnoses(kill(30, Scope.NODE))
    assert "this was not its fault" in limited.what
    pod = of.parsed
    unlimited = replace(pod, containers=tuple(replace(one, limit_bytes=None) for one in pod.containers))
    (one,) = diagnose(unlimited, [kill(30, Scope.NODE)], NodeFacts(of.now_unix_s))
    assert one.rule == "ended-node-oom"
    assert "fault" not in one.what
    assert one.advice == "set a memory limit for it: it has none, so it may use all memory of the node"


def test_the_advice_in_a_kills_event_is_about_the_limit_that_it_hit() -> None:
    """Not about that of a newer kill, and not about a crash loop of another cause."""
    of = recorded(LIVE)
    failing = Failing(Metrics("1", process_metrics=False), lambda: of.now_unix_s, ())
    failing.put(of.parsed)
    own = kill(60, Scope.CONTAINER, Outcome.SURVIVED)
    failing.settled(own)
    assert (failing.advice(own) or "").startswith("raise the limit from 256Mi")
    nodes = kill(30, Scope.NODE, Outcome.SURVIVED, limit_bytes=None)
    failing.settled(nodes)
    assert (failing.advice(nodes) or "").startswith("run less on the node")
    assert failing.advice(own) is None


CACHE = MemoryUse(20 * MIB, 230 * MIB, 220 * MIB)


def test_the_advice_follows_what_filled_the_limit_and_not_the_number_of_kills() -> None:
    one = the_one(LOOPING, kill(30, use=CACHE), kill(90))
    assert one.advice.startswith("230 MiB was page cache not yet written to disk: write smaller pieces")
    assert "processes" not in one.advice


def test_what_processes_filled_is_raised_as_ever() -> None:
    one = the_one(LOOPING, kill(30, use=MemoryUse(anon=250 * MIB)))
    assert one.advice == "raise the limit from 256Mi to 320Mi: 1 kill in an hour"


def test_a_limit_that_was_raised_since_is_said_before_what_filled_the_earlier_one() -> None:
    facts = ContainerFacts(limit_bytes=512 * MIB)
    assert the_one("running-after-oom-kubelet-1.29", kill(20, use=CACHE), web=facts).advice.startswith("see whether")


def test_another_container_of_the_pod_that_used_most_of_its_limit_is_named() -> None:
    containers = (ContainerUse("sidecar", 200 * MIB), ContainerUse("web", 50 * MIB))
    one = the_one(LOOPING, kill(30, Scope.POD, use=MemoryUse(anon=250 * MIB), containers=containers))
    assert one.advice == (
        "container sidecar used most of the pod's memory (200 MiB): give it a limit of its own, or raise the pod's limit"
    )
