"""The main job on a real kernel: with the label one process dies, without it the whole container does, and all is told."""

from __future__ import annotations

import pytest

from agent.kernel.processes import node_oom_kills
from tests.kernel.conftest import FAMILY, MODE, RUNTIMES, Node
from tests.lab.kubelet import MOUNT, memory_events
from tests.lab.spec import Container, Instance, Pod


def processes(path: str) -> int:
    return len((MOUNT / path / "cgroup.procs").read_text().split())


def counted(events: dict[str, int]) -> range:
    """How many processes a counter can stand for: a group kill's first victim is in it twice, unless it ended before its turn."""
    return range(events["oom_kill"] - events["oom_group_kill"], events["oom_kill"] + 1)


def start(node: Node, name: str, runtime: str, labels: dict[str, str], *args: str, **options: object) -> Instance:
    pod = Pod(name, (Container("main", args or FAMILY),), labels=labels, runtime=runtime, **options)  # type: ignore[arg-type]
    return node.kubelet.run_pod(pod)[0]


@pytest.fixture(scope="module")
def early(node: Node) -> dict[str, Instance]:
    """Containers that ran before the agent: by runtime."""
    return {runtime: start(node, f"early-{runtime}", runtime, {MODE: "single"}, "pause") for runtime in RUNTIMES}


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_container_begins_with_the_kubelets_1_and_everything_above_it_with_0(
    node: Node, early: dict[str, Instance], runtime: str
) -> None:
    """As facts say of a real node; nobody has asked the agent yet, since it doesn't run."""
    if node.agents:
        pytest.fail("this must run before the agent starts")
    instance = early[runtime]
    assert node.knob(instance.path) == "1"
    assert node.kubelet.first_look(instance) == "1"
    sandbox = node.kubelet.driver.process_path(instance.pod, node.kubelet.sandboxes[instance.pod.uid])
    assert node.knob(sandbox) == "0"
    above = node.kubelet.driver.pod_path(instance.pod)
    while above:
        assert node.knob(above) == "0"
        above = above.rpartition("/")[0]


def test_containers_that_ran_before_the_agent_come_right_when_it_starts(node: Node, early: dict[str, Instance]) -> None:
    agent = node.start_agent()
    for instance in early.values():
        agent.wait_for(lambda i=instance: node.knob(i.path) == "0", 60, "held")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_labelled_container_loses_one_process_and_an_unlabelled_one_all(node: Node, runtime: str) -> None:
    agent = node.agent
    labelled = start(node, f"labelled-{runtime}", runtime, {MODE: "Single"})
    unlabelled = start(node, f"plain-{runtime}", runtime, {}, restart_policy="Never")
    node.kubelet.wait_for(lambda: memory_events(labelled.path).get("oom_kill") == 1, 60)
    node.kubelet.wait_for(lambda: not unlabelled.running, 60)

    assert node.kubelet.first_look(labelled) == "0", "the mode was in force before the first instruction"
    assert node.kubelet.first_look(unlabelled) == "1", "a container that didn't ask is left as the kubelet made it"
    assert labelled.running
    assert processes(labelled.path) == 3, "PID 1 and its helpers go on"
    assert unlabelled.events["oom_group_kill"] == 1
    assert unlabelled.exit_code == 137

    for instance, reason in ((labelled, "ProcessOOMKilled"), (unlabelled, "ContainerOOMKilled")):
        name = instance.pod.name
        agent.wait_for(lambda n=name, r=reason: node.events(r, n), 60, f"{reason} of {name} posted")
        assert len(agent.log_lines(event="oom_kill", pod=name)) == 1
    (event,) = node.events("ProcessOOMKilled", labelled.pod.name)
    assert "OOM-killed worker (PID " in event["note"]
    assert "at the container's memory limit of 64 MiB. The container is still running (mode single)." in event["note"]
    assert agent.total("oomward_oom_kills_total", pod=labelled.pod.name, mode="single", scope="container") == 1
    killed = agent.total("oomward_oom_kills_total", pod=unlabelled.pod.name, mode="group", scope="container")
    assert killed in counted(unlabelled.events)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_whoever_writes_the_knob_of_a_held_container_it_is_back_at_once(node: Node, runtime: str) -> None:
    for mode, wanted in (("single", "0"), ("group", "1")):
        name = f"held-{mode}-{runtime}"
        instance = start(node, name, runtime, {MODE: mode}, "pause")
        node.agent.wait_for(lambda n=name: node.events("OOMModeApplied", n), 60, "applied")
        knob = MOUNT / instance.path / "memory.oom.group"
        knob.write_text("1" if wanted == "0" else "0")
        node.agent.wait_for(lambda k=knob, w=wanted: k.read_text().strip() == w, 60, "put back")
    assert node.agent.total("oomward_drift_corrections_total") >= 2


def test_a_label_taken_away_gives_the_runtimes_value_back_and_one_put_on_takes_effect(node: Node) -> None:
    instance = start(node, "changing", "crun", {MODE: "single"}, "pause")
    node.agent.wait_for(lambda: node.events("OOMModeApplied", "changing"), 60, "applied")
    pod = node.kubelet.relabel(instance.pod, labels={})
    node.agent.wait_for(lambda: node.knob(instance.path) == "1", 60, "given back")
    node.kubelet.relabel(pod, annotations={"mode.oomward.dev/main": "SINGLE"})
    node.agent.wait_for(lambda: node.knob(instance.path) == "0", 60, "held by annotation")


def test_a_label_that_is_no_mode_is_told_once_and_nothing_is_written(node: Node) -> None:
    instance = start(node, "confused", "crun", {MODE: "sngle"}, "pause")
    node.agent.wait_for(lambda: node.events("OOMModeInvalid", "confused"), 60, "told")
    (event,) = node.events("OOMModeInvalid", "confused")
    assert "'sngle'" in event["note"]
    assert "single" in event["note"]
    assert "group" in event["note"]
    assert node.knob(instance.path) == "1"


def test_what_the_agent_told_adds_up_with_what_the_kernel_counted(node: Node) -> None:
    events = memory_events(node.kubelet.driver.root)
    agent = node.agent
    total = counted(events)
    agent.wait_for(lambda: agent.total("oomward_oom_kills_total") in total, 60, f"{total} kills counted")
    assert agent.total("oomward_unattributed_oom_kills_total") == 0
    assert agent.total("oomward_resync_corrections_total") == 0
    assert agent.total("oomward_cgroup_errors_total") == 0
    assert agent.total("oomward_oom_group_writes_total", outcome="denied") == 0
    assert (node_oom_kills() or 0) >= total.start


def test_the_agent_ends_on_sigterm_and_leaves_the_values_in_force(node: Node, early: dict[str, Instance]) -> None:
    assert node.agent.stop() == 0
    for instance in early.values():
        assert node.knob(instance.path) == "0"


def test_an_agent_started_anew_goes_on_counting_and_tells_nothing_twice(node: Node) -> None:
    before = len(node.api.events)
    told = len(node.agent.log_lines(event="oom_kill"))
    agent = node.start_agent()
    events = memory_events(node.kubelet.driver.root)
    assert agent.total("oomward_oom_kills_total") in counted(events)
    assert len(agent.log_lines(event="oom_kill")) == told
    kills = [e["metadata"]["name"] for e in node.api.events if e["reason"].endswith("OOMKilled")]
    assert len(kills) == len(set(kills))
    assert len(node.api.events) == before
