"""An API server that answers with any JSON, in any place: what can't be read is told, nothing else comes out and nothing is lost."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.events.sender import EventSender
from agent.kube.api import Api, ApiError, connect
from agent.model import (
    EventDelivered,
    EventFailed,
    Message,
    Notice,
    ObjectRef,
    PodChanged,
    PodDeleted,
    PodSkipped,
    PodsListed,
    Reason,
)
from agent.pods.list import list_pods
from agent.pods.watch import PodWatch, _EndedError
from tests.lab.apifaults import Fault, How
from tests.lab.apiserver import ApiServer
from tests.unit.kube.world import NODE, pod_json
from tests.unit.pods.test_parse import ANY_JSON, FIELDS, PODLIKE

KINDS = st.sampled_from(["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR", "", "added"])
LISTS = st.fixed_dictionaries(
    {"kind": st.just("PodList") | ANY_JSON, "metadata": st.just({"resourceVersion": "7"}) | ANY_JSON},
    optional={"items": st.lists(PODLIKE, max_size=3) | ANY_JSON, "apiVersion": ANY_JSON},
)
NEAR_PODS = st.builds(
    lambda base, changes: {**base, **changes},
    st.just(pod_json()),
    st.dictionaries(st.sampled_from(FIELDS[:3]), PODLIKE, max_size=3),
)
OUTCOMES = {"created", "exists", "patched", "dropped_gone", "dropped_invalid", "dropped_expired"}


@pytest.fixture(scope="module")
def server() -> Iterator[ApiServer]:
    server = ApiServer(bookmark_s=0.05)
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="module")
def api(server: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Api:
    kubeconfig: Path = tmp_path_factory.mktemp("api") / "kubeconfig"
    server.write_kubeconfig(kubeconfig)
    return connect(kubeconfig, user_agent="oomward/test")


@given(body=LISTS | ANY_JSON)
def test_any_json_for_a_list_is_a_list_or_an_api_error(server: ApiServer, api: Api, body: Any) -> None:
    server.faults.clear()
    server.faults.add(Fault(How.BODY, "list", body=json.dumps(body).encode()))
    skipped: list[PodSkipped] = []
    try:
        listed = list_pods(api, NODE, skipped.append)
    except ApiError as error:
        assert str(error).isprintable()
        return
    assert body["kind"] == "PodList", "nothing but a list is taken for one"
    assert len(listed.pods) + len(skipped) <= len(body.get("items") or ())
    assert all(pod.node_name == NODE for pod in listed.pods)


@given(kind=KINDS | ANY_JSON, obj=NEAR_PODS | PODLIKE, more=st.dictionaries(st.text(max_size=3), ANY_JSON, max_size=2))
def test_any_json_for_a_watch_event_changes_only_what_it_names(api: Api, kind: Any, obj: Any, more: Any) -> None:
    told: list[Message] = []
    watch = PodWatch(api, NODE, told.append, stop=threading.Event())
    line = json.dumps({**more, "type": kind, "object": obj}).encode()
    try:
        watch._event(line)
    except _EndedError as again:
        assert again.reason in ("gone", "error")
        assert kind == "ERROR" or kind not in ("ADDED", "MODIFIED", "DELETED", "BOOKMARK")
        assert told == [], "what was known stays until the new list"
        return
    assert watch._version
    assert all(isinstance(message, (PodChanged, PodDeleted, PodSkipped)) for message in told)
    for message in told:
        if isinstance(message, PodChanged):
            assert message.pod.node_name == NODE
        if isinstance(message, PodDeleted):
            assert message.uid == obj["metadata"]["uid"]


@given(line=st.binary(max_size=200))
def test_any_line_of_a_watch_is_an_event_or_a_reason_to_list(api: Api, line: bytes) -> None:
    told: list[Message] = []
    watch = PodWatch(api, NODE, told.append, stop=threading.Event())
    try:
        watch._event(line)
    except _EndedError as again:
        assert again.reason in ("gone", "error")
        assert len(again.detail) < 600


@given(
    status=st.sampled_from([200, 201, 400, 401, 403, 404, 409, 410, 422, 429, 500, 503, 504]),
    body=ANY_JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=100),
    told_before=st.booleans(),
)
def test_any_answer_to_an_event_is_a_word_or_one_more_try(
    server: ApiServer, api: Api, status: int, body: bytes, told_before: bool
) -> None:
    """Success is the Event itself; else the body alone decides nothing but what a 403 and a 404 mean. None ends the thread."""
    server.faults.clear()
    fault = Fault(How.BODY, body=body, times=None)
    if status >= 300:
        reason, message = body[:10].decode("latin-1"), body.decode("latin-1")
        fault = Fault(How.STATUS, times=None, status=status, reason=reason, message=message)
    server.faults.add(fault)
    sender = EventSender(api, lambda _: None, reporting_instance=NODE)
    about = ObjectRef("Pod", "p", "n", "u")
    count = 2 if told_before else 1
    result = sender.attempt(
        Notice(
            "p.1", about, Reason.PROCESS_OOM_KILLED, True, "OOMKill", "killed", 10.0, count=count, sent_count=count - 1
        )
    )
    if isinstance(result, EventDelivered):
        assert result.outcome in OUTCOMES
    else:
        assert result.status == (status if status >= 300 else None), "it is tried again"
    assert (status in (200, 201)) <= isinstance(result, EventFailed)


def test_a_watch_that_tells_of_another_nodes_pods_is_not_believed(api: Api) -> None:
    """The selector is the server's to obey; where it does not, such a pod is none of ours, or no longer."""
    told: list[Message] = []
    watch = PodWatch(api, NODE, told.append, stop=threading.Event())

    def say(kind: str, node: str) -> None:
        watch._event(json.dumps({"type": kind, "object": pod_json(node=node)}).encode())

    say("ADDED", "node-2")
    say("MODIFIED", "node-2")
    assert told == []
    say("ADDED", NODE)
    say("MODIFIED", "node-2")
    say("MODIFIED", "node-2")
    assert [type(message) for message in told] == [PodChanged, PodDeleted]


def test_a_list_of_another_nodes_pods_names_none_of_ours(server: ApiServer, api: Api) -> None:
    server.faults.clear()
    body = {"kind": "PodList", "metadata": {"resourceVersion": "7"}, "items": [pod_json(node="node-2"), pod_json()]}
    server.faults.add(Fault(How.BODY, "list", body=json.dumps(body).encode()))
    listed = list_pods(api, NODE, lambda _: None)
    assert isinstance(listed, PodsListed)
    assert [pod.node_name for pod in listed.pods] == [NODE]
