"""One collection by list and watch: what is wanted is there, what is gone is not, and trouble means to list again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.kube.api import connect
from agent.recover.watch import Watch
from tests.lab.apifaults import Fault, How
from tests.unit.patience import wait_until
from tests.unit.recover.lab import Lab
from tests.unit.recover.pods import crash_loop, no_image


@pytest.fixture
def start(lab: Lab, tmp_path: Path) -> Iterator[Callable[..., Watch]]:
    stop, threads = threading.Event(), []

    def make(path: str, query: dict[str, str], wants: Callable[[Any], bool] = lambda _: True) -> Watch:
        lab.server.write_kubeconfig(tmp_path / "kubeconfig")
        api = connect(tmp_path / "kubeconfig", user_agent="test")
        lab.apis.append(api)
        watch = Watch(api, path, query, wants, lambda: None, stop, lambda _: None)
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


def test_opened_namespaces_are_watched_by_their_label(lab: Lab, start: Callable[..., Watch]) -> None:
    watch = start("/api/v1/namespaces", {"labelSelector": "recover.oomward.dev/enabled=true"})
    wait_until(lambda: names(watch) == {"shop"}, "the list")
    lab.open("other")
    wait_until(lambda: names(watch) == {"shop", "other"}, "another namespace")
    del lab.server.objects.stored["/api/v1", "namespaces", "", "shop"]
    wait_until(lambda: names(watch) == {"other"}, "one that was closed")
