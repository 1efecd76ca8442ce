"""The agents' Events, in the agents' own words, become kills again; what is not theirs, old or unreadable is left out."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.events.sender import event_body
from agent.model import AtLimit, MemoryUse, Mode, Notice, ObjectRef, OomKill, Outcome, Reason, Scope, Victim
from agent.recover.kill_events import MOST_OF_POD, reports_of
from agent.recover.subject import subject_of
from agent.wording.kills import kill_note
from agent.wording.pressure import pressure_note
from agent.wording.times import rfc3339
from tests.unit.recover.pods import NOW, killed, step

UID = "uid-app-1"


def kill(scope: Scope | None, *, whole: bool, container: str = "app", comm: str = "python3") -> OomKill:
    return OomKill(
        "boot", 1, 1, NOW - 30, "node", "/kubepods/x", 1, "shop", "app-1", UID, container, "c", (Victim(1, comm, 0, 1 << 20),),
        mode=Mode.GROUP if whole else Mode.SINGLE, group_kill=whole, scope=scope, limit_bytes=1 << 28,
        outcome=Outcome.DIED if whole else Outcome.SURVIVED,
    )  # fmt: skip


def event(one: OomKill) -> dict[str, Any]:
    reason = Reason.CONTAINER_OOM_KILLED if one.group_kill else Reason.PROCESS_OOM_KILLED
    note = kill_note(one, container_limits={one.container or "": 1 << 28})
    about = ObjectRef("Pod", "app-1", "shop", UID)
    return event_body(Notice("x", about, reason, True, "OOMKill", note, one.at_unix_s), "node")


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("scope", [*Scope, None])
def test_a_kill_is_read_as_the_agent_wrote_it(scope: Scope | None, whole: bool) -> None:
    (found,) = reports_of([event(kill(scope, whole=whole))], NOW).kills["shop", UID]
    assert (found.container, found.scope, found.group_kill, found.at_unix_s) == ("app", scope, whole, NOW - 30)
    assert found.outcome is (Outcome.DIED if whole else Outcome.SURVIVED)


@given(st.text(max_size=15), st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True))
def test_a_process_name_does_not_change_the_container(comm: str, name: str) -> None:
    if " in container" not in comm:
        (found,) = reports_of([event(kill(Scope.CONTAINER, whole=False, container=name, comm=comm))], NOW).kills[
            "shop", UID
        ]
        assert found.container == name


def test_an_event_of_another_namespace_is_about_no_pod_of_this_one() -> None:
    """The API server checks that an Event is in the namespace of its object, and no more: the uid may be anybody's."""
    forged = event(kill(Scope.CONTAINER, whole=True))
    forged |= {"metadata": {**forged["metadata"], "namespace": "evil"}}
    found, pod = reports_of([forged], NOW), subject_of(killed()).pod
    assert (pod.uid, found.kills_of(pod)) == (UID, ())


def test_a_repeated_kill_is_as_new_as_its_last_time() -> None:
    again = {
        **event(kill(Scope.CONTAINER, whole=False)),
        "series": {"count": 2, "lastObservedTime": "2026-05-28T20:26:39.000000Z"},
    }
    (found,) = reports_of([again], NOW).kills["shop", UID]
    assert found.at_unix_s == NOW - 1


def test_of_very_many_events_about_one_pod_the_newest_count() -> None:
    """Whoever may post Events in a namespace must not make the controller slow for all."""
    one = event(kill(Scope.CONTAINER, whole=True))
    forged = [{**one, "eventTime": rfc3339(NOW - 3000 + number / 10, "microseconds")} for number in range(20_000)]
    random.Random(0).shuffle(forged)
    found = reports_of(forged, NOW).kills["shop", UID]
    assert len(found) == MOST_OF_POD
    assert min(kill.at_unix_s for kill in found) >= NOW - 3000 + (20_000 - MOST_OF_POD) / 10 - 0.01


@pytest.mark.parametrize(
    "change",
    [{"reason": "Other"}, {"note": 7}, {"note": "x"}, {"regarding": None}, {"eventTime": "soon"}, {"eventTime": None}],
)
def test_what_cannot_be_read_is_left_out(change: dict[str, Any]) -> None:
    assert not reports_of([{**event(kill(Scope.CONTAINER, whole=True)), **change}], NOW).kills
    assert not reports_of([event(kill(Scope.CONTAINER, whole=True))], NOW + 3600).kills


def test_pressure_is_read_and_leads_to_growth_where_the_pod_asks_for_that() -> None:
    from agent.recover.circuits import Circuits
    from agent.recover.history import History
    from agent.recover.kill_events import pressure
    from agent.recover.planner import World, plan
    from tests.unit.recover.pods import OPENED, REAL

    reading = AtLimit(1 << 28, 1 << 28, 1, 0, MemoryUse())
    note = pressure_note("app", reading, None, (), lasts_s=0.0, shared=False)
    pods = {"note": pressure_note("app", reading, None, (), lasts_s=0.0, shared=True)}
    pressed = {**event(kill(Scope.CONTAINER, whole=True)), "reason": "MemoryLimitPressure", "note": note}
    containers = reports_of([pressed], NOW).pressed["shop", UID]
    assert containers == {"app": NOW - 30}
    assert not reports_of([pressed], NOW + 300).pressed
    assert not reports_of([pressed | pods], NOW).pressed, "another container's growth may fill the pod's limit"
    for asks in (True, False):
        raw = killed(
            notes={"oomward.dev/grow": "25%/1Gi", **({"recover.oomward.dev/grow-on-pressure": "true"} if asks else {})}
        )
        raw["status"]["containerStatuses"][0].pop("lastState")
        subject = subject_of(raw)
        found = plan(subject, OPENED, pressure(subject, containers), World(REAL, History(), NOW, Circuits()))
        assert hasattr(found, "attempt") is asks
    assert step(killed()).attempt.after == "320Mi"
