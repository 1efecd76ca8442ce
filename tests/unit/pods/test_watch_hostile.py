"""What a broken or hostile server sends to the pod watch: it is skipped, or listed anew, ever more slowly."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import agent.pods.watch as pods_module
from agent.model import PodChanged, PodDeleted, PodSkipped, PodsListed, WatchTrouble
from agent.pods import list as podlist
from agent.pods.watch import PodWatch
from tests.lab.apifaults import Fault, How
from tests.lab.apiserver import ApiServer
from tests.unit.kube.world import NODE, Clock, Inbox, Waits, pod_json
from tests.unit.patience import PATIENCE_S


def test_a_deleted_pod_that_cannot_be_read_is_gone_all_the_same(server: ApiServer, watch: Any, inbox: Inbox) -> None:
    server.put_pod(pod_json())
    gone = b'{"type":"DELETED","object":{"metadata":{"uid":"uid-1","name":7}}}'
    server.faults.add(Fault(How.GARBAGE, "watch", body=gone))
    watch.start()
    inbox.next(PodSkipped)
    assert inbox.next(PodDeleted).uid == "uid-1"


@pytest.mark.parametrize(
    "body",
    [
        b'{"kind":"Status","metadata":{"resourceVersion":"5"},"status":"Success"}',
        b'{"kind":"PodList","metadata":{"resourceVersion":"5","continue":"abc"},"items":[]}',
        b'{"kind":"PodList","metadata":{"resourceVersion":5},"items":[]}',
        b'{"kind":"PodList","metadata":{"resourceVersion":"5"},"items":{}}',
        b'{"kind":"PodList","metadata":null,"items":[]}',
        b"[]",
        b"null",
        b"[" * 100_000,
    ],
    ids=["another-kind", "a-part", "version-number", "items-object", "no-metadata", "list", "null", "deep"],
)
def test_what_is_no_whole_list_never_counts_as_all_pods_gone(
    body: bytes, server: ApiServer, watch: Any, inbox: Inbox, waits: Waits
) -> None:
    server.put_pod(pod_json())
    server.faults.add(Fault(How.BODY, "list", body=body))
    watch.start()
    assert [pod.name for pod in inbox.next(PodsListed).pods] == ["herder-1"]
    assert [m.reason for m in inbox.seen if isinstance(m, WatchTrouble)] in (["error"], ["unreachable"])
    assert waits.seconds == [0.375]


def test_a_list_without_items_is_an_empty_one(server: ApiServer, watch: Any, inbox: Inbox) -> None:
    body = b'{"kind":"PodList","metadata":{"resourceVersion":"1000"},"items":null}'
    server.faults.add(Fault(How.BODY, "list", body=body))
    watch.start()
    assert inbox.next(PodsListed).pods == ()


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 100_000,
        b"null",
        b"5",
        b'"ADDED"',
        b"[]",
        b'{"type":"ADDED"}',
        b'{"type":"RENAMED","object":{}}',
        b'{"type":["ADDED"],"object":{}}',
        b'{"type":"ERROR","object":"no"}',
        b'{"type":"ERROR","object":{"code":"410","message":[]}}',
        b"\xff\xfe",
    ],
    ids=lambda line: line[:30].decode("latin-1"),
)
def test_a_line_that_is_no_event_leads_to_a_new_list(
    line: bytes, server: ApiServer, watch: Any, inbox: Inbox, waits: Waits
) -> None:
    server.faults.add(Fault(How.GARBAGE, "watch", body=line))
    watch.start()
    inbox.next(PodsListed)
    assert inbox.next(WatchTrouble).reason == "error"
    inbox.next(PodsListed)


@pytest.mark.parametrize(
    "line",
    [
        b'{"type":"ADDED","object":null}',
        b'{"type":"MODIFIED","object":[1]}',
        b'{"type":"DELETED","object":"x"}',
        b'{"type":"ADDED","object":{"metadata":{"uid":"u","name":"\\ud800","namespace":"n"}}}',
    ],
    ids=["null", "list", "text", "half-a-character"],
)
def test_an_event_whose_object_is_no_pod_is_skipped(
    line: bytes, server: ApiServer, watch: Any, inbox: Inbox, waits: Waits
) -> None:
    server.faults.add(Fault(How.GARBAGE, "watch", body=line))
    watch.start()
    inbox.next(PodSkipped)
    server.put_pod(pod_json())
    assert inbox.next(PodChanged).pod.name == "herder-1"
    assert [r.verb for r in server.requests] == ["list", "watch"]


@pytest.mark.parametrize("verb", ["list", "watch"])
def test_an_object_as_large_as_they_come_is_read(verb: str, server: ApiServer, watch: Any, inbox: Inbox) -> None:
    server.put_pod(pod_json())
    server.faults.add(Fault(How.HUGE_OBJECT, verb))
    watch.start()
    if verb == "list":
        assert {pod.name for pod in inbox.next(PodsListed).pods} == {"huge", "herder-1"}
    else:
        assert inbox.next(PodChanged).pod.name == "huge"


def _tells_of_after(message: object) -> bool:
    pods = (
        message.pods if isinstance(message, PodsListed) else (message.pod,) if isinstance(message, PodChanged) else ()
    )
    return any(pod.name == "after" for pod in pods)


@pytest.mark.parametrize(
    "how", [How.GONE_EVENT, How.ERROR_EVENT, How.GARBAGE, How.END, How.CLOSE], ids=lambda h: h.name
)
def test_a_storm_that_lasts_is_met_ever_more_slowly_although_each_list_works(
    how: How, server: ApiServer, watch: Any, inbox: Inbox, waits: Waits
) -> None:
    server.faults.add(Fault(how, "watch", times=9))
    watch.start()
    for _ in range(9):
        inbox.next(WatchTrouble)
    server.put_pod(pod_json("after", "uid-after"))
    inbox.next(object, _tells_of_after)  # by a list or by the watch, whichever came first
    assert waits.seconds == [0.375, 0.75, 1.5, 3.0, 6.0, 12.0, 22.5, 22.5, 22.5]


def test_after_a_watch_that_worked_for_a_while_the_waits_begin_anew(
    server: ApiServer, inbox: Inbox, waits: Waits, api: Any
) -> None:
    """The clock is set forward while the watch is open, as if it had lasted."""
    clock = Clock()
    stop = threading.Event()
    watch = PodWatch(api, NODE, inbox.messages.put, stop=stop, clock=clock, wait=waits, rand=lambda: 0.5)
    thread = threading.Thread(target=watch.run, daemon=True)
    server.faults.add(Fault(How.CLOSE, "watch", times=3))
    thread.start()
    for _ in range(3):
        inbox.next(WatchTrouble)
    server.put_pod(pod_json())
    inbox.next(PodChanged)
    clock.now += pods_module.SHORT_S
    server.store.forget_history()
    inbox.next(WatchTrouble, lambda m: m.reason == "gone")
    inbox.next(PodsListed)
    stop.set()
    server.close()
    thread.join(PATIENCE_S)
    assert waits.seconds == [0.375, 0.75, 1.5, 0.375]


def test_a_full_list_comes_now_and_then_without_waiting(
    server: ApiServer, watch: Any, inbox: Inbox, waits: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pods_module, "RELIST_S", 0.0)
    watch.start()
    inbox.next(PodsListed)
    assert inbox.next(WatchTrouble).reason == "relist"
    inbox.next(PodsListed)
    assert waits.seconds == []


def test_a_watch_that_is_told_when_to_come_back_obeys(
    server: ApiServer, watch: Any, inbox: Inbox, waits: Waits
) -> None:
    server.faults.add(Fault(How.STATUS, "watch", status=429, reason="TooManyRequests", retry_after_s=17))
    watch.start()
    inbox.next(WatchTrouble)
    server.put_pod(pod_json())
    inbox.next(PodChanged)
    assert waits.seconds == [17.0]


@pytest.mark.parametrize("status", [400, 404, 422])
def test_a_watch_that_the_server_finds_wrong_is_not_sent_again_as_it_was(
    status: int, server: ApiServer, watch: Any, inbox: Inbox
) -> None:
    server.faults.add(Fault(How.STATUS, "watch", status=status, reason="BadRequest"))
    watch.start()
    inbox.next(PodsListed)
    assert inbox.next(WatchTrouble).reason == "refused"
    inbox.next(PodsListed)


def test_a_server_that_was_set_back_to_an_older_state_is_listed_again(
    server: ApiServer, watch: Any, inbox: Inbox
) -> None:
    """As after etcd was restored from a backup: the version that we know lies in the server's future."""
    server.faults.add(
        Fault(How.BODY, "list", body=b'{"kind":"PodList","metadata":{"resourceVersion":"99999"},"items":[]}')
    )
    watch.start()
    assert inbox.next(PodsListed).resource_version == "99999"
    assert "Too large resource version" in inbox.next(WatchTrouble).detail
    assert int(inbox.next(PodsListed).resource_version) < 99999


