"""Who is who: by the API's word as long as it has spoken of a pod, by the ledger's until then."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.cgroup.layout import classify
from agent.model import KeptDecision, Mode, PodContainer
from agent.pods.registry import DEPARTED_KEEP_S, Registry
from tests.unit.loop.world import CONTAINER, ID, SANDBOX, UID, pod

PLACE = classify(CONTAINER)
OTHER = "0" * 8 + UID[8:]
KEPT = KeptDecision(UID, UID, "default", "herder-1", "main", ID, Mode.SINGLE, "oomward.dev/mode")


@pytest.fixture
def registry() -> Registry:
    return Registry()


def test_a_pod_is_found_by_the_uid_in_its_cgroups_name(registry: Registry) -> None:
    registry.put(pod())
    found = registry.pod_of(PLACE)
    assert found is not None
    assert found.name == "herder-1"
    assert registry.pod_of(classify(f"kubepods/pod{OTHER}/{ID}")) is None
    assert registry.pod_of(classify("system.slice/cron.service")) is None


def test_a_static_pod_is_found_by_its_config_hash_and_not_by_its_uid(registry: Registry) -> None:
    registry.put(replace(pod(), config_hash="c" * 32))
    assert registry.pod_of(classify(f"kubepods/pod{'c' * 32}/{ID}")) is not None
    assert registry.pod_of(PLACE) is None
    registry.put(replace(pod(), config_hash="d" * 32))
    assert registry.pod_of(classify(f"kubepods/pod{'c' * 32}/{ID}")) is None, "the file was changed: another cgroup now"


def test_a_cgroup_that_a_living_pod_has_is_not_given_to_another_that_claims_it(registry: Registry) -> None:
    """Two pods of one config hash: only the kubelet makes mirror pods that last, but anybody may make one for a moment."""
    place = classify(f"kubepods/pod{'c' * 32}/{ID}")
    real, claimant = replace(pod(), config_hash="c" * 32), replace(pod(), uid=OTHER, name="x", config_hash="c" * 32)
    registry.put(real)
    registry.put(claimant)
    assert registry.pod_of(place) == real
    registry.put(replace(claimant, config_hash="d" * 32))
    assert registry.pod_of(place) == real
    registry.depart(UID, 0.0)
    registry.put(claimant)
    assert registry.pod_of(place) == claimant, "the mirror pod was made anew, under another uid"


def test_a_container_is_known_by_its_id_also_after_its_restart(registry: Registry) -> None:
    registry.put(pod())
    container = pod().containers[0]
    again = replace(container, container_id="b" * 64, previous_id=ID)
    registry.put(replace(pod(), containers=(again,)))
    for cid in (ID, "b" * 64):
        who = registry.identity(replace(PLACE, container_id=cid))
        assert who is not None
        assert (who.pod_uid, who.container) == (UID, "main")
    assert registry.identity(classify(SANDBOX)) is None


def test_only_running_containers_ids_are_live(registry: Registry) -> None:
    one = pod(ids={"main": ID, "done": "d" * 64, "waiting": None})
    stopped = tuple(replace(c, running=c.name == "main") for c in one.containers)
    assert registry.live_ids(replace(one, containers=stopped)) == {ID}


def test_a_pod_that_left_is_known_for_two_minutes_more(registry: Registry) -> None:
    registry.put(pod())
    registry.depart(UID, 100.0)
    assert registry.has_departed(UID)
    assert registry.forget_departed(100.0 + DEPARTED_KEEP_S) == ()
    assert registry.identity(PLACE) is not None
    assert registry.forget_departed(100.1 + DEPARTED_KEEP_S) == (UID,)
    assert registry.identity(PLACE) is None
    assert registry.pod_of(PLACE) is None
    assert registry.pods == {}


def test_a_pod_that_comes_back_has_not_left(registry: Registry) -> None:
    registry.put(pod())
    registry.depart(UID, 100.0)
    registry.put(pod())
    assert registry.forget_departed(10_000.0) == ()


def test_a_pod_nobody_knows_can_not_leave(registry: Registry) -> None:
    registry.depart(UID, 100.0)
    assert registry.forget_departed(10_000.0) == ()


def test_a_list_tells_who_left_once_and_leaves_the_unreadable_as_they_were(registry: Registry) -> None:
    other = replace(pod(), uid=OTHER, name="other")
    registry.put(pod())
    registry.put(other)
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
    assert registry.kept(PLACE) == (KEPT,)
    assert registry.kept(classify("system.slice")) == ()
    registry.drop_kept(UID)
    assert registry.kept(PLACE) == ()


def test_a_kept_pod_that_the_first_list_does_not_have_is_forgotten_in_time() -> None:
    """It was deleted while no agent ran: nobody else will ever tell."""
    registry = Registry([KEPT])
    assert registry.replace([], [], 100.0) == (), "it was none of the pods told of"
    assert registry.kept(PLACE) == (KEPT,), "a kill of its last moment may still be told"
    assert registry.forget_departed(100.1 + DEPARTED_KEEP_S) == (UID,)
    assert registry.kept(PLACE) == ()
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
            registry.put(numbered(of))  # type: ignore[arg-type]
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
