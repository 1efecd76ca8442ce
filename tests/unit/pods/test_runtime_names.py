"""Pods and containers as the runtime names them: by list and by event, for a while after their removal, and never another's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.cgroup.layout import classify
from agent.model import CgroupPlace, ContainerKind, Identity, Pod, PodContainer, RuntimeContainer, Sandbox
from agent.pods.registry import Registry
from agent.pods.runtime_names import KEEP_S, RuntimeNames

UID = "1b4e28ba-2fa1-11d2-883f-0016d3cca427"
HASH = "8f2c5f3b1d6e7a90b1c2d3e4f5061728"
MAIN, OTHER, BOX, BOX_2 = (letter * 64 for letter in "ab56")


def sandbox(sandbox_id: str = BOX, uid: str = UID, **labels: str) -> Sandbox:
    return Sandbox(sandbox_id, Pod(uid, "default", "herder-1", "", labels=labels))


def container(container_id: str = MAIN, name: str = "main", sandbox_id: str = BOX) -> RuntimeContainer:
    return RuntimeContainer(container_id, name, sandbox_id)


def place(container_id: str = MAIN, uid: str = UID) -> CgroupPlace:
    return classify(f"kubepods/burstable/pod{uid}/{container_id}")


def names() -> RuntimeNames:
    found = RuntimeNames()
    found.list([sandbox()], [container()], 0.0)
    return found


def name_of(found: RuntimeNames, container_id: str = MAIN) -> str | None:
    identity = found.identity(place(container_id), None)
    return None if identity is None else identity.container


def test_a_listed_container_has_a_name_and_its_sandbox_is_one() -> None:
    found = names()
    assert found.identity(place(), None) == Identity("default", "herder-1", UID, "main", MAIN)
    assert found.is_sandbox(place(BOX))
    assert not found.is_sandbox(place())
    pod = found.pod(place())
    assert pod is not None
    assert pod.name == "herder-1"


def test_what_nobody_named_is_not_known() -> None:
    found = names()
    assert found.identity(place(OTHER), None) is None
    assert found.pod(place(uid=UID.replace("1", "2"))) is None
    assert not found.is_sandbox(place(OTHER))
    for other in (classify("kubepods"), classify("system.slice"), classify(f"kubepods/burstable/pod{UID}")):
        assert found.identity(other, None) is None
        assert not found.is_sandbox(other)


def test_of_a_pod_that_the_api_has_reported_the_identity_is_the_apis() -> None:
    mirror = Pod("mirror", "default", "herder-1-node", "node-1", config_hash=UID)
    assert names().identity(place(), mirror) == Identity("default", "herder-1-node", "mirror", "main", MAIN)


def test_a_container_of_another_pods_cgroup_is_not_named() -> None:
    assert names().identity(place(uid=UID.replace("1", "2")), None) is None


def test_a_container_without_its_sandbox_is_not_named() -> None:
    found = RuntimeNames()
    found.put_container(container())
    assert found.identity(place(), None) is None
    found.put(sandbox())
    assert name_of(found) == "main"


def test_what_a_list_leaves_out_was_removed_and_is_known_for_a_while() -> None:
    found = names()
    found.list([sandbox(BOX_2)], [container(OTHER, "other", BOX_2)], 100.0)
    assert name_of(found, OTHER) == "other"
    found.forget_removed(100.0 + KEEP_S)
    assert name_of(found) == "main"
    assert found.is_sandbox(place(BOX))
    found.forget_removed(100.1 + KEEP_S)
    assert name_of(found) is None
    assert not found.is_sandbox(place(BOX))
    assert name_of(found, OTHER) == "other"
    assert found.pod(place(OTHER)) is not None, "by its own sandbox"


def test_what_a_list_names_again_was_not_removed() -> None:
    found = names()
    found.remove(MAIN, 1.0)
    found.remove(BOX, 1.0)
    found.list([sandbox()], [container()], 2.0)
    found.forget_removed(2.0 + 10 * KEEP_S)
    assert name_of(found) == "main"


def test_a_removal_counts_from_the_first_report_of_it() -> None:
    found = names()
    found.remove(MAIN, 1.0)
    found.remove(MAIN, 100.0)
    found.list([sandbox()], [], 110.0)
    found.forget_removed(1.1 + KEEP_S)
    assert name_of(found) is None


def test_the_removal_of_what_is_not_known_is_not_kept() -> None:
    found = names()
    found.remove("unknown", 1.0)
    assert found._removed == {}


def test_a_pod_without_any_sandbox_is_forgotten_with_the_last() -> None:
    found = names()
    found.remove(BOX, 0.0)
    found.forget_removed(1.0 + KEEP_S)
    assert found.pod(place()) is None


@given(st.lists(st.tuples(st.sampled_from(["put", "remove", "list"]), st.integers(0, 5)), max_size=30))
def test_whatever_comes_and_goes_nothing_is_left_of_what_was_removed(steps: list[tuple[str, int]]) -> None:
    found, there, now_s = RuntimeNames(), set[int](), 0.0
    for what, number in steps:
        now_s += 1.0
        box, one = sandbox(f"s{number}", f"pod-{number}"), container(f"c{number}", sandbox_id=f"s{number}")
        if what == "put":
            found.put(box)
            found.put_container(one)
            there.add(number)
        elif what == "remove":
            found.remove(f"s{number}", now_s)
            found.remove(f"c{number}", now_s)
            there.discard(number)
        else:
            found.list([box], [one], now_s)
            there = {number}
    found.forget_removed(now_s + KEEP_S + 1)
    assert set(found._containers) == {f"c{n}" for n in there}
    assert set(found._sandboxes) == {f"s{n}" for n in there}
    assert found._removed == {}


# ---------------------------------------------------------------------------------------------------------- the registry


@pytest.fixture
def registry() -> Registry:
    found = Registry()
    found.runtime.list([sandbox()], [container()], 0.0)
    return found


def test_the_registry_names_a_container_by_the_runtime_until_the_api_does(registry: Registry) -> None:
    assert registry.identity(place()) == Identity("default", "herder-1", UID, "main", MAIN)
    by_api = PodContainer("main by the API", ContainerKind.REGULAR, container_id=MAIN)
    registry.put(Pod(UID, "default", "herder-1", "node-1", containers=(by_api,)), 0.0)
    assert registry.identity(place()) == Identity("default", "herder-1", UID, "main by the API", MAIN)


def test_a_pod_without_ids_yet_has_its_containers_named_by_the_runtime(registry: Registry) -> None:
    registry.put(Pod(UID, "default", "herder-1", "node-1"), 0.0)
    assert registry.identity(place()) == Identity("default", "herder-1", UID, "main", MAIN)
    assert registry.identity(place(OTHER)) is None


def test_a_static_pods_container_has_the_mirrors_uid_when_the_api_has_reported_it() -> None:
    registry = Registry()
    registry.runtime.list([sandbox(uid=HASH)], [container()], 0.0)
    assert registry.identity(place(uid=HASH)) == Identity("default", "herder-1", HASH, "main", MAIN)
    registry.put(Pod("mirror", "default", "herder-1-node", "node-1", config_hash=HASH), 0.0)
    assert registry.identity(place(uid=HASH)) == Identity("default", "herder-1-node", "mirror", "main", MAIN)


def test_the_registry_forgets_what_the_runtime_removed(registry: Registry) -> None:
    registry.runtime.remove(MAIN, 0.0)
    registry.forget_departed(KEEP_S)
    assert registry.identity(place()) is not None
    registry.forget_departed(KEEP_S + 0.1)
    assert registry.identity(place()) is None


@pytest.mark.parametrize("order", [(BOX, BOX_2), (BOX_2, BOX)])
def test_of_two_sandboxes_of_a_pod_the_containers_own_counts_whatever_the_lists_order(order: tuple[str, str]) -> None:
    """The kubelet makes a new sandbox where the old one has died; labels may have changed in between."""
    boxes = {BOX: sandbox(mode="group"), BOX_2: sandbox(BOX_2, mode="single")}
    found = RuntimeNames()
    found.list([boxes[one] for one in order], [container(sandbox_id=BOX_2)], 0.0)
    for _ in range(2):
        pod = found.pod(place())
        assert pod is not None
        assert pod.labels == {"mode": "single"}
        found.remove(BOX, 0.0)
        found.forget_removed(KEEP_S + 1)
