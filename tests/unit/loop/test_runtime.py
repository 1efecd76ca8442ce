"""What the runtime reports by NRI, from its thread's messages to values, names, metrics, Events and readiness."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

import pytest

from agent.model import (
    ContainerCreating,
    ContainerRemoved,
    CreationFailed,
    Pod,
    RuntimeConnected,
    RuntimeContainer,
    RuntimeListed,
    RuntimeLost,
    Sandbox,
    SandboxRemoved,
    SandboxSeen,
)
from agent.modes.created import WRITTEN_AFTER_S
from agent.pods.runtime_names import KEEP_S
from tests.unit.cgroup.fakes import make
from tests.unit.loop.world import CONTAINER, ID, MODE, POD, SANDBOX, UID, World, pod

BOX, OTHER_ID, THIRD_ID = "5" * 64, "b" * 64, "c" * 64
OTHER, THIRD = f"{POD}/{OTHER_ID}", f"{POD}/{THIRD_ID}"
CHILD = f"{CONTAINER}/container"
MIXED = {MODE: "single"}, {"mode.oomward.dev/other": "group"}
MIB = 1 << 20


def sandbox(labels: dict[str, str] | None = None, annotations: dict[str, str] | None = None) -> Sandbox:
    return Sandbox(BOX, Pod(UID, "default", "herder-1", "", labels=labels or {}, annotations=annotations or {}))


def container(container_id: str = ID, name: str = "main") -> RuntimeContainer:
    return RuntimeContainer(container_id, name, BOX)


def creating(
    value: int | None, of: Sandbox | None = None, container_id: str = ID, name: str = "main"
) -> ContainerCreating:
    return ContainerCreating(of or sandbox({MODE: "single"}), container(container_id, name), value)


def created(world: World, value: int | None, path: str = CONTAINER, name: str = "main", **of: Sandbox) -> None:
    """The runtime asks, and creates the container with the value, or with the kubelet's 1."""
    world.message(creating(value, container_id=path.split("/")[3], name=name, **of))
    world.make(path, knob=1 if value is None else value)


# ------------------------------------------------------------------------------------------------------------ the modes


def test_mixed_modes_with_equal_limits_are_in_force_before_the_api_has_named_a_container(world: World) -> None:
    world.listed(pod(*MIXED, {"main": None, "other": None}, main=64 * MIB, other=64 * MIB))
    created(world, None, CONTAINER, of=sandbox(*MIXED))
    created(world, None, OTHER, "other", of=sandbox(*MIXED))
    world.write(OTHER, 0)
    assert (world.knob(), world.knob(OTHER)) == (0, 1)


def test_a_container_of_a_pod_that_the_api_has_not_reported_gets_its_mode(world: World) -> None:
    created(world, None, of=sandbox(*MIXED))
    created(world, None, OTHER, "other", of=sandbox(*MIXED))
    assert (world.knob(), world.knob(OTHER)) == (0, 1)


def test_a_cgroup_that_was_there_before_its_name_gets_its_mode_with_the_name(world: World) -> None:
    world.listed(pod(*MIXED, {"main": None, "other": None}))
    world.make(knob=1)
    world.make(OTHER)
    assert (world.knob(), world.knob(OTHER)) == (1, 0)
    world.message(creating(None))
    assert (world.knob(), world.knob(OTHER)) == (0, 0)
    world.message(creating(None, None, OTHER_ID, "other"))
    assert (world.knob(), world.knob(OTHER)) == (0, 1)


def test_a_list_of_the_runtime_names_what_was_there_before_the_connection(world: World) -> None:
    world.make(knob=1)
    world.make(OTHER)
    world.message(RuntimeListed((sandbox(*MIXED),), (container(), container(OTHER_ID, "other"))))
    assert (world.knob(), world.knob(OTHER)) == (0, 1)


def test_between_the_containers_of_a_list_the_loop_drains_inotify(world: World) -> None:
    world.make()
    world.make(OTHER)
    calls: list[int] = []
    world.node.between = lambda: calls.append(1)
    world.node.message(RuntimeListed((sandbox(),), ()), world.now)
    assert len(calls) == 2


def test_a_sandbox_is_never_written(world: World) -> None:
    world.listed(pod({MODE: "single"}, ids={"main": None}))
    world.message(SandboxSeen(sandbox({MODE: "single"})))
    world.make(SANDBOX, knob=1)
    assert world.knob(SANDBOX) == 1


def test_a_change_by_another_process_is_corrected_though_the_runtime_wrote_the_value(world: World) -> None:
    created(world, 0)
    world.write(CONTAINER, 1)
    assert world.knob() == 0
    assert world.metric("oomward_drift_corrections_total") == 1


# ------------------------------------------------------------------------------------------- created with our value, opted out


