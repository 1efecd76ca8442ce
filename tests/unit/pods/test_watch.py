"""The pod watch: one list, one watch, and whatever the server does, it comes right again."""

from __future__ import annotations

import json
from typing import Any

import pytest

import agent.pods.watch as pods_module
from agent.model import PodChanged, PodDeleted, PodSkipped, PodsListed, WatchTrouble
from tests.lab.apifaults import Fault, How
from tests.lab.apiserver import ApiServer
from tests.unit.kube.world import Inbox, Waits, pod_json


def test_a_list_comes_first_and_names_only_pods_of_this_node(server: ApiServer, watch: Any, inbox: Inbox) -> None:
    server.put_pod(pod_json())
    server.put_pod(pod_json("elsewhere", "uid-2", node="node-2"))
    watch.start()
    assert [pod.name for pod in inbox.next(PodsListed).pods] == ["herder-1"]
    (request,) = [r for r in server.requests if r.verb == "list"]
    assert request.query == {"fieldSelector": "spec.nodeName=node-1", "resourceVersion": "0"}
    assert request.user_agent == "oomward/test (node node-1)"


def test_what_changes_afterwards_comes_by_one_watch_from_the_lists_version(
    server: ApiServer, watch: Any, inbox: Inbox
) -> None:
    watch.start()
    listed = inbox.next(PodsListed)
    server.put_pod(pod_json(labels={"oomward.dev/mode": "single"}))
    assert inbox.next(PodChanged).pod.labels == {"oomward.dev/mode": "single"}
    server.delete_pod("default", "herder-1")
    assert inbox.next(PodDeleted).uid == "uid-1"
    (request,) = [r for r in server.requests if r.verb == "watch"]
    assert request.query["resourceVersion"] == listed.resource_version
    assert request.query["allowWatchBookmarks"] == "true"
    assert 300 <= int(request.query["timeoutSeconds"]) <= 600


def test_a_change_of_nothing_that_matters_is_not_told(server: ApiServer, watch: Any, inbox: Inbox) -> None:
    server.put_pod(pod_json())
    watch.start()
    inbox.next(PodsListed)
    server.put_pod(pod_json())
    server.put_pod(pod_json("second", "uid-2"))
    assert inbox.next(PodChanged).pod.name == "second"


@pytest.mark.parametrize(
    ("change", "decides", "asks"),
    [
        ({"labels": {"oomward.dev/mode": "single"}}, True, True),
        ({"annotations": {"oomward.dev/tolerate": "1/1h"}}, True, True),
        ({"annotations": {"other.example/x": "y"}, "phase": "Failed"}, False, False),
        ({"phase": "Pending"}, False, False),
    ],
    ids=["labels", "annotations", "annotations-of-others", "status"],
)
def test_a_message_says_what_changed(
    change: dict[str, Any], decides: bool, asks: bool, server: ApiServer, watch: Any, inbox: Inbox
) -> None:
    server.put_pod(pod_json())
    watch.start()
    inbox.next(PodsListed)
    server.put_pod(pod_json(**change))
    told = inbox.next(PodChanged)
    assert (told.decides, told.asks) == (decides, asks)
    server.put_pod(pod_json("second", "uid-2"))
    new = inbox.next(PodChanged)
    assert (new.pod.name, new.decides, new.asks) == ("second", True, True)


def test_a_container_that_starts_decides_and_asks_for_nothing_new(server: ApiServer, watch: Any, inbox: Inbox) -> None:
    server.put_pod(pod_json())
    watch.start()
    inbox.next(PodsListed)
    pod = pod_json()
    pod["status"]["containerStatuses"] = [{"name": "herder", "containerID": "x://a", "state": {"running": {}}}]
    server.put_pod(pod)
    told = inbox.next(PodChanged)
    assert (told.decides, told.asks) == (True, False)


def test_while_nothing_happens_there_are_no_further_requests(server: ApiServer, watch: Any, inbox: Inbox) -> None:
    watch.start()
    inbox.next(PodsListed)
    server.put_pod(pod_json())
    inbox.next(PodChanged)
    assert [r.verb for r in server.requests] == ["list", "watch"]


