"""One collection by list and watch: what is wanted is there, what is gone is not, and trouble means to list again."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.commands.recover import _asks
from agent.kube.api import connect
from agent.model.recover import ENABLED_LABEL, POLICY_ANNOTATION, Space
from agent.recover import watch as watching
from agent.recover.kill_events import Reports, reports_of
from agent.recover.lean import lean, lean_event, lean_pod, lean_space, read_here
from agent.recover.still import diagnoses_of
from agent.recover.subject import space_of, subject_of
from agent.recover.watch import Watch
from agent.wording.times import rfc3339
from tests.lab.apifaults import Fault, How
from tests.unit.diagnose.recorded import NAMES, recorded
from tests.unit.patience import wait_until
from tests.unit.recover.lab import Lab
from tests.unit.recover.pods import NOW, crash_loop, no_image, step, why


@pytest.fixture
def trouble() -> list[str]:
    return []


@pytest.fixture
def start(lab: Lab, tmp_path: Path, trouble: list[str]) -> Iterator[Callable[..., Watch]]:
    stop, threads = threading.Event(), []

    def make(path: str, query: dict[str, str], wants: Callable[[Any], bool] = lambda _: True) -> Watch:
        lab.server.write_kubeconfig(tmp_path / "kubeconfig")
        api = connect(tmp_path / "kubeconfig", user_agent="test")
        lab.apis.append(api)
        most = watching.MOST_KEPT_BYTES
        watch = Watch(api, path, query, wants, lambda: None, stop, trouble.append, lean, most)
        threads.append(threading.Thread(target=watch.run))
        threads[-1].start()
        return watch

    yield make
    stop.set()
    lab.server.close()
    for thread in threads:
        thread.join()


def names(watch: Watch) -> set[str]:
    return {one["metadata"]["name"] for one in watch.objects()}


def test_pods_come_change_and_go_and_those_that_do_not_ask_are_not_kept(lab: Lab, start: Callable[..., Watch]) -> None:
    lab.put(no_image(name="a"), crash_loop(name="b", asks=None))
    watch = start("/api/v1/pods", {}, lambda pod: "oomward.dev/recover" in pod["metadata"]["annotations"])
    wait_until(lambda: names(watch) == {"a"}, "the list")
    lab.put(crash_loop(name="c"))
    wait_until(lambda: names(watch) == {"a", "c"}, "a new pod")
    lab.change("a", lambda raw: raw["metadata"]["annotations"].clear())
    wait_until(lambda: names(watch) == {"c"}, "one that does not ask any more")
    lab.server.delete_pod("shop", "c")
    wait_until(lambda: names(watch) == set(), "one that was deleted")


@pytest.mark.parametrize(
    "how", [How.CLOSE, How.GARBAGE, How.GONE_EVENT, How.ERROR_EVENT, How.CUT_MIDWAY, How.END, How.STATUS]
)
def test_trouble_with_a_watch_loses_nothing(lab: Lab, start: Callable[..., Watch], how: How) -> None:
    lab.server.faults.add(Fault(how, verb="watch", path="/api/v1/pods"))
    watch = start("/api/v1/pods", {})
    lab.put(no_image(name="a"))
    wait_until(lambda: names(watch) == {"a"}, "the pod")


@pytest.mark.parametrize("how", [How.CLOSE, How.STATUS, How.BODY, How.TRUNCATE, How.CUT_BODY])
def test_a_list_that_fails_is_asked_for_again(lab: Lab, start: Callable[..., Watch], how: How) -> None:
    lab.put(no_image(name="a"))
    lab.server.faults.add(Fault(how, verb="list", path="/api/v1/pods"))
    watch = start("/api/v1/pods", {})
    wait_until(lambda: names(watch) == {"a"}, "the list")


@pytest.mark.parametrize("odd", ["x", ["x"], 5, True])
def test_a_pod_as_no_api_has_it_is_left_out_and_said_and_the_others_are_there(
    lab: Lab, tmp_path: Path, trouble: list[str], odd: object
) -> None:
    """Something in between may send one. The end of a watch's thread would be that of the process."""
    lab.server.write_kubeconfig(tmp_path / "kubeconfig")
    api = connect(tmp_path / "kubeconfig", user_agent="test")
    lab.apis.append(api)
    stop = threading.Event()
    watch = Watch(api, "/api/v1/pods", {}, _asks, lambda: None, stop, trouble.append, lean_pod)
    bad = {"metadata": {"name": "bad", "uid": "uid-bad", "annotations": odd}}
    items = [no_image(name="a"), bad, no_image(name="b")]
    page = json.dumps({"metadata": {"resourceVersion": "5"}, "items": items}).encode()
    lab.server.faults.add(Fault(How.BODY, path="/api/v1/pods", body=page))
    assert watch._list() == "5"
    assert names(watch) == {"a", "b"}
    assert watch._event(json.dumps({"type": "MODIFIED", "object": bad}).encode()) == ""
    assert names(watch) == {"a", "b"}
    assert len(trouble) == 2
    assert trouble[0].startswith("/api/v1/pods: uid-bad can't be read and is left out: ")