@pytest.mark.parametrize("gone_as", ["event", "status"])
def test_either_form_of_a_410_leads_to_a_list_and_nothing_is_missed(
    gone_as: Any, server: ApiServer, watch: Any, inbox: Inbox
) -> None:
    server.gone_as = gone_as
    server.put_pod(pod_json())
    server.faults.add(Fault(How.SILENT, "watch"))
    watch.start()
    inbox.next(PodsListed)
    server.delete_pod("default", "herder-1")
    server.put_pod(pod_json("second", "uid-2"))
    server.store.forget_history()
    server.faults.clear()
    assert inbox.next(WatchTrouble, lambda m: m.reason != "unreachable").reason == "gone"
    assert [pod.name for pod in inbox.next(PodsListed).pods] == ["second"]


def test_a_server_that_goes_away_and_comes_back_is_watched_on_without_a_new_list(
    server: ApiServer, watch: Any, inbox: Inbox
) -> None:
    watch.start()
    inbox.next(PodsListed)
    server.put_pod(pod_json())
    inbox.next(PodChanged)
    server.close()
    inbox.next(WatchTrouble, lambda m: m.reason == "unreachable")  # the stream's own end may be told before, as "short"
    server.put_pod(pod_json("meanwhile", "uid-2"))
    server.start()
    assert inbox.next(PodChanged).pod.name == "meanwhile"
    assert [r.verb for r in server.requests].count("list") == 1