@pytest.mark.parametrize("mode", ["single", "group"])
def test_a_container_that_was_created_with_our_value_gets_the_kubelets_when_it_opts_out(
    world: World, mode: str
) -> None:
    value = int(mode == "group")
    created(world, value, of=sandbox({MODE: mode}))
    world.listed(pod({MODE: mode}))
    assert world.knob() == value
    world.told(pod())
    assert world.knob() == 1


def test_it_gets_0_where_the_kubelet_runs_with_singleprocessoomkill(world: World) -> None:
    stranger = replace(pod(ids={"web": "d" * 64}), uid=UID.replace("1", "2"))
    path = f"kubepods/burstable/pod{stranger.uid}/{'d' * 64}"
    world.make(path)
    world.listed(stranger)
    world.turn(after_s=WRITTEN_AFTER_S)
    created(world, 1, of=sandbox({MODE: "group"}))
    world.listed(stranger, pod({MODE: "group"}))
    world.listed(stranger, pod())
    assert world.knob() == 0


def test_another_container_that_is_just_starting_says_nothing_of_the_kubelet(world: World) -> None:
    """Its 0 is that of a new cgroup: the runtime has not written yet."""
    stranger = replace(pod(ids={"web": "d" * 64}), uid=UID.replace("1", "2"))
    path = f"kubepods/burstable/pod{stranger.uid}/{'d' * 64}"
    world.listed(stranger)
    world.make(path, knob=0)
    created(world, 0)
    world.write(path, 1)
    world.listed(stranger, pod({MODE: "single"}))
    world.listed(stranger, pod())
    assert world.knob() == 1


def test_one_other_container_with_1_says_that_the_kubelet_writes_1(world: World) -> None:
    """The others' 0 may be another process's."""
    strangers = [replace(pod(ids={"web": c * 64}), uid=UID.replace("1", c)) for c in "de"]
    for stranger, value in zip(strangers, (0, 1), strict=True):
        world.make(f"kubepods/burstable/pod{stranger.uid}/{stranger.containers[0].container_id}", knob=value)
    world.listed(*strangers)
    created(world, 0)
    world.listed(*strangers, pod({MODE: "single"}))
    world.listed(*strangers, pod())
    assert world.knob() == 1


def test_other_containers_with_a_mode_say_nothing_of_the_kubelet(world: World) -> None:
    created(world, 0)
    created(world, 0, OTHER, "other")
    world.listed(pod({MODE: "single"}, ids={"main": ID, "other": OTHER_ID}))
    world.listed(pod(ids={"main": ID, "other": OTHER_ID}))
    assert (world.knob(), world.knob(OTHER)) == (1, 1)


def test_a_sandbox_says_nothing_of_the_kubelet(world: World) -> None:
    """Nobody writes 1 there."""
    world.message(SandboxSeen(sandbox()))
    world.make(SANDBOX)
    created(world, 0)
    world.listed(pod({MODE: "single"}))
    world.listed(pod())
    assert world.knob() == 1


def test_a_container_that_the_runtime_created_without_our_value_gets_its_own_back(world: World) -> None:
    created(world, None)
    world.listed(pod({MODE: "single"}))
    assert world.knob() == 0
    world.told(pod())
    assert world.knob() == 1


def test_under_crun_the_child_gets_the_kubelets_value_back_and_the_scope_stays_as_it_was(world: World) -> None:
    created(world, 0)
    world.make(CHILD)
    world.listed(pod({MODE: "single"}))
    assert (world.knob(), world.knob(CHILD)) == (0, 0)
    world.told(pod())
    assert (world.knob(), world.knob(CHILD)) == (0, 1)


def test_under_crun_what_another_process_wrote_into_the_scope_comes_back_as_well(world: World) -> None:
    """The original value of a real write is not forgotten because the container was created with ours."""
    created(world, 0)
    world.make(CHILD)
    world.listed(pod({MODE: "single"}))
    world.write(CONTAINER, 1)
    assert world.knob() == 0
    world.node.resync(world.now)
    world.told(pod({MODE: "single", "other": "label"}))
    world.told(pod())
    assert (world.knob(), world.knob(CHILD)) == (1, 1)


def test_the_original_value_survives_a_restart_of_the_agent(world: World) -> None:
    created(world, 0)
    world.end()
    world.begin()
    world.listed(pod())
    assert world.knob() == 1


def test_an_agent_killed_before_it_recorded_that_the_runtime_wrote_its_value_leaves_that_value(world: World) -> None:
    """The mode stays in force; when the pod opts out, the container keeps it until it restarts."""
    world.message(creating(0))
    world.die()
    make(world.mount, CONTAINER)
    world.begin()
    world.listed(pod({MODE: "single"}))
    assert (world.knob(), world.ledger.originals()) == (0, ())
    world.listed(pod())
    assert world.knob() == 0


