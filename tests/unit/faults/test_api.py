"""The API server in its bad hours: silence on an open connection, tokens that change, a list that ends too early."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import agent.pods.watch as pods_module
from agent import run as program
from agent.events.sender import EventSender
from agent.kube import api as api_module
from agent.kube import credentials
from agent.kube.api import ApiError, connect
from agent.model import (
    EventDelivered,
    EventFailed,
    Notice,
    ObjectRef,
    PodChanged,
    PodDeleted,
    PodsListed,
    Reason,
    WatchTrouble,
)
from agent.pods import list as podlist
from agent.pods.list import read_list
from agent.pods.watch import PodWatch
from tests.lab.apifaults import Fault, How
from tests.lab.apiserver import ApiServer
from tests.unit.kube.world import NODE, Inbox, Waits, pod_json
from tests.unit.patience import PATIENCE_S

TLS = Path(__file__).parents[1] / "kube" / "tls"
TWO_MINUTES_S = 120.0
SHORTER = 1 / 400  # of how long is waited here
PODS = [pod_json(f"herder-{i}", f"uid-{i}") for i in range(500)]
FEW = PODS[:40]
LIST = json.dumps({"kind": "PodList", "metadata": {"resourceVersion": "9"}, "items": FEW}).encode()


@pytest.fixture
def server() -> Iterator[ApiServer]:
    server = ApiServer(bookmark_s=0.05)
    server.start()
    yield server
    server.close()


class Watching:
    """A pod watch in a thread of its own."""

    def __init__(self, server: ApiServer, api: api_module.Api) -> None:
        self.inbox, self.waits, self._stop = Inbox(), Waits(), threading.Event()
        self._server = server
        self.watch = PodWatch(api, NODE, self.inbox.messages.put, stop=self._stop, wait=self.waits, rand=lambda: 1.0)
        self._thread = threading.Thread(target=self.watch.run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._server.close()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()


def client(server: ApiServer, tmp_path: Path) -> api_module.Api:
    server.write_kubeconfig(tmp_path / "kubeconfig")
    return connect(tmp_path / "kubeconfig", user_agent="oomward/test")


# -------------------------------------------------------------------------------------------------- half-open connections


def test_silence_is_noticed_within_two_minutes_wherever_it_falls() -> None:
    """Before the answer, in the midst of a list, of a watch, or of an answer to an Event."""
    waits_s = (pods_module.READ_S, podlist.LIST_S, api_module.ANSWER_S, api_module.CONNECT_S)
    assert max(waits_s) <= TWO_MINUTES_S
    assert program.POD_WATCH_SILENT_S > pods_module.READ_S + api_module.CONNECT_S, "and health does not go red for it"


@pytest.mark.parametrize("how", [How.SILENT, How.SILENT_MIDWAY], ids=["at once", "midway"])
def test_a_watch_that_hears_nothing_for_ever_goes_on_from_where_it_was(
    server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: How
) -> None:
    monkeypatch.setattr(pods_module, "READ_S", pods_module.READ_S * SHORTER)
    server.faults.add(Fault(how, "watch"))
    watching = Watching(server, client(server, tmp_path))
    watching.inbox.next(PodsListed)
    assert watching.inbox.next(WatchTrouble).reason in ("timeout", "unreachable")
    server.put_pod(pod_json())
    assert watching.inbox.next(PodChanged).pod.name == "herder-1"
    verbs = [request.verb for request in server.requests]
    assert verbs[:3] == ["list", "watch", "watch"]
    assert "list" not in verbs[1:]
    watching.close()


def test_an_event_that_hears_nothing_for_ever_is_sent_again_and_is_there_once(
    server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.faults.add(Fault(How.SILENT, "create"))
    sender = EventSender(client(server, tmp_path), lambda _: None, reporting_instance=NODE)
    about = ObjectRef("Pod", "p", "default", "u")
    one = Notice("p.1", about, Reason.PROCESS_OOM_KILLED, True, "OOMKill", "killed", 10.0)
    with monkeypatch.context() as patch:
        impatient = {"read_s": 0.1, "content_type": "application/json"}
        patch.setattr(api_module.Api.request, "__kwdefaults__", impatient)
        failed = sender.attempt(one)
    assert isinstance(failed, EventFailed)
    assert failed.status is None
    assert isinstance(sender.attempt(one), EventDelivered)
    assert [event["metadata"]["name"] for event in server.events] == ["p.1"]


# ------------------------------------------------------------------------------------------------------- token rotation


def test_a_watch_goes_on_with_the_new_token_when_the_old_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service account's token is rotated under a running watch."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "server.crt", TLS / "server.key")
    server = ApiServer(tls=context, bookmark_s=0.05)
    server.start()
    (tmp_path / "token").write_text("lab-token")
    (tmp_path / "ca.crt").write_bytes((TLS / "ca.pem").read_bytes())
    monkeypatch.setattr(credentials, "SERVICE_ACCOUNT", tmp_path)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", server.url.rpartition(":")[2])
    watching = Watching(server, connect(None, user_agent="oomward/test", lax_ca=True))
    watching.inbox.next(PodsListed)
    server.token = "rotated"
    server.store.forget_history()
    refused = watching.inbox.next(WatchTrouble, lambda m: m.reason == "refused")
    assert "is its ServiceAccount still there, and the token file fresh?" in refused.detail
    (tmp_path / "token").write_text("rotated\n")
    server.put_pod(pod_json())
    watching.inbox.next(PodsListed, lambda m: len(m.pods) == 1)
    watching.close()


# ---------------------------------------------------------------------------------------------- a list that is cut short


@pytest.mark.parametrize("how", [How.TRUNCATE, How.CUT_BODY], ids=["as if whole", "broken off"])
def test_a_list_of_500_pods_that_ends_midway_takes_nobody_for_gone(
    server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: How
) -> None:
    monkeypatch.setattr(pods_module, "RELIST_S", 0.0)
    for pod in PODS:
        server.put_pod(pod)
    watching = Watching(server, client(server, tmp_path))
    assert len(watching.inbox.next(PodsListed).pods) == 500
    server.faults.add(Fault(how, "list", times=3))
    for _ in range(3):
        assert watching.inbox.next(WatchTrouble, lambda m: m.reason != "relist").reason == "unreachable"
    assert len(watching.inbox.next(PodsListed).pods) == 500
    seen = watching.inbox.seen
    assert not any(isinstance(message, PodDeleted) for message in seen)
    assert {len(message.pods) for message in seen if isinstance(message, PodsListed)} == {500}
    watching.close()


@given(st.integers(0, len(LIST) - 1), st.integers(1, 9000))
def test_wherever_a_list_is_cut_it_is_none(at: int, size: int) -> None:
    with pytest.raises((ApiError, ValueError)):
        read_list((LIST[begin : min(begin + size, at)] for begin in range(0, at, size)), lambda item: item)


@given(st.integers(1, 9000))
def test_in_whatever_pieces_it_comes_it_is_whole(size: int) -> None:
    found, version = read_list((LIST[begin : begin + size] for begin in range(0, len(LIST), size)), lambda item: item)
    assert (found, version) == (FEW, "9")
