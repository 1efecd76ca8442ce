"""A scope that systemd stops after an OOM kill makes mode single useless: reported at the container's start, and counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.model import OomPolicy, ScopePolicy
from tests.unit.loop.world import CONTAINER, MODE, World, pod

NEXT_RUNC = ScopePolicy(
    "cri-containerd-a.scope", OomPolicy.KILL, "/run/systemd/transient/cri-containerd-a.scope", systemd=257
)
CONTINUE = ScopePolicy("cri-containerd-a.scope", OomPolicy.CONTINUE, systemd=257)


def start(world: World, policy: ScopePolicy | None, mode: str = "single") -> None:
    if policy is not None:
        world.scope_policies[CONTAINER] = policy
    world.told(pod({MODE: mode}))
    world.make(knob=1)


def conflicts(world: World) -> float | None:
    world.node.housekeeping(world.now)
    return world.metric("oomward_oom_policy_conflicts")


@pytest.mark.parametrize(
    "policy",
    [
        NEXT_RUNC,
        ScopePolicy("x.scope", OomPolicy.KILL),
        ScopePolicy("x.scope", OomPolicy.KILL, systemd=258),
        ScopePolicy("x.scope", OomPolicy.STOP, systemd=262),
    ],
)
def test_a_scope_that_systemd_stops_is_reported_when_its_container_starts_and_not_called_applied(
    world: World, policy: ScopePolicy
) -> None:
    start(world, policy)
    assert world.reasons() == ["OOMModeFailed"]
    assert world.posted[0].warning
    assert "oomward oom-policy install" in world.posted[0].note
    assert world.metric("oomward_modes_failed_total") == 1
    assert conflicts(world) == 1
    assert world.knob() == 0, "the value is enforced all the same: with it the drop-in needs no restart"


@pytest.mark.parametrize("policy", [None, CONTINUE, ScopePolicy("x.scope", OomPolicy.KILL, systemd=259)])
def test_where_systemd_does_nothing_single_is_applied(world: World, policy: ScopePolicy | None) -> None:
    start(world, policy)
    assert world.reasons() == ["OOMModeApplied"]
    assert conflicts(world) == 0


def test_it_is_reported_once_for_each_instance(world: World) -> None:
    start(world, NEXT_RUNC)
    for _ in range(3):
        world.told(pod({MODE: "single"}, annotations={"x": str(world.now)}))
        world.write(CONTAINER, 1)
    assert world.reasons() == ["OOMModeFailed"]
    world.remove(CONTAINER)
    assert conflicts(world) == 0, "it is gone"
    world.make(knob=1)
    assert world.reasons() == ["OOMModeFailed"] * 2


def test_for_mode_group_nothing_is_wrong(world: World) -> None:
    start(world, NEXT_RUNC, "group")
    assert world.reasons() == ["OOMModeApplied"]
    assert conflicts(world) == 0


def test_a_container_that_asks_for_nothing_is_not_reported(world: World) -> None:
    world.scope_policies[CONTAINER] = NEXT_RUNC
    world.told(pod())
    world.make(knob=1)
    assert world.posted == []
    assert conflicts(world) == 0


def test_a_drop_in_that_comes_later_ends_the_conflict_and_single_is_applied(world: World) -> None:
    start(world, NEXT_RUNC)
    assert conflicts(world) == 1
    world.scope_policies[CONTAINER] = CONTINUE
    assert conflicts(world) == 0
    assert world.reasons() == ["OOMModeFailed", "OOMModeApplied"]


def test_a_drop_in_that_is_removed_later_is_reported_when_systemd_has_read_its_files_again(world: World) -> None:
    start(world, CONTINUE)
    assert conflicts(world) == 0
    world.scope_policies[CONTAINER] = NEXT_RUNC
    world.systemd_loaded_ns += 1
    assert conflicts(world) == 1
    assert world.reasons() == ["OOMModeApplied", "OOMModeFailed"]
    assert conflicts(world) == 1
    assert world.reasons() == ["OOMModeApplied", "OOMModeFailed"], "once"


def test_a_scope_whose_unit_is_gone_before_its_cgroup_is_not_called_applied(world: World) -> None:
    start(world, NEXT_RUNC)
    del world.scope_policies[CONTAINER]
    conflicts(world)
    assert world.reasons() == ["OOMModeFailed"]
    world.remove(CONTAINER)
    assert conflicts(world) == 0


def test_while_systemd_reads_no_files_a_scope_without_conflict_is_read_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []
    monkeypatch.setattr(world.node.modes.scopes, "read", reads.append)
    start(world, CONTINUE)
    for _ in range(3):
        conflicts(world)
    assert reads == [CONTAINER]


def test_between_the_scopes_that_are_read_again_the_loop_drains_inotify(world: World) -> None:
    start(world, NEXT_RUNC)
    calls: list[int] = []
    world.node.modes.oom_policy_conflicts(lambda: calls.append(1))
    assert calls == [1]


def test_a_container_that_changes_to_group_is_no_conflict(world: World) -> None:
    start(world, NEXT_RUNC)
    world.told(pod({MODE: "group"}))
    assert conflicts(world) == 0
    world.told(pod({MODE: "single"}))
    assert conflicts(world) == 1


def test_on_cgroup_v1_no_policy_is_read(tmp_path: Path) -> None:
    world = World(tmp_path, version="v1")
    world.scope_policies[CONTAINER] = NEXT_RUNC
    assert world.node.modes.scopes.read(CONTAINER) is None
    world.end()


def test_a_drop_in_that_systemd_has_not_read_yet_is_what_the_note_is_about(world: World) -> None:
    start(world, ScopePolicy("x.scope", OomPolicy.KILL, "/run/x", after_reload=OomPolicy.CONTINUE, systemd=257))
    assert "systemctl daemon-reload" in world.posted[0].note


def test_the_note_says_what_the_agent_cannot_see(world: World) -> None:
    start(world, ScopePolicy("x.scope", OomPolicy.KILL, "/run/x", whole=False))
    assert (
        "unless systemd is version 259 or newer. Drop-ins below /etc and /usr are not visible" in world.posted[0].note
    )