@pytest.mark.parametrize(
    "body",
    [b"null", b"[]", b"{}", b'"x"', b"5", b'{"metadata": 5}', b'{"metadata": {"resourceVersion": "1"}, "items": 5}'],
)
def test_an_answer_that_is_no_list_is_said_and_asked_for_again(
    lab: Lab, start: Callable[..., Watch], trouble: list[str], body: bytes
) -> None:
    lab.put(no_image(name="a"))
    lab.server.faults.add(Fault(How.BODY, verb="list", path="/api/v1/pods", body=body))
    watch = start("/api/v1/pods", {})
    wait_until(lambda: names(watch) == {"a"}, "the list")
    assert "is no list" in trouble[0]


def test_opened_namespaces_are_watched_by_their_label(lab: Lab, start: Callable[..., Watch]) -> None:
    watch = start("/api/v1/namespaces", {"labelSelector": "recover.oomward.dev/enabled=true"})
    wait_until(lambda: names(watch) == {"shop"}, "the list")
    lab.open("other")
    wait_until(lambda: names(watch) == {"shop", "other"}, "another namespace")
    del lab.server.objects.stored["/api/v1", "namespaces", "", "shop"]
    wait_until(lambda: names(watch) == {"other"}, "one that was closed")


def test_a_page_that_is_too_long_is_asked_for_in_parts(
    lab: Lab, start: Callable[..., Watch], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who may create pods with long annotations in any namespace must not be able to fill the controller's memory."""
    monkeypatch.setattr("agent.recover.watch.MOST_PAGE_BYTES", 40_000)
    for i in range(40):
        lab.put(no_image(name=f"a-{i}", notes={"note": "x" * 3000}))
    watch = start("/api/v1/pods", {})
    wait_until(lambda: len(names(watch)) == 40, "the list")
    lists = [one for one in lab.server.requests if one.verb == "list"]
    assert [one.query["limit"] for one in lists][:2] == ["250", "31"]


def test_pods_of_one_namespace_leave_room_for_those_of_another(
    lab: Lab, start: Callable[..., Watch], trouble: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may create pods in some namespace must not be able to fill the controller's memory, by their number either."""
    monkeypatch.setattr("agent.recover.watch.MOST_KEPT_BYTES", 20_000)
    lab.put(no_image(name="good"), *(no_image(name=f"evil-{i}", namespace="evil") for i in range(40)))
    watch = start("/api/v1/pods", {})
    wait_until(lambda: bool(names(watch)), "the list")
    assert "good" in names(watch)
    assert len(names(watch)) < 30
    lab.put(*(no_image(name=f"more-{i}", namespace="evil") for i in range(40)))
    wait_until(lambda: "more-39" in names(watch), "the newest")
    assert "good" in names(watch)
    assert len(names(watch)) < 30
    assert trouble[0].endswith("such as evil, the oldest are left out")


def test_of_a_pod_is_kept_what_is_read_of_it() -> None:
    raw = no_image(
        notes={"kubectl.kubernetes.io/last-applied-configuration": "x" * 9000, "argocd.argoproj.io/instance": "a"}
    )
    raw["metadata"]["managedFields"] = [{}]
    raw["spec"]["containers"][0] |= {
        "env": [{"name": "A", "value": "x" * 9000}],
        "args": ["x"],
        "resources": {"limits": {}},
    }
    before = step(copy.deepcopy(raw))
    kept = lean_pod(raw)
    assert len(json.dumps(kept)) < 2000
    assert "argocd.argoproj.io/instance" in kept["metadata"]["annotations"]
    assert step(kept) == before


@pytest.mark.parametrize("name", NAMES)
def test_what_is_kept_of_a_pod_has_the_same_diagnosis(name: str) -> None:
    one, none = recorded(name), Reports({}, {})
    kept = lean_pod(copy.deepcopy(one.pod))
    assert diagnoses_of(subject_of(kept), none, one.now_unix_s) == diagnoses_of(
        subject_of(one.pod), none, one.now_unix_s
    )


def test_whatever_else_a_pod_has_is_not_kept() -> None:
    """Hundreds of such pods, which ask in a namespace that nobody opened, must not fill the controller's memory."""
    long = "x" * 100_000
    raw = no_image(
        container={
            "livenessProbe": {"exec": {"command": [long]}},
            "resources": {"limits": {long: "1"}},
            "ports": [long],
        },
        spec={"hostAliases": [long], "volumes": [{"name": long}], "affinity": {long: long}, "tolerations": [long]},
        status={"hostIPs": [long]},
    )
    before = step(copy.deepcopy(raw))
    kept = lean_pod(raw)
    assert len(json.dumps(kept)) < 2000
    assert step(kept) == before


def test_of_a_namespace_is_kept_what_is_read_of_it() -> None:
    raw = {
        "metadata": {
            "name": "shop",
            "uid": "u",
            "labels": {ENABLED_LABEL: "true"},
            "annotations": {"a": "x" * 9000, POLICY_ANNOTATION: "{}"},
            "managedFields": [{}],
        },
        "spec": {"finalizers": ["kubernetes"]},
    }
    kept = lean_space(copy.deepcopy(raw))
    assert space_of(kept) == Space("shop", {ENABLED_LABEL: "true"}, {POLICY_ANNOTATION: "{}"})
    assert len(json.dumps(kept)) < 200


def test_a_pod_without_a_spec_or_with_a_number_as_annotation_ends_no_watch() -> None:
    """The API serves none; something in between may."""
    odd = {"metadata": {"name": "a", "annotations": {"oomward.dev/recover": 1}}}
    assert lean_pod(copy.deepcopy(odd)) == odd


def test_an_annotation_that_is_too_long_is_still_too_long() -> None:
    kept = lean_pod(no_image(notes={"recover.oomward.dev/images.app": "a.example/b:1," * 9000}))
    assert "is longer than 8192 characters" in why(kept)


@pytest.mark.parametrize("kind", ["ProcessOOMKilled", "ContainerOOMKilled", "MemoryLimitPressure", "OOMModeApplied"])
def test_of_an_event_is_kept_what_is_read_of_it(kind: str) -> None:
    event = {
        "metadata": {
            "namespace": "shop",
            "name": "e",
            "uid": "u",
            "managedFields": [{}],
            "annotations": {"a": "b" * 9000},
        },
        "regarding": {"uid": "uid-app-1"},
        "reason": kind,
        "note": "OOM-killed python3 (PID 1) in container app at the container's memory limit of 256 MiB.",
        "eventTime": rfc3339(NOW - 10, "microseconds"),
        "related": {"name": "x" * 9000},
    }
    assert read_here(event) is (kind != "OOMModeApplied")
    kept = lean_event(copy.deepcopy(event))
    assert len(json.dumps(kept)) < 600
    assert reports_of([kept], NOW) == reports_of([event], NOW)
