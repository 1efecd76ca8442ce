"""Who is who: by the API's word as long as it has spoken of a pod, by the ledger's until then."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.cgroup.layout import classify
from agent.model import KeptDecision, Mode, PodContainer
from agent.pods.registry import KEEP_S, Registry
from tests.unit.loop.world import CONTAINER, ID, SANDBOX, UID, pod

PLACE = classify(CONTAINER)
OTHER = "0" * 8 + UID[8:]
KEPT = KeptDecision(UID, UID, "default", "herder-1", "main", ID, Mode.SINGLE, "oomward.dev/mode")


@pytest.fixture
def registry() -> Registry:
    return Registry()


def test_a_pod_is_found_by_the_uid_in_its_cgroups_name(registry: Registry) -> None:
    registry.put(pod(), 0.0)
    found = registry.pod_of(PLACE)
    assert found is not None
    assert found.name == "herder-1"
    assert registry.pod_of(classify(f"kubepods/pod{OTHER}/{ID}")) is None
    assert registry.pod_of(classify("system.slice/cron.service")) is None


def test_a_static_pod_is_found_by_its_config_hash_and_not_by_its_uid(registry: Registry) -> None:
    registry.put(replace(pod(), config_hash="c" * 32), 0.0)
    assert registry.pod_of(classify(f"kubepods/pod{'c' * 32}/{ID}")) is not None
    assert registry.pod_of(PLACE) is None
    registry.put(replace(pod(), config_hash="d" * 32), 0.0)
    assert registry.pod_of(classify(f"kubepods/pod{'c' * 32}/{ID}")) is None, "the file was changed: another cgroup now"


def test_a_cgroup_that_a_living_pod_has_is_not_given_to_another_that_claims_it(registry: Registry) -> None:
    """Two pods of one config hash: only the kubelet makes mirror pods that last, but anybody may make one for a moment."""
    place = classify(f"kubepods/pod{'c' * 32}/{ID}")
    real, claimant = replace(pod(), config_hash="c" * 32), replace(pod(), uid=OTHER, name="x", config_hash="c" * 32)
    registry.put(real, 0.0)
    registry.put(claimant, 0.0)
    assert registry.pod_of(place) == real
    registry.put(replace(claimant, config_hash="d" * 32), 0.0)
    assert registry.pod_of(place) == real
    registry.depart(UID, 0.0)
    registry.put(claimant, 0.0)
    assert registry.pod_of(place) == claimant, "the mirror pod was made anew, under another uid"


def test_a_container_is_known_by_its_id_also_after_its_restart(registry: Registry) -> None:
    registry.put(pod(), 0.0)
    container = pod().containers[0]
    again = replace(container, container_id="b" * 64, previous_id=ID)
    registry.put(replace(pod(), containers=(again,)), 0.0)
    for cid in (ID, "b" * 64):
        who = registry.identity(replace(PLACE, container_id=cid))
        assert who is not None
        assert (who.pod_uid, who.container) == (UID, "main")
    assert registry.identity(classify(SANDBOX)) is None


def test_restarts_of_a_living_pod_leave_nothing_behind(registry: Registry) -> None:
    """A crash loop at its slowest: 450 restarts are a day and a half."""
    for restart in range(450):
        at, (container,) = restart * 300.0, pod().containers
        ids = f"{restart:064x}", f"{restart - 1:064x}" if restart else None
        registry.put(replace(pod(), containers=(replace(container, container_id=ids[0], previous_id=ids[1]),)), at)
        registry.forget_departed(at + 10.0)
        registry.forget_departed(at + KEEP_S + 1.0)
    known = [i for i in range(450) if registry.identity(replace(PLACE, container_id=f"{i:064x}")) is not None]
    assert known == [448, 449], "the instance of now and the one before"
    assert all(len(each) <= 2 for each in (registry._ids, registry._unnamed, registry._named[UID]))


def test_a_kill_of_the_instance_before_the_previous_one_finds_its_name_for_two_minutes_more(registry: Registry) -> None:
    (container,) = pod().containers
    for at, (current, previous) in enumerate(((ID, None), ("b" * 64, ID), ("c" * 64, "b" * 64))):
        registry.put(replace(pod(), containers=(replace(container, container_id=current, previous_id=previous),)), at)
    registry.forget_departed(2.0 + KEEP_S)
    assert registry.identity(PLACE) is not None
    registry.forget_departed(2.1 + KEEP_S)
    assert registry.identity(PLACE) is None
    assert registry.identity(replace(PLACE, container_id="b" * 64)) is not None, "the previous one is named still"


def test_an_id_that_is_named_again_is_kept(registry: Registry) -> None:
    """A list of an older state came in between."""
    for at, container_id in enumerate((ID, None, ID)):
        registry.put(pod(ids={"main": container_id}), float(at))
    registry.forget_departed(10_000.0)
    assert registry.identity(PLACE) is not None


def test_a_kept_id_that_the_api_does_not_name_is_forgotten_in_time() -> None:
    """The container was restarted twice while no agent ran."""
    registry = Registry([KEPT])
    registry.put(pod(ids={"main": "b" * 64}), 100.0)
    assert registry.identity(PLACE) is not None
    registry.forget_departed(100.1 + KEEP_S)
    assert registry.identity(PLACE) is None


def test_only_running_containers_ids_are_live(registry: Registry) -> None:
    one = pod(ids={"main": ID, "done": "d" * 64, "waiting": None})
    stopped = tuple(replace(c, running=c.name == "main") for c in one.containers)
    assert registry.live_ids(replace(one, containers=stopped)) == {ID}


def test_a_pod_that_left_is_known_for_two_minutes_more(registry: Registry) -> None:
    registry.put(pod(), 0.0)
    registry.depart(UID, 100.0)
    assert registry.has_departed(UID)
    assert registry.forget_departed(100.0 + KEEP_S) == ()
    assert registry.identity(PLACE) is not None
    assert registry.forget_departed(100.1 + KEEP_S) == (UID,)
    assert registry.identity(PLACE) is None
    assert registry.pod_of(PLACE) is None
    assert registry.pods == {}


def test_a_pod_that_comes_back_has_not_left(registry: Registry) -> None:
    registry.put(pod(), 0.0)
    registry.depart(UID, 100.0)
    registry.put(pod(), 0.0)
    assert registry.forget_departed(10_000.0) == ()


def test_a_pod_nobody_knows_can_not_leave(registry: Registry) -> None:
    registry.depart(UID, 100.0)
    assert registry.forget_departed(10_000.0) == ()


def test_a_list_tells_who_left_once_and_leaves_the_unreadable_as_they_were(registry: Registry) -> None:
    other = replace(pod(), uid=OTHER, name="other")
    registry.put(pod(), 0.0)
    registry.put(other, 0.0)
    assert not registry.listed
    assert registry.replace([], [OTHER], 100.0) == (UID,)
    assert registry.listed
    assert not registry.has_departed(OTHER)
    assert registry.replace([], [OTHER], 200.0) == ()


def test_what_was_kept_names_containers_until_the_api_has_spoken() -> None:
    registry = Registry([KEPT])
    who = registry.identity(PLACE)
    assert who is not None
    assert (who.pod, who.container) == ("herder-1", "main")
    assert registry.remembered(PLACE) == (KEPT,)
    assert registry.remembered(classify("system.slice")) == ()
    registry.forget_remembered(UID)
    assert registry.remembered(PLACE) == ()


def test_a_kept_pod_that_the_first_list_does_not_have_is_forgotten_in_time() -> None:
    """It was deleted while no agent ran: nobody else will ever tell."""
    registry = Registry([KEPT])
    assert registry.replace([], [], 100.0) == (), "it was none of the pods told of"
    assert registry.remembered(PLACE) == (KEPT,), "a kill of its last moment may still be told"
    assert registry.forget_departed(100.1 + KEEP_S) == (UID,)
    assert registry.remembered(PLACE) == ()
    assert registry.identity(PLACE) is None


@pytest.mark.parametrize("skipped", [(), (UID,)])
def test_a_kept_pod_that_the_first_list_has_stays(skipped: tuple[str, ...]) -> None:
    registry = Registry([KEPT])
    registry.replace([] if skipped else [pod()], skipped, 100.0)
    assert registry.forget_departed(10_000.0) == ()
    assert registry.identity(PLACE) is not None


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 3)),
        st.tuples(st.just("depart"), st.integers(0, 3)),
        st.tuples(st.just("list"), st.frozensets(st.integers(0, 3))),
    ),
    max_size=30,
)


@given(STEPS)
def test_however_pods_come_and_go_the_present_ones_are_known_and_the_others_forgotten(
    steps: list[tuple[str, int | frozenset[int]]],
) -> None:
    def numbered(i: int) -> object:
        return replace(
            pod(), uid=f"{i}{UID[1:]}", containers=(PodContainer("main", pod().containers[0].kind, f"{i}" * 64),)
        )

    registry, present = Registry(), set[int]()
    for at, (what, of) in enumerate(steps):
        if isinstance(of, frozenset):
            registry.replace([numbered(i) for i in of], [], float(at))  # type: ignore[misc]
            present = set(of)
        elif what == "put":
            registry.put(numbered(of), 0.0)  # type: ignore[arg-type]
            present.add(of)
        else:
            registry.depart(f"{of}{UID[1:]}", float(at))
            present.discard(of)
    registry.forget_departed(1e6)
    assert set(registry.pods) == {f"{i}{UID[1:]}" for i in present}
    for i in range(4):
        place = classify(f"kubepods/pod{i}{UID[1:]}/{str(i) * 64}")
        assert (registry.pod_of(place) is not None) == (i in present)
        assert (registry.identity(place) is not None) == (i in present)