@pytest.mark.parametrize("verb", ["list", "watch"])
def test_a_server_that_takes_the_request_and_says_nothing_is_given_up(
    verb: str, server: ApiServer, watch: Any, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pods_module, "READ_S", 0.1)
    monkeypatch.setattr(podlist, "LIST_S", 0.1)
    server.faults.add(Fault(How.SILENT, verb))
    watch.start()
    assert inbox.next(WatchTrouble).reason == "unreachable"


def test_a_slow_answer_is_waited_for(server: ApiServer, watch: Any, inbox: Inbox) -> None:
    server.put_pod(pod_json())
    server.faults.add(Fault(How.SLOW, "list", delay_s=0.1))
    watch.start()
    assert len(inbox.next(PodsListed).pods) == 1
    assert not [m for m in inbox.seen if isinstance(m, WatchTrouble)]


def test_every_change_and_every_wait_is_a_heartbeat(server: ApiServer, inbox: Inbox, api: Any) -> None:
    clock, stop = Clock(), threading.Event()

    def wait(seconds: float) -> None:
        clock.now += seconds

    watch = PodWatch(api, NODE, inbox.messages.put, stop=stop, clock=clock, wait=wait, rand=lambda: 1.0)
    server.faults.add(Fault(How.STATUS, "list", status=500, times=4))
    thread = threading.Thread(target=watch.run, daemon=True)
    thread.start()
    inbox.next(PodsListed)
    assert watch.last_beat_monotonic_s == 0.5 + 1 + 2 + 4
    clock.now += 50
    server.put_pod(pod_json())
    inbox.next(PodChanged)
    assert watch.last_beat_monotonic_s == 57.5
    stop.set()
    server.close()
    thread.join(PATIENCE_S)