def test_a_watch_that_the_server_ends_in_time_goes_on_from_the_last_bookmark(
    server: ApiServer, watch: Any, inbox: Inbox, waits: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list is an old one, so that pods of other nodes have changed since then from the beginning of the watch on."""
    old = server.store.version
    server.put_pod(pod_json("other", "uid-9", node="node-2"))
    listed = {"kind": "PodList", "metadata": {"resourceVersion": str(old)}, "items": []}
    server.faults.add(Fault(How.BODY, "list", body=json.dumps(listed).encode()))
    monkeypatch.setattr(pods_module, "WATCH_S", 0.7)
    monkeypatch.setattr(pods_module, "SHORT_S", 0.0)
    watch.start()
    inbox.next(WatchTrouble, lambda m: m.reason == "timeout")
    server.put_pod(pod_json())
    inbox.next(PodChanged)
    versions = [int(r.query["resourceVersion"]) for r in server.requests if r.verb == "watch"]
    assert versions[:2] == [old, old + 1], "bookmarks carried it past changes of other nodes"
    assert [r.verb for r in server.requests].count("list") == 1
    assert waits.seconds == [], "a watch that ended in time is no reason to wait"


@pytest.mark.parametrize(
    "fault",
    [
        Fault(How.GONE_EVENT, "watch"),
        Fault(How.STATUS, "watch", status=410, reason="Expired"),
        Fault(How.ERROR_EVENT, "watch"),
        Fault(How.GARBAGE, "watch"),
        Fault(How.HUGE, "watch"),
    ],
    ids=lambda f: f.how.name,
)
def test_when_the_watch_cannot_go_on_it_waits_and_lists_again(
    fault: Fault, server: ApiServer, watch: Any, inbox: Inbox, waits: Waits
) -> None:
    server.faults.add(fault)
    watch.start()
    inbox.next(PodsListed)
    trouble = inbox.next(WatchTrouble)
    assert trouble.reason == ("gone" if fault.how is How.GONE_EVENT or fault.status == 410 else "error")
    server.put_pod(pod_json())
    inbox.next(PodsListed)
    assert waits.seconds, "it waited first"
    assert 0.25 <= waits.seconds[0] <= 0.5


def test_a_history_that_no_longer_reaches_back_is_a_reason_to_list(server: ApiServer, watch: Any, inbox: Inbox) -> None:
    server.faults.add(Fault(How.CLOSE, "watch"))
    watch.start()
    inbox.next(PodsListed)
    server.store.forget_history()
    inbox.next(PodsListed)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(How.CLOSE, "watch"),
        Fault(How.CUT_MIDWAY, "watch"),
        Fault(How.STATUS, "watch", status=503, reason="ServiceUnavailable"),
        Fault(How.STATUS, "watch", status=500),
        Fault(How.STATUS, "watch", status=429, reason="TooManyRequests", retry_after_s=1),
    ],
    ids=lambda f: f"{f.how.name}-{f.status}",
)
def test_a_watch_that_breaks_goes_on_from_where_it_was_without_a_new_list(
    fault: Fault, server: ApiServer, watch: Any, inbox: Inbox, waits: Waits
) -> None:
    server.faults.add(fault)
    watch.start()
    inbox.next(PodsListed)
    inbox.next(WatchTrouble)
    server.put_pod(pod_json())
    assert inbox.next(PodChanged).pod.name == "herder-1"
    assert [r.verb for r in server.requests].count("list") == 1
    assert waits.seconds


def test_a_connection_that_says_nothing_any_more_is_given_up(
    server: ApiServer, watch: Any, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pods_module, "READ_S", 0.2)
    server.bookmark_s = 0.05
    server.faults.add(Fault(How.SILENT_MIDWAY, "watch"))
    watch.start()
    inbox.next(PodsListed)
    server.put_pod(pod_json())
    assert inbox.next(PodChanged).pod.name == "herder-1"
    verbs = [r.verb for r in server.requests]
    assert verbs[:3] == ["list", "watch", "watch"]
    assert "list" not in verbs[1:], "it goes on from where it was, however often"


@pytest.mark.parametrize(
    ("fault", "reason", "words"),
    [
        (Fault(How.STATUS, "list", status=403, reason="Forbidden", times=3), "refused", "allow list and watch of pods"),
        (Fault(How.STATUS, "list", status=401, reason="Unauthorized", times=3), "refused", "token"),
        (Fault(How.STATUS, "list", status=500, times=3), "refused", "500"),
        (Fault(How.CLOSE, "list", times=3), "unreachable", "no answer"),
        (Fault(How.TRUNCATE, "list", times=3), "unreachable", "no JSON"),
    ],
    ids=["403", "401", "500", "close", "truncated"],
)
def test_a_list_that_fails_is_tried_again_ever_more_slowly_and_explained_once(
    fault: Fault, reason: str, words: str, server: ApiServer, watch: Any, inbox: Inbox, waits: Waits
) -> None:
    server.faults.add(fault)
    watch.start()
    inbox.next(PodsListed)
    troubles = [m for m in inbox.seen if isinstance(m, WatchTrouble)]
    assert [t.reason for t in troubles] == [reason] * 3
    assert words in troubles[0].detail
    assert [t.detail for t in troubles[1:]] == ["", ""]
    assert waits.seconds == [0.375, 0.75, 1.5]


def test_the_servers_word_on_when_to_come_back_is_obeyed(
    server: ApiServer, watch: Any, inbox: Inbox, waits: Waits
) -> None:
    server.faults.add(Fault(How.STATUS, "list", status=429, reason="TooManyRequests", retry_after_s=17))
    watch.start()
    inbox.next(PodsListed)
    assert waits.seconds == [17.0]


@pytest.mark.parametrize("verb", ["list", "watch"])
def test_an_object_that_cannot_be_read_is_skipped_and_the_rest_goes_on(
    verb: str, server: ApiServer, watch: Any, inbox: Inbox
) -> None:
    server.faults.add(Fault(How.POISON, verb))
    server.put_pod(pod_json())
    watch.start()
    if verb == "list":
        assert inbox.next(PodSkipped).why == "spec is str, not an object"
        listed = inbox.next(PodsListed)
        assert [pod.name for pod in listed.pods] == ["herder-1"]
        assert listed.skipped == ("poison",)
    else:
        inbox.next(PodSkipped)
        server.put_pod(pod_json("second", "uid-2"))
        assert inbox.next(PodChanged).pod.name == "second"


def test_a_pod_that_moves_to_another_node_is_deleted_here(server: ApiServer, watch: Any, inbox: Inbox) -> None:
    server.put_pod(pod_json())
    watch.start()
    inbox.next(PodsListed)
    server.put_pod(pod_json(node="node-2"))
    assert inbox.next(PodDeleted).uid == "uid-1"
