"""Enforced, not set: whoever rewrites the value of a running container, it is corrected; every kind of container; nothing above hidden."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.kernel.conftest import DRIVERS, MODE, RUNTIMES, Node, make_node
from tests.lab import rewriters
from tests.lab.kubelet import MOUNT
from tests.lab.spec import Container, Instance, Pod

MODES = {"single": "0", "group": "1"}
CASES = [(runtime, mode) for runtime in RUNTIMES for mode in MODES]
TWO = (Container("main", ("pause",), 64), Container("other", ("pause",), 32))


@pytest.fixture(scope="module", params=DRIVERS)
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """systemd's own two 0 come before the runtime's 1, as measured; the slow full look is quick here."""
    node = make_node(
        tmp_path_factory.mktemp("node"), request.param, status_delay_s=0.5, systemd_writes=True, real_time=True
    )
    node.start_agent("--resync-interval", "3s")
    yield node
    node.close()


@pytest.fixture(scope="module")
def held(node: Node) -> dict[tuple[str, str], list[Instance]]:
    """A pod of two containers for each runtime and mode, all of them held."""
    found = {}
    for runtime, mode in CASES:
        pod = Pod(f"{mode}-{runtime}", TWO, labels={MODE: mode}, runtime=runtime)
        found[runtime, mode] = node.kubelet.run_pod(pod)
    for (runtime, mode), instances in found.items():
        node.agent.wait_for(
            lambda n=f"{mode}-{runtime}": len(node.events("OOMModeApplied", n)) == 2, 60, f"{mode}-{runtime} applied"
        )
        assert {node.knob(i.path) for i in instances} == {MODES[mode]}
    return found


def settles(node: Node, instances: list[Instance], wanted: str) -> None:
    """The wanted value comes to be there, and half a second later still is."""
    for instance in instances:
        node.agent.wait_for(lambda i=instance: node.knob(i.path) == wanted, 60, f"{instance.path} at {wanted}")
    time.sleep(0.5)
    assert {node.knob(i.path) for i in instances} == {wanted}


@pytest.mark.parametrize(("runtime", "mode"), CASES)
def test_after_a_daemon_reload_a_siblings_restart_takes_no_containers_mode_away(
    node: Node, held: dict[tuple[str, str], list[Instance]], runtime: str, mode: str
) -> None:
    """systemd writes 0 to the pod's other scopes: the kubelet's own 1 would be lost."""
    before = node.agent.total("oomward_drift_corrections_total")
    rewriters.daemon_reload_and_sibling_restart(held[runtime, mode])
    settles(node, held[runtime, mode], MODES[mode])
    if mode == "group":
        node.agent.wait_for(lambda: node.agent.total("oomward_drift_corrections_total") >= before + 2, 60, "counted")


@pytest.mark.parametrize(("runtime", "mode"), CASES)
def test_set_property_takes_no_mode_away(
    node: Node, held: dict[tuple[str, str], list[Instance]], runtime: str, mode: str
) -> None:
    rewriters.set_property(held[runtime, mode][0])
    settles(node, held[runtime, mode], MODES[mode])


def test_the_static_cpu_policys_0_and_1_for_all_containers_takes_no_mode_away(
    node: Node, held: dict[tuple[str, str], list[Instance]]
) -> None:
    """A kubelet's restart, or a pod with exclusive CPUs that comes or goes: all containers of the node at once."""
    rewriters.static_cpu_policy(instance for instances in held.values() for instance in instances)
    for (_, mode), instances in held.items():
        settles(node, instances, MODES[mode])


