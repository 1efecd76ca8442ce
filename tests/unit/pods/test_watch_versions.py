"""A list is never older than what was seen before, whichever API server answers it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.model import PodChanged, PodsListed, WatchTrouble
from tests.lab.apifaults import Fault, How
from tests.lab.apiserver import ApiServer
from tests.unit.kube.world import Inbox, Waits, pod_json
from tests.unit.loop.world import ID, MODE, UID, World

NEWER = {"resourceVersionMatch": "NotOlderThan"}


def lists(server: ApiServer) -> list[dict[str, str]]:
    """What each list asked for, beside the node."""
    queries = [dict(request.query) for request in server.requests if request.verb == "list"]
    return [{key: value for key, value in query.items() if key != "fieldSelector"} for query in queries]


def end_the_watch(server: ApiServer, how: How) -> None:
    """The present watch breaks off, and every further one ends with an error."""
    server.faults.add(Fault(how, "watch", times=None))
    server._http.cut()


def test_the_first_list_may_be_any_and_later_ones_must_not_be_older(
    server: ApiServer, watch: Any, inbox: Inbox
) -> None:
    watch.start()
    inbox.next(PodsListed)
    server.put_pod(pod_json())
    inbox.next(PodChanged)
    seen = str(server.store.version)
    end_the_watch(server, How.ERROR_EVENT)
    inbox.next(PodsListed)
    assert lists(server)[:2] == [{"resourceVersion": "0"}, {"resourceVersion": seen, **NEWER}]


@pytest.mark.parametrize("gone_as", ["event", "status"])
def test_after_a_410_the_list_is_a_consistent_read_until_one_worked(
    gone_as: Any, server: ApiServer, watch: Any, inbox: Inbox
) -> None:
    server.gone_as = gone_as
    server.faults.add(Fault(How.CLOSE, "watch"))
    watch.start()
    inbox.next(PodsListed)
    server.faults.add(Fault(How.STATUS, "list", status=500, times=2))
    server.store.forget_history()
    again = inbox.next(PodsListed)
    assert lists(server)[1:4] == [{}, {}, {}]
    end_the_watch(server, How.ERROR_EVENT)
    inbox.next(PodsListed)
    assert lists(server)[-1] == {"resourceVersion": again.resource_version, **NEWER}


def test_a_server_whose_cache_lags_is_asked_for_a_consistent_read(
    server: ApiServer, watch: Any, inbox: Inbox, waits: Waits
) -> None:
    watch.start()
    listed = inbox.next(PodsListed)
    server.put_pod(pod_json())
    inbox.next(PodChanged)
    server.store.lag(int(listed.resource_version))
    end_the_watch(server, How.ERROR_EVENT)
    assert [pod.name for pod in inbox.next(PodsListed).pods] == ["herder-1"]
    assert any("Too large resource version" in m.detail for m in inbox.seen if isinstance(m, WatchTrouble))
    assert {} in lists(server)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[World]:
    node = World(tmp_path)
    yield node
    node.end()


@pytest.mark.parametrize("how", [How.ERROR_EVENT, How.GONE_EVENT], ids=lambda how: how.name)
def test_an_api_server_that_lags_after_a_reconnect_does_not_flip_a_mode_back(
    how: How, server: ApiServer, watch: Any, inbox: Inbox, node: World
) -> None:
    def herder(mode: str) -> dict[str, Any]:
        obj = pod_json(uid=UID, labels={MODE: mode})
        running = {"name": "herder", "containerID": f"containerd://{ID}", "state": {"running": {}}}
        return {**obj, "status": {"phase": "Running", "containerStatuses": [running]}}

    node.make(knob=1)
    server.put_pod(herder("single"))
    watch.start()
    first = inbox.next(PodsListed)
    node.message(first)
    assert node.knob() == 0
    server.put_pod(herder("group"))
    node.message(inbox.next(PodChanged))
    assert node.knob() == 1
    server.store.lag(int(first.resource_version))
    end_the_watch(server, how)
    node.message(inbox.next(PodsListed))
    assert node.knob() == 1, "the label says group since then"