def test_what_a_container_would_have_without_us_is_known_while_it_lives_for_updates_after_it_opted_out(
    world: World,
) -> None:
    created(world, 0)
    for listed in (pod({MODE: "single"}), pod()):
        world.listed(listed)
        assert world.node.modes.created.without_us == {ID: 1}
    world.remove(CONTAINER)
    world.message(ContainerRemoved(ID))
    assert world.node.modes.created.without_us == {}


def test_a_container_that_opts_in_again_and_out_again_gets_the_kubelets_value_again(world: World) -> None:
    created(world, 0)
    for _ in range(2):
        world.listed(pod({MODE: "single"}))
        assert world.knob() == 0
        world.listed(pod())
        assert world.knob() == 1


# ----------------------------------------------------------------------------------------------------------- names of kills


def test_a_kill_has_its_containers_name_though_the_api_has_not_reported_the_pod(world: World) -> None:
    created(world, 0)
    world.kill()
    world.turn(after_s=1.0)
    (kill,) = world.ledger.kills()
    assert (kill.namespace, kill.pod, kill.container, kill.pod_uid) == ("default", "herder-1", "main", UID)
    labels = 'container="main",mode="single",namespace="default",pod="herder-1",scope="container"'
    assert world.metric(f"oomward_oom_kills_total{{{labels}}}") == 1


def test_a_container_without_a_mode_is_named_too(world: World) -> None:
    created(world, None, of=sandbox())
    world.kill()
    world.turn(after_s=1.0)
    (kill,) = world.ledger.kills()
    assert (kill.pod, kill.container) == ("herder-1", "main")


@pytest.mark.parametrize(("seconds", "container_name"), [(KEEP_S, "main"), (KEEP_S + 1, None)])
def test_a_container_that_was_removed_is_known_by_name_for_a_while(
    world: World, seconds: float, container_name: str | None
) -> None:
    created(world, 0)
    world.message(ContainerRemoved(ID))
    world.now += seconds
    world.node.housekeeping(world.now)
    named = world.registry.identity(world.tree.cgroups[CONTAINER].place)
    assert (named.container if named is not None else None) == container_name


def test_a_sandbox_that_was_removed_is_one_for_a_while(world: World) -> None:
    world.message(SandboxSeen(sandbox()))
    world.make(SANDBOX)
    place = world.tree.cgroups[SANDBOX].place
    world.message(SandboxRemoved(BOX))
    for seconds, known in ((KEEP_S, True), (1.0, False)):
        world.now += seconds
        world.node.housekeeping(world.now)
        assert world.registry.runtime.is_sandbox(place) is known


def test_nothing_is_kept_of_containers_that_were_never_created(world: World) -> None:
    for number in range(20):
        cid = f"{number:064x}"
        world.message(creating(0, None, cid))
        world.message(CreationFailed(sandbox(), container(cid), conflict=False))
        world.message(ContainerRemoved(cid))
    world.now += KEEP_S + 1
    world.node.housekeeping(world.now)
    assert world.node.modes.created._ids == set()
    assert world.registry.runtime._containers == {}


# --------------------------------------------------------------------------------------------- a connection, and without one


def test_a_connection_is_a_metric_and_a_line_of_readyz(world: World) -> None:
    world.listed()
    assert world.metric("oomward_nri_connected") == 0
    world.message(RuntimeConnected("containerd v2.1.9"))
    assert world.metric("oomward_nri_connected") == 1
    good, lines = world.node.ready()
    assert good
    assert lines.splitlines()[-1] == "asked by containerd v2.1.9 before it creates containers"


def test_a_lost_runtime_leaves_the_modes_to_the_files(world: World) -> None:
    world.listed(pod({MODE: "single"}, ids={"main": ID, "third": None}))
    world.message(RuntimeConnected("containerd"))
    created(world, 0)
    world.message(RuntimeLost("the runtime closed the connection"))
    assert (world.metric("oomward_nri_connected"), world.metric("oomward_nri_disconnects_total")) == (0, 1)
    assert world.node.ready() == (True, "pods listed\ncgroups scanned\nledger on disk")
    world.write(CONTAINER, 1)
    world.make(THIRD, knob=1)
    assert (world.knob(), world.knob(THIRD)) == (0, 0), "what is there, and what comes"


def test_a_runtime_that_was_never_connected_is_no_disconnect(world: World) -> None:
    world.message(RuntimeLost(""))
    world.message(RuntimeLost("the runtime refuses the plugin: no"))
    assert world.metric("oomward_nri_disconnects_total") == 0


