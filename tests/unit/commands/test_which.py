"""Which rows are shown, in which order: -n, -A, -l, --sort-by, and the names that other commands take."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest

from agent.cli import main
from agent.commands import EXIT_FAILED, EXIT_OK, EXIT_USAGE
from agent.commands.advise import advise
from agent.commands.arguments import SORT_KEYS
from agent.commands.diagnose import diagnose
from agent.commands.history import history
from agent.commands.output.table import Output, names_in
from agent.commands.ps import ps
from agent.look.advice import ADVICE
from agent.look.containers import CONTAINERS
from agent.look.diagnoses import DIAGNOSES
from agent.look.kills import KILLS
from agent.look.which import Which, WrongSelectorError
from agent.model import AgentError
from tests.unit.commands.world import CONTAINER, ID2, MIB, OTHER, UID, UID2, LookedAtNode, a_kill, pod_json
from tests.unit.wording.kills import KILL

NOT_UTF_8 = os.fsdecode(b"\xff")  # as a shell's $'\xff' arrives


@pytest.fixture
def two(node: LookedAtNode) -> LookedAtNode:
    """default/herder-1 of app=web with 200 of 256 MiB, shop/api of app=api with 9 of 64 MiB."""
    node.server.put_pod(pod_json(labels={"app": "web"}, limits={"herder": "256Mi"}))
    node.server.put_pod(pod_json("api", UID2, {"main": ID2}, "shop", labels={"app": "api"}, limits={"main": "64Mi"}))
    node.container(OTHER, limit=64, usage=9)
    of_api = replace(a_kill(1, at=time.time() - 60, pod="api", namespace="shop"), pod_uid=UID2, container="main")
    node.remember(of_api, a_kill(2, at=time.time() - 5), replace(a_kill(3, at=time.time() - 4), pod_uid="gone"))
    return node


def pods_of(document: Any, rows: str) -> list[str]:
    return [row.get("pod") or row["workload"] for row in document[rows]]


def shown(node: LookedAtNode, command: Any, rows: str, which: Which, **more: Any) -> list[str]:
    file = StringIO()
    assert command(node.settings, *more.pop("first", ()), Output.JSON, file, which=which, **more) == EXIT_OK
    return pods_of(json.loads(file.getvalue()), rows)


@pytest.mark.parametrize(
    ("namespace", "selector", "wanted"),
    [
        (None, None, ["herder-1", "api"]),
        ("shop", None, ["api"]),
        ("nowhere", None, []),
        (None, "app=web", ["herder-1"]),
        (None, "app==web", ["herder-1"]),
        (None, "app!=web", ["api"]),
        (None, "app in (web, api)", ["herder-1", "api"]),
        (None, "app notin (web)", ["api"]),
        (None, "app", ["herder-1", "api"]),
        (None, "!app", []),
        ("shop", "app=web", []),
    ],
)
def test_containers_and_workloads_are_those_of_the_namespace_with_the_labels(
    two: LookedAtNode, namespace: str | None, selector: str | None, wanted: list[str]
) -> None:
    which = Which.of(namespace, selector)
    assert shown(two, ps, "containers", which) == wanted
    assert shown(two, advise, "workloads", which, since_unix_s=None) == wanted


def test_diagnoses_are_those_of_the_namespace_with_the_labels(two: LookedAtNode) -> None:
    for name, uid, namespace, app in (("herder-1", UID, "default", "web"), ("api", UID2, "shop", "api")):
        pod = pod_json(name, uid, namespace=namespace, labels={"app": app})
        pod["status"]["containerStatuses"][0]["state"] = {"waiting": {"reason": "CreateContainerConfigError"}}
        two.server.put_pod(pod)
    assert shown(two, diagnose, "diagnoses", Which(), first=(None,)) == ["herder-1", "api"]
    assert shown(two, diagnose, "diagnoses", Which.of("shop"), first=(None,)) == ["api"]
    assert shown(two, diagnose, "diagnoses", Which.of(None, "app=web"), first=(None,)) == ["herder-1"]


def test_kills_are_those_of_the_namespace_and_by_label_those_of_pods_that_are_here(
    two: LookedAtNode, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shown(two, history, "kills", Which()) == ["herder-1", "herder-1", "api"]
    assert shown(two, history, "kills", Which.of("shop")) == ["api"]
    assert capsys.readouterr().err == ""
    assert shown(two, history, "kills", Which.of(None, "app=web")) == ["herder-1"], "the other's pod is gone"
    assert "kills of pods that are not on this node any more are left out" in capsys.readouterr().err
    assert shown(two, history, "kills", Which.of(None, "app=none")) == []


def test_containers_whose_labels_are_not_known_are_left_out_and_that_is_said(
    two: LookedAtNode, capsys: pytest.CaptureFixture[str]
) -> None:
    two.server.close()
    assert shown(two, ps, "containers", Which.of(None, "!app")) == []
    assert "left out 3 containers of pods whose labels are not known" in capsys.readouterr().err


def test_without_the_api_the_labels_are_those_that_the_agent_knew_last(two: LookedAtNode) -> None:
    two.remember(decided=(replace(two.decided(), labels='{"app": "web"}'),))
    two.server.close()
    assert shown(two, ps, "containers", Which.of(None, "app=web")) == ["herder-1"] * 2, "its sandbox too"
    assert shown(two, history, "kills", Which.of(None, "app=web")) == ["herder-1"]


def test_an_empty_table_says_what_was_asked_for(two: LookedAtNode) -> None:
    file = StringIO()
    ps(two.settings, Output.TABLE, file, which=Which.of("nowhere", "app=web"))
    assert file.getvalue() == "No containers of pods in namespace nowhere with labels app=web.\n"
    file = StringIO()
    diagnose(two.settings, None, Output.TABLE, file, which=Which.of("nowhere"))
    assert file.getvalue() == "No pods on node node-1 in namespace nowhere.\n"


@pytest.mark.parametrize("selector", ["app=", "a b", "app in web", "\x1b[2J=", "=x"])
def test_a_selector_that_cannot_be_read_says_where(selector: str, capsys: pytest.CaptureFixture[str]) -> None:
    if selector == "app=":
        assert Which.of(None, selector).selector is not None, "the empty value, as in kubectl"
        return
    with pytest.raises(WrongSelectorError, match=r"--selector: character \d+ of selector"):
        Which.of(None, selector)
    assert main(("ps", "--node-name", "n", "-l", selector)) == EXIT_USAGE
    assert "\x1b" not in capsys.readouterr().err


def test_sizes_and_counts_go_by_the_largest_text_by_the_alphabet_and_times_by_the_newest(two: LookedAtNode) -> None:
    assert shown(two, ps, "containers", Which(sort_by="usage")) == ["herder-1", "api"]
    two.write(f"{CONTAINER}/memory.current", f"{MIB}\n")
    assert shown(two, ps, "containers", Which(sort_by="usage")) == ["api", "herder-1"]
    assert shown(two, ps, "containers", Which(sort_by="container")) == ["herder-1", "api"]
    assert shown(two, ps, "containers", Which(sort_by="kills")) == ["herder-1", "api"]
    assert shown(two, history, "kills", Which(sort_by="time")) == ["herder-1", "herder-1", "api"]
    assert shown(two, history, "kills", Which(sort_by="container")) == ["herder-1", "herder-1", "api"]


def test_what_is_not_known_comes_last() -> None:
    unknown = replace(KILL, victims=(), ordinal=9)
    assert KILLS.ordered([unknown, KILL], "resident") == [KILL, unknown]
    with pytest.raises(AgentError, match="no column shoe-size"):
        KILLS.ordered([], "shoe-size")


def test_every_column_that_can_be_sorted_by_is_offered_and_no_other() -> None:
    listings = {"ps": CONTAINERS, "history": KILLS, "diagnose": DIAGNOSES, "advise": ADVICE}
    offered = {name: tuple(c.sort_key for c in one.columns if c.sort is not None) for name, one in listings.items()}  # type: ignore[attr-defined]
    assert offered == SORT_KEYS


def test_names_are_those_that_kubectl_takes_each_once(two: LookedAtNode) -> None:
    cases: list[tuple[Any, dict[str, Any], str]] = [
        (ps, {}, "pod/herder-1\npod/api\n"),
        (history, {}, "pod/herder-1\npod/api\n"),
        (advise, {"since_unix_s": None}, "pod/herder-1\npod/api\n"),
    ]
    for command, more, wanted in cases:
        file = StringIO()
        assert command(two.settings, Output.NAME, file, **more) == EXIT_OK
        assert file.getvalue() == wanted


def test_what_has_no_name_is_left_out_of_the_names_and_none_can_do_harm() -> None:
    """They are made for a shell: `kubectl delete $(kubectl oomward ps -o name)`."""
    harmful = ["a\x1b\n", "a --server=https://evil", "-f", "a/b", "$(id)", "A", "x" * 254, 7]
    rows = [{"pod": None}, *({"pod": name} for name in harmful), {"workload_kind": "StatefulSet", "workload": "db"}]
    rows += [{"workload_kind": kind, "workload": "db"} for kind in ("--all", "Deployment x", "", None, 7)]
    assert names_in({"oomward": 1, "more": [7, "pod", None, []], "containers": rows}) == ["statefulset/db"]


def test_a_pod_can_be_named_as_output_name_names_it_and_by_namespace(
    two: LookedAtNode, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--node-name", "node-1", "--cgroup-mount", str(two.mount), "--state-dir", str(two.state)]
    where += ["--kubeconfig", str(two.path / "kubeconfig")]
    assert main(("explain", "pod/api", "-n", "shop", "-o", "name", *where)) == EXIT_OK
    assert capsys.readouterr().out == "pod/api\n"
    assert main(("explain", "api", "-n", "default", *where)) == EXIT_FAILED
    assert "no pod api in namespace default on node node-1: `oomward ps` lists the pods here" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("ps", "-n", NOT_UTF_8), EXIT_OK),
        (("ps", "-l", f"app={NOT_UTF_8}"), EXIT_USAGE),
        (("history", "--pod", NOT_UTF_8), EXIT_OK),
        (("history", "-n", NOT_UTF_8), EXIT_OK),
        (("advise", "-n", NOT_UTF_8), EXIT_OK),
        (("explain", NOT_UTF_8), EXIT_FAILED),
        (("explain", "api", "-n", NOT_UTF_8), EXIT_FAILED),
        (("diagnose", NOT_UTF_8), EXIT_FAILED),
        (("diagnose", "-f", NOT_UTF_8), EXIT_FAILED),
        (("report", "--html", f"no/{NOT_UTF_8}"), EXIT_FAILED),
    ],
)
def test_a_name_that_is_not_utf_8_is_one_that_nothing_has(
    words: tuple[str, ...],
    code: int,
    two: LookedAtNode,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(two.path)
    where = ["--node-name", "node-1", "--cgroup-mount", str(two.mount), "--state-dir", str(two.state)]
    assert main((*words, *where, "--kubeconfig", str(two.path / "kubeconfig"))) == code
    done = capsys.readouterr()
    assert NOT_UTF_8 not in done.out + done.err
    assert code == EXIT_OK or "udcff" in done.err


def test_wide_has_more_columns(two: LookedAtNode) -> None:
    heads = []
    for output in (Output.TABLE, Output.WIDE):
        file = StringIO()
        ps(two.settings, output, file, which=Which.of("shop"))
        heads.append(file.getvalue().splitlines())
    assert heads[1][0].startswith(heads[0][0])
    assert heads[1][0].split()[-4:] == ["CONTAINER", "ID", "OOMPOLICY", "CGROUP"]
    assert heads[1][1].endswith(OTHER)
