"""Whatever an API server sends, and however much of it, the agent's memory stays small and it says what was wrong."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.events.sender import EventSender
from agent.kube.api import Api, ApiError, ApiRefusedError, ApiUnreachableError, UnbelievableAnswerError, connect
from agent.model import (
    EventFailed,
    Message,
    Notice,
    ObjectRef,
    PodDeleted,
    PodSkipped,
    PodsListed,
    Reason,
    WatchTrouble,
)
from agent.pods.list import MOST_SKIPPED, list_pods
from agent.pods.watch import PodWatch
from tests.unit.hostile.endless import MIB, Endless, peak_below
from tests.unit.kube.world import NODE, pod_json

FRONT = b'{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"5"},"items":['
MUCH = b"x" * MIB


def make_api(server: Endless, tmp_path: Path) -> Api:
    return connect(server.write_kubeconfig(tmp_path / "kubeconfig"), user_agent="oomward/test")


@pytest.fixture
def servers() -> Iterator[list[Endless]]:
    """To be closed."""
    servers: list[Endless] = []
    yield servers
    for server in servers:
        server.close()


def serve(servers: list[Endless], front: bytes, again: bytes, times: int, back: bytes, status: int = 200) -> Endless:
    servers.append(Endless(front, again, times, back, status))
    return servers[-1]


def no_skips(skipped: object) -> None:
    raise AssertionError(skipped)


def test_a_list_of_many_pods_costs_what_is_kept_of_them(servers: list[Endless], tmp_path: Path) -> None:
    """500 pods of 200 KiB each, as with large annotations of others: 100 MB over the wire."""
    pod = json.dumps(pod_json(annotations={"example.com/notes": "x" * 200_000})).encode()
    server = serve(servers, FRONT + pod, b"," + pod, 499, b"]}\n")
    api = make_api(server, tmp_path)
    with peak_below(8 * MIB):
        listed = list_pods(api, NODE, no_skips)
    assert len(listed.pods) == 500
    assert listed.resource_version == "5"
    assert server.sent > 95_000_000


@pytest.mark.parametrize(
    ("front", "again", "back"),
    [
        (FRONT, b"[" * MIB, b"]}"),
        (b'{"kind":"', MUCH, b'"}'),
        (b'{"metadata":{"annotations":{"a":"', "\U0001f480".encode() * (MIB // 4), b'"}}}'),
        (FRONT, b"1" * MIB, b"]}"),
        (b"", b" " * MIB, b""),
        (b"", MUCH, b""),
    ],
    ids=["brackets", "kind", "wide characters", "a number", "spaces", "no JSON"],
)
def test_what_is_no_list_of_pods_is_not_read_to_its_end_however_large(
    servers: list[Endless], tmp_path: Path, front: bytes, again: bytes, back: bytes
) -> None:
    server = serve(servers, front, again, 100, back)
    api = make_api(server, tmp_path)
    with peak_below(48 * MIB), pytest.raises(ApiError) as caught:
        list_pods(api, NODE, no_skips)
    assert isinstance(caught.value, (UnbelievableAnswerError, ApiUnreachableError))
    assert len(str(caught.value)) < 300
    if again.strip():
        assert server.sent < 30 * MIB


def test_a_list_without_an_end_is_given_up(servers: list[Endless], tmp_path: Path) -> None:
    server = serve(servers, FRONT + b"1", b",1" * 50_000, 10_000, b"]}")
    with peak_below(16 * MIB), pytest.raises(UnbelievableAnswerError, match=f"more than {MOST_SKIPPED} objects"):
        list_pods(make_api(server, tmp_path), NODE, lambda _: None)


def large(size: int) -> bytes:
    return json.dumps(pod_json(annotations={"example.com/notes": "x" * size})).encode()


@pytest.mark.parametrize("size", [8_300_000, 8_500_000, 10_400_000])
def test_large_pods_one_after_the_other_are_read_and_so_are_those_around_them(
    servers: list[Endless], tmp_path: Path, size: int
) -> None:
    small = json.dumps(pod_json(name="small", uid="small")).encode()
    server = serve(servers, FRONT + small, b"," + large(size), 33 if size < 8_400_000 else 3, b"," + small + b"]}")
    with peak_below(64 * MIB):
        listed = list_pods(make_api(server, tmp_path), NODE, no_skips)
    assert len(listed.pods) == (35 if size < 8_400_000 else 5)


def test_ten_thousand_and_one_pods_are_a_list(servers: list[Endless], tmp_path: Path) -> None:
    small = json.dumps(pod_json()).encode()
    server = serve(servers, FRONT + small, b"," + small, 10_000, b"]}")
    assert len(list_pods(make_api(server, tmp_path), NODE, no_skips).pods) == 10_001


DEEP = "[" * 5000 + "]" * 5000


@pytest.mark.parametrize("how", ["too large", "too deep", "too large, of quotes and brackets"])
def test_a_pod_that_cannot_be_read_is_skipped_by_name_and_the_list_and_the_watch_go_on(
    servers: list[Endless], tmp_path: Path, how: str
) -> None:
    small = json.dumps(pod_json(name="small", uid="small")).encode()
    text = {"too large": "x" * 11_000_000, "too deep": "y"}.get(how, '"}]\\{[' * 1_700_000)
    bad = json.dumps(pod_json(name="bad", uid="uid-bad", annotations={"example.com/notes": text}))
    if how == "too deep":
        bad = bad.replace('"y"', DEEP)
    front = FRONT + small + b"," + bad.encode()
    why = "nested too deeply" if how == "too deep" else "it is larger than 10485760 bytes"
    told: list[Message] = []
    listed = list_pods(make_api(serve(servers, front, b"," + small, 1, b"]}"), tmp_path), NODE, told.append)
    assert [pod.name for pod in listed.pods] == ["small", "small"]
    assert listed.skipped == ("uid-bad",)
    assert told == [PodSkipped("pod default/bad", why)]
    told.clear()
    lines = [
        b'{"type":"%s","object":%s}\n' % line
        for line in ((b"ADDED", bad.encode()), (b"ADDED", small), (b"DELETED", bad.encode()))
    ]
    watch = PodWatch(
        make_api(serve(servers, b"".join(lines), b"", 0, b""), tmp_path), NODE, told.append, stop=threading.Event()
    )
    with peak_below(48 * MIB):
        watch._read_watch()
    assert [type(message).__name__ for message in told] == ["PodSkipped", "PodChanged", "PodSkipped", "PodDeleted"]
    assert told[0] == PodSkipped("pod default/bad", why)
    assert told[3] == PodDeleted("uid-bad")


def test_a_list_has_no_limit_for_pods_that_cannot_be_read(
    servers: list[Endless], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.pods.list.MOST_SKIPPED", 100)
    bad = b'{"metadata":{"uid":"bad","name":5,"namespace":"default"}}'
    small = json.dumps(pod_json()).encode()
    told: list[PodSkipped] = []
    server = serve(servers, FRONT + small, b"," + bad, 1000, b"]}")
    listed = list_pods(make_api(server, tmp_path), NODE, told.append)
    assert (len(listed.pods), len(listed.skipped), len(told)) == (1, 1000, 101)


def test_very_many_pods_that_cannot_be_read_are_some_names_and_a_number(servers: list[Endless], tmp_path: Path) -> None:
    told: list[PodSkipped] = []
    list_pods(make_api(serve(servers, FRONT + b"1", b",1", 999, b"]}"), tmp_path), NODE, told.append)
    assert len(told) == 101
    assert sum(message.number for message in told) == 1000


@pytest.mark.parametrize("mib", [17, 40, 100])
def test_a_pod_of_any_size_is_skipped_and_the_list_and_the_watch_go_on(
    servers: list[Endless], tmp_path: Path, mib: int
) -> None:
    small = json.dumps(pod_json(name="small", uid="small")).encode()
    front, back = json.dumps(pod_json(annotations={"example.com/notes": "@"})).encode().split(b"@")
    told: list[Message] = []
    server = serve(servers, FRONT + small + b"," + front, MUCH, mib, back + b"," + small + b"]}")
    with peak_below(48 * MIB):
        listed = list_pods(make_api(server, tmp_path), NODE, told.append)
    assert [pod.name for pod in listed.pods] == ["small", "small"]
    assert told == [PodSkipped("pod default/herder-1", "it is larger than 10485760 bytes")]
    assert listed.skipped == ("uid-1",)
    told.clear()
    line = b'{"type":"ADDED","object":'
    server = serve(servers, line + front, MUCH, mib, back + b"}\n" + line + small + b"}\n")
    watch = PodWatch(make_api(server, tmp_path), NODE, told.append, stop=threading.Event())
    with peak_below(48 * MIB):
        watch._read_watch()
    assert [type(message).__name__ for message in told] == ["PodSkipped", "PodChanged"]


def test_an_object_or_a_watch_line_without_an_end_is_given_up(
    servers: list[Endless], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.pods.list.MOST_SKIPPED_BYTES", 16 * MIB)
    monkeypatch.setattr("agent.pods.watch.MOST_SKIPPED_BYTES", 16 * MIB)
    server = serve(servers, FRONT + b'{"metadata":{"uid":"', MUCH, 100, b'"}}]}')
    with (
        peak_below(48 * MIB),
        pytest.raises(UnbelievableAnswerError, match="an object of the API's list is longer than"),
    ):
        list_pods(make_api(server, tmp_path), NODE, no_skips)
    assert server.sent < 48 * MIB, "of 100"
    server = serve(servers, b'{"type":"ADDED","object":{"x":"', MUCH, 100, b'"}}\n')
    told: list[Message] = []
    watch = PodWatch(make_api(server, tmp_path), NODE, told.append, stop=threading.Event())
    with peak_below(32 * MIB), pytest.raises(Exception, match=r"more than [0-9]+ bytes: not read, listing again"):
        watch._read_watch()
    assert told == []
    assert server.sent < 32 * MIB, "of 100"


@pytest.mark.parametrize("status", [200, 403, 500])
def test_an_answer_to_an_event_without_an_end_is_not_read(servers: list[Endless], tmp_path: Path, status: int) -> None:
    server = serve(servers, b'{"message":"', MUCH, 100, b'"}', status)
    api = make_api(server, tmp_path)
    sender = EventSender(api, lambda _: None, reporting_instance=NODE)
    about = ObjectRef("Pod", "p", "default", "u")
    with peak_below(4 * MIB):
        result = sender.attempt(Notice("p.1", about, Reason.PROCESS_OOM_KILLED, True, "OOMKill", "killed", 10.0))
    assert server.sent < 20 * MIB
    assert isinstance(result, EventFailed), "it is tried again"


def test_an_error_without_an_end_is_told_by_its_status(servers: list[Endless], tmp_path: Path) -> None:
    server = serve(servers, b"", MUCH, 100, b"", 503)
    with peak_below(4 * MIB), pytest.raises(ApiRefusedError, match="503"):
        make_api(server, tmp_path).request("GET", "/api/v1/pods")
    assert server.sent < 20 * MIB


def test_the_watch_goes_on_after_such_a_server(servers: list[Endless], tmp_path: Path) -> None:
    """The trouble is told, and the next list is tried after a wait."""
    server = serve(servers, FRONT, MUCH, 100, b"]}")
    told: list[Message] = []
    waits: list[float] = []
    stop = Stop()

    def wait(seconds: float) -> None:
        waits.append(seconds)
        stop.set = len(waits) >= 3

    watch = PodWatch(make_api(server, tmp_path), NODE, told.append, stop=stop, wait=wait, rand=lambda: 1.0)  # type: ignore[arg-type]
    with peak_below(48 * MIB):
        watch.run()
    assert waits == [0.5, 1.0, 2.0]
    assert not any(isinstance(message, PodsListed) for message in told)
    assert {message.reason for message in told if isinstance(message, WatchTrouble)} <= {"error", "unreachable"}


class Stop:
    """As threading.Event, set by hand."""

    set: Any = False

    def is_set(self) -> bool:
        return bool(self.set)


def test_a_pod_as_large_as_anybody_can_make_one_is_read_from_the_list_and_from_the_watch(
    servers: list[Endless], tmp_path: Path
) -> None:
    """1.5 MiB of ``<``, six characters each in the API's JSON, and one character that Python keeps four bytes for."""
    pod = json.dumps(pod_json(annotations={"mode.oomward.dev/\U0001f480": "x"}), ensure_ascii=False)
    pod = pod.replace('"spec"', f'"note":"{chr(92)}u003c","spec"').replace(
        "u003c", "u003c" + "\\u003c" * (3 * MIB // 2)
    )
    raw = pod.encode()
    assert len(raw) > 9 * MIB
    server = serve(servers, FRONT, raw, 1, b"]}")
    with peak_below(80 * MIB):
        (found,) = list_pods(make_api(server, tmp_path), NODE, no_skips).pods
    assert dict(found.annotations) == {"mode.oomward.dev/\U0001f480": "x"}
    told: list[Message] = []
    server = serve(servers, b'{"type":"ADDED","object":', raw, 1, b"}\n")
    watch = PodWatch(make_api(server, tmp_path), NODE, told.append, stop=threading.Event())
    with peak_below(80 * MIB):
        watch._read_watch()
    assert [type(message).__name__ for message in told] == ["PodChanged"]