@pytest.mark.parametrize(("runtime", "mode"), CASES)
def test_an_in_place_resize_takes_no_mode_away(
    node: Node, held: dict[tuple[str, str], list[Instance]], runtime: str, mode: str
) -> None:
    """The runtime itself writes 1 again, systemd a 0 before it."""
    first = held[runtime, mode][0]
    node.kubelet.resize(first.pod, "main", 96)
    assert (MOUNT / first.path / "memory.max").read_text().strip() == str(96 << 20)
    settles(node, held[runtime, mode], MODES[mode])


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_restarted_container_begins_in_its_mode(node: Node, runtime: str) -> None:
    pod = Pod(f"restarting-{runtime}", (Container("main", ("end", "3")),), labels={MODE: "single"}, runtime=runtime)
    node.kubelet.run_pod(pod)
    node.kubelet.wait_for(lambda: sum(i.pod.uid == pod.uid for i in node.kubelet.instances) >= 2, 60)
    starts = [i for i in node.kubelet.instances if i.pod.uid == pod.uid]
    assert [node.kubelet.first_look(start) for start in starts] == ["0"] * len(starts)
    node.kubelet.delete_pod(pod)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_every_kind_of_container_begins_in_its_mode(node: Node, runtime: str) -> None:
    """Init, sidecar, regular and ephemeral ones; static pods; all classes of service."""
    several = Pod(
        f"kinds-{runtime}",
        (
            Container("prepare", ("end", "0"), kind="initContainers"),
            Container("proxy", ("pause",), 32, kind="sidecar"),
            Container("main", ("pause",)),
        ),
        labels={MODE: "single"},
        runtime=runtime,
    )
    started = node.kubelet.run_pod(several)
    changed, debugging = node.kubelet.add_ephemeral(several, Container("debug", ("pause",), None))
    static = Pod(f"static-{runtime}", TWO[:1], labels={MODE: "single"}, runtime=runtime, config_hash="5" * 32)
    guaranteed = Pod(f"guaranteed-{runtime}", TWO[:1], labels={MODE: "single"}, runtime=runtime, guaranteed=True)
    best_effort = Pod(
        f"besteffort-{runtime}", (Container("main", ("pause",), None),), labels={MODE: "single"}, runtime=runtime
    )
    others = [pod for pod in (static, guaranteed, best_effort) for _ in [0]]
    for pod in others:
        started += node.kubelet.run_pod(pod)
    for instance in [*started, debugging]:
        assert node.kubelet.first_look(instance) == "0", f"{instance.pod.name} {instance.container}"
    sandbox = node.kubelet.driver.process_path(several, node.kubelet.sandboxes[several.uid])
    assert node.knob(sandbox) == "0"
    for pod in (changed, *others):
        node.kubelet.delete_pod(pod)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_an_annotation_makes_one_container_differ_and_the_one_that_did_not_ask_is_left_alone(
    node: Node, runtime: str
) -> None:
    pod = Pod(f"differing-{runtime}", TWO, annotations={"mode.oomward.dev/main": "single"}, runtime=runtime)
    main, other = node.kubelet.run_pod(pod)
    assert node.kubelet.first_look(main) == "0", "told apart by its limit, before it has a name"
    node.agent.wait_for(lambda: node.events("OOMModeApplied", pod.name), 60, "applied")
    assert (node.knob(main.path), node.knob(other.path)) == ("0", "1")
    assert node.kubelet.first_look(other) == "1"


def test_who_insists_is_met_once_a_second_and_the_fight_is_told_and_ends(
    node: Node, held: dict[tuple[str, str], list[Instance]]
) -> None:
    instance = held["crun", "single"][1]
    before = node.agent.total("oomward_oom_group_writes_total", outcome="written")
    began = time.monotonic()
    rewriters.fight(instance, 1, 60, 0.05)
    writes = node.agent.total("oomward_oom_group_writes_total", outcome="written") - before
    assert writes <= 11 + (time.monotonic() - began) + 2, "10 rewrites are answered at once, then one a second"
    node.agent.wait_for(lambda: node.agent.total("oomward_write_conflicts_total") == 1, 60, "counted")
    node.agent.wait_for(lambda: node.events("OOMModeFailed", instance.pod.name), 60, "told")
    (event,) = node.events("OOMModeFailed", instance.pod.name)
    assert "keeps rewriting" in event["note"]
    node.agent.wait_for(lambda: node.knob(instance.path) == "0", 60, "repaired")
    time.sleep(12)  # the other side has stopped; then repairs are immediate again
    rewriters.set_property(held["crun", "group"][1])
    (MOUNT / instance.path / "memory.oom.group").write_text("1")
    settles(node, [instance], "0")


@pytest.mark.parametrize("level", ["pod", "kubepods"])
def test_a_1_above_a_container_that_makes_its_0_useless_is_told(node: Node, level: str) -> None:
    (instance,) = node.kubelet.run_pod(Pod(f"under-{level}", TWO[:1], labels={MODE: "single"}))
    node.agent.wait_for(lambda: node.events("OOMModeApplied", f"under-{level}"), 60, "applied")
    path = node.kubelet.driver.pod_path(instance.pod) if level == "pod" else node.kubelet.driver.root
    (MOUNT / path / "memory.oom.group").write_text("1")
    node.agent.wait_for(lambda: node.events("OOMModeFailed", f"under-{level}"), 60, "told")
    (event,) = node.events("OOMModeFailed", f"under-{level}")
    assert path in event["note"]
    assert node.knob(path) == "1", "nothing but containers is written to"
    node.agent.wait_for(lambda: node.agent.total("oomward_ancestor_conflicts") > 0, 60, "shown")
    (MOUNT / path / "memory.oom.group").write_text("0")
    node.agent.wait_for(lambda: node.agent.total("oomward_ancestor_conflicts") == 0, 60, "shown as over")


def test_a_1_above_that_was_there_before_the_container_is_told_too(node: Node) -> None:
    root = node.kubelet.driver.root
    (MOUNT / root / "memory.oom.group").write_text("1")
    node.kubelet.run_pod(Pod("born-under", TWO[:1], labels={MODE: "single"}))
    node.agent.wait_for(lambda: node.events("OOMModeFailed", "born-under"), 60, "told")
    (MOUNT / root / "memory.oom.group").write_text("0")


def test_the_slow_full_look_has_found_nothing_to_repair_in_all_of_this(node: Node) -> None:
    node.wait_for_a_full_look()
    assert node.agent.total("oomward_resync_corrections_total") == 0
    assert node.agent.total("oomward_cgroup_errors_total") == 0
    for outcome in ("denied", "unsupported"):
        assert node.agent.total("oomward_oom_group_writes_total", outcome=outcome) == 0