def test_required_is_not_ready_without_the_runtime_and_says_why(world: World) -> None:
    world.node.runtime.required = True
    world.listed()
    seen = []
    for message in (
        None,
        RuntimeLost("the runtime refuses the plugin: no"),
        RuntimeLost(""),
        RuntimeConnected("cri-o"),
    ):
        if message is not None:
            world.message(message)
        good, lines = world.node.ready()
        seen.append((good, lines.splitlines()[-1]))
    assert seen == [
        (False, "NRI is required, and the runtime does not ask: there is no socket yet"),
        (False, "NRI is required, and the runtime does not ask: the runtime refuses the plugin: no"),
        (False, "NRI is required, and the runtime does not ask: there is no socket yet"),
        (True, "asked by cri-o before it creates containers"),
    ]


def lines_of(caplog: pytest.LogCaptureFixture, world: World, *whys: str) -> list[tuple[str, str]]:
    with caplog.at_level(logging.INFO, "oomward"):
        for why in whys:
            world.message(RuntimeLost(why))
    return [(record.levelname, record.getMessage()) for record in caplog.records]


def test_no_socket_is_said_plainly(world: World, caplog: pytest.LogCaptureFixture) -> None:
    ((level, line),) = lines_of(caplog, world, "")
    assert level == "INFO"
    assert line.startswith("NRI is not in use: there is no socket, so the runtime has NRI disabled")
    assert line.endswith("Modes are enforced through the file")


def test_a_lost_connection_is_a_warning_and_so_is_any_trouble_where_nri_is_required(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.node.runtime.connected = "containerd"
    assert [level for level, _ in lines_of(caplog, world, "closed", "refused")] == ["WARNING", "INFO"]
    caplog.clear()
    world.node.runtime.required = True
    assert [level for level, _ in lines_of(caplog, world, "refused", "")] == ["WARNING", "INFO"]


@pytest.mark.parametrize("message", [RuntimeConnected, RuntimeLost], ids=["name", "reason"])
def test_whatever_the_runtime_says_of_itself_readyz_is_short_and_has_one_line_for_it(
    world: World, message: Callable[[str], RuntimeConnected | RuntimeLost]
) -> None:
    world.node.runtime.required = True
    world.listed()
    before = len(world.node.ready()[1].splitlines())
    world.message(message("evil\n\x1b[2J" + "x" * 10_000))
    lines = world.node.ready()[1]
    assert len(lines.splitlines()) == before
    assert "\x1b" not in lines
    assert len(lines) < 1000


# ------------------------------------------------------------------------------------------------------------ what failed


@pytest.mark.parametrize(
    ("conflict", "advice"),
    [
        (True, "Another NRI plugin probably sets memory.oom.group, too (memory-qos does)"),
        (False, "If its Events name another cause, correct that"),
    ],
)
def test_a_failed_creation_is_an_event_once_and_counted_each_time(world: World, conflict: bool, advice: str) -> None:
    world.listed(pod({MODE: "single"}, ids={"main": None}))
    for cid in (ID, OTHER_ID):
        world.message(creating(0, None, cid))
        world.message(CreationFailed(sandbox(), container(cid), conflict))
    assert world.metric("oomward_nri_failed_creations_total") == 2
    (notice,) = world.posted
    assert notice.reason.value == "OOMModeFailed"
    assert (notice.about.name, notice.about.uid) == ("herder-1", UID)
    assert "could not create container main" in notice.note
    assert advice in notice.note


def test_each_container_of_a_pod_has_an_event_of_its_own(world: World) -> None:
    world.listed(pod({MODE: "single"}, ids={"main": None, "other": None}))
    for cid, name in ((ID, "main"), (OTHER_ID, "other")):
        world.message(CreationFailed(sandbox(), container(cid, name), conflict=True))
    assert world.reasons() == ["OOMModeFailed"] * 2


def test_a_failed_creation_of_a_pod_that_the_api_has_not_reported_is_an_event_on_it(world: World) -> None:
    world.message(CreationFailed(sandbox(), container(), conflict=True))
    (notice,) = world.posted
    assert notice.about.uid == UID


def test_the_container_that_is_created_without_us_gets_its_mode_by_the_file(world: World) -> None:
    world.listed(pod({MODE: "single"}, ids={"main": None}))
    world.message(creating(0))
    world.message(CreationFailed(sandbox(), container(), conflict=True))
    world.message(ContainerRemoved(ID))
    created(world, None, OTHER)
    assert world.knob(OTHER) == 0


# ---------------------------------------------------------------------------------------------------------------- the timer


def test_housekeeping_looks_for_the_runtimes_socket(world: World) -> None:
    looks: list[int] = []
    world.node.look_for_runtime = lambda: looks.append(1)
    world.node.housekeeping(world.now)
    assert looks == [1]
