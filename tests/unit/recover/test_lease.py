"""Which replica leads: one at a time, another one after the first is silent, and never by the clocks of two nodes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent.kube.api import ApiError, UnbelievableAnswerError, connect
from agent.recover.lease import LASTS_S, MARGIN_S, Lease, WrongClockError
from tests.lab.apifaults import Fault, How
from tests.unit.recover.lab import Lab

PATH = "/apis/coordination.k8s.io/v1/namespaces/oomward/leases"


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lease(lab: Lab, clock: Clock, tmp_path: Path) -> Callable[[str], Lease]:
    def make(name: str) -> Lease:
        lab.server.write_kubeconfig(tmp_path / name)
        api = connect(tmp_path / name, user_agent=name)
        lab.apis.append(api)
        lab.server.clock = lambda: 1e9 + clock.now
        return Lease(api, "oomward", name, clock, lambda: 1e9 + clock.now)

    return make


def test_the_first_one_leads_and_the_second_waits(lease: Callable[[str], Lease]) -> None:
    one, other = lease("one"), lease("other")
    assert (one.renew(), other.renew(), one.renew()) == (True, False, True)
    assert (one.held, other.held) == (True, False)


def test_a_leader_that_is_silent_is_succeeded_when_its_record_has_not_changed_for_its_duration(
    lease: Callable[[str], Lease], clock: Clock
) -> None:
    one, other = lease("one"), lease("other")
    assert (one.renew(), other.renew()) == (True, False)
    clock.now += LASTS_S - 1
    assert one.held is False
    assert (one.renew(), other.renew()) == (True, False)  # it was renewed in time: the other one counts again
    clock.now += LASTS_S
    assert other.renew() is False
    clock.now += 1
    assert (other.renew(), other.held, one.renew(), one.held) == (True, True, False, False)


def test_a_leader_stops_before_its_lease_is_over(lease: Callable[[str], Lease], clock: Clock) -> None:
    one = lease("one")
    one.renew()
    clock.now += LASTS_S - MARGIN_S
    assert not one.held


def test_two_that_take_an_old_lease_at_once_do_not_both_get_it(
    lab: Lab, lease: Callable[[str], Lease], clock: Clock
) -> None:
    dead, one, other = lease("dead"), lease("one"), lease("other")
    dead.renew()
    assert (one.renew(), other.renew()) == (False, False)
    clock.now += LASTS_S + 1
    key = ("/apis/coordination.k8s.io/v1", "leases", "oomward", "oomward-recover")
    before = lab.server.objects.stored[key]
    assert one.renew()
    taken, lab.server.objects.stored[key] = lab.server.objects.stored[key], before
    found = other._api.request("GET", f"{PATH}/oomward-recover").json(1 << 20)
    lab.server.objects.stored[key] = taken  # `one` was faster between the other's read and its write
    assert not other._write("PUT", f"{PATH}/oomward-recover", other._body(found), clock.now)
    assert not other.held


def test_a_leader_that_ends_lets_the_next_one_lead_at_once(lease: Callable[[str], Lease]) -> None:
    one, other = lease("one"), lease("other")
    one.renew()
    one.release()
    assert (one.held, other.renew()) == (False, True)


def test_an_api_that_does_not_answer_lets_the_lease_end(lab: Lab, lease: Callable[[str], Lease], clock: Clock) -> None:
    one = lease("one")
    one.renew()
    lab.server.faults.add(Fault(How.CLOSE, times=None))
    with pytest.raises(ApiError):
        one.renew()
    assert one.held
    clock.now += LASTS_S
    assert not one.held
    one.release()


@pytest.mark.parametrize("off_s", [-7200.0, 7200.0, 90.0])
def test_a_replica_does_not_lead_while_its_clock_is_wrong(
    lab: Lab, lease: Callable[[str], Lease], clock: Clock, off_s: float
) -> None:
    """Bounds are by time: with a clock that is a day ahead, all attempts would be forgotten."""
    one, other = lease("one"), lease("other")
    assert one.renew() is True
    one._unix_s = lambda: 1e9 + clock.now + off_s
    with pytest.raises(WrongClockError, match=f"clock differs from the API server's by {off_s:.0f} s"):
        one.renew()
    assert one.held is False
    assert other.renew() is False
    clock.now += LASTS_S + 1
    assert other.renew() is True
    with pytest.raises(WrongClockError):
        one.renew()
    one._unix_s = lambda: 1e9 + clock.now
    assert one.renew() is False


def test_a_replica_with_a_wrong_clock_does_not_take_a_lease_that_nobody_has(
    lab: Lab, lease: Callable[[str], Lease], clock: Clock
) -> None:
    one = lease("one")
    one._unix_s = lambda: 0.0
    for _ in range(2):
        with pytest.raises(WrongClockError):
            one.renew()
    assert one.held is False


def record(**spec: Any) -> bytes:
    """A lease of another replica, as the API has it but for what is given; NaN and the like stay."""
    whole = {"holderIdentity": "other", "leaseDurationSeconds": 15, "leaseTransitions": 1, **spec}
    return json.dumps({"metadata": {"name": "oomward-recover", "resourceVersion": "1"}, "spec": whole}).encode()


ODD: dict[str, list[Any]] = {
    "leaseDurationSeconds": ["15", True, 0, -1, 1.5, float("nan"), float("inf"), 1 << 31, [15]],
    "leaseTransitions": ["1", True, -1, {}],
    "holderIdentity": [5, ["other"]],
    "acquireTime": [5, {}],
}
NO_LEASES = [
    *(b"null", b"[]", b"{}", b'"lease"', b"5", b"true"),
    b'{"metadata": {}, "spec": {}}',
    b'{"metadata": [], "spec": {}}',
    b'{"metadata": {"resourceVersion": 5}, "spec": {}}',
    b'{"metadata": {"resourceVersion": "1"}}',
    b'{"metadata": {"resourceVersion": "1"}, "spec": []}',
    b'{"metadata": {"resourceVersion": "1"}, "spec": "x"}',
    *(record(**{key: one}) for key, found in ODD.items() for one in found),
]


@pytest.mark.parametrize("body", NO_LEASES)
@pytest.mark.parametrize("verb", ["get", "update"])
def test_whoever_gets_an_answer_that_is_no_lease_does_not_lead_and_tries_again(
    lab: Lab, lease: Callable[[str], Lease], body: bytes, verb: str
) -> None:
    """A proxy may answer 200 with anything."""
    one = lease("one")
    assert (one.renew(), one.held) == (True, True)
    lab.server.faults.add(Fault(How.BODY, verb=verb, path=PATH, body=body))
    with pytest.raises(UnbelievableAnswerError, match=f"{PATH}/oomward-recover is no Lease"):
        one.renew()
    assert (one.held, one.leader) == (False, "")
    assert (one.renew(), one.held) == (True, True)


@pytest.mark.parametrize("body", [b"null", record(holderIdentity="other")])
def test_a_lease_that_is_made_or_written_is_ours_only_if_the_answer_has_our_name(
    lab: Lab, lease: Callable[[str], Lease], body: bytes
) -> None:
    one = lease("one")
    for verb in ("create", "update"):
        lab.server.faults.add(Fault(How.BODY, verb=verb, path=PATH, body=body))
        with pytest.raises(UnbelievableAnswerError):
            one.renew()
        assert not one.held
        assert one.renew()


@pytest.mark.parametrize("body", NO_LEASES)
def test_an_answer_that_is_no_lease_keeps_no_replica_from_ending(
    lab: Lab, lease: Callable[[str], Lease], body: bytes
) -> None:
    one = lease("one")
    one.renew()
    lab.server.faults.add(Fault(How.BODY, verb="get", path=PATH, body=body))
    one.release()
    assert not one.held


def test_a_lease_that_says_no_duration_and_no_transitions_is_one(lab: Lab, lease: Callable[[str], Lease]) -> None:
    """They are optional in the API."""
    one = lease("one")
    one.renew()
    stored = lab.server.objects.stored["/apis/coordination.k8s.io/v1", "leases", "oomward", "oomward-recover"]
    stored["spec"] = {}
    assert one.renew()


def test_a_date_that_is_none_says_nothing_about_the_clock(
    lease: Callable[[str], Lease], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = lease("one")
    found = one._api.request
    monkeypatch.setattr(one._api, "request", lambda *args, **more: _with_date(found(*args, **more)))
    assert (one.renew(), one.renew()) == (True, True)


def _with_date(answer: Any) -> Any:
    answer.raw.headers["Date"] = "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"
    return answer
