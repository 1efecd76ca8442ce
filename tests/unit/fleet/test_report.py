"""``kubectl oomward report``: one page from all nodes, and what is missing on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.serve.answers import MOST_KILLS as AN_AGENT_SENDS
from tests.lab.apiexec import Ran
from tests.lab.fleet import Cluster
from tests.unit.fleet.conftest import Oomward


def test_the_page_has_the_kills_limits_and_advice_of_all_nodes(oomward: Oomward, cluster: Cluster) -> None:
    done = oomward("report", "--html", "-", "-A")
    assert (done.code, done.err) == (0, "")
    assert "<b>6</b><span>OOM kills</span>" in done.out
    assert "near the limit, of 6</span>" in done.out
    assert "256Mi &#8594; <b>320Mi</b>" in done.out
    assert "3 nodes &#183; " in done.out
    for node in cluster.nodes.values():
        assert node.asked == [
            ["oomward", "history", "--output", "json", "--limit", str(AN_AGENT_SENDS)],
            ["oomward", "ps", "--output", "json"],
            ["oomward", "advise", "--output", "json"],
        ]


def test_a_namespace_and_a_time_are_asked_for_and_are_on_the_page(oomward: Oomward, cluster: Cluster) -> None:
    done = oomward("report", "--html", "-", "-n", "shop", "--since", "3000d1h")
    assert "<h1>OOM kills in namespace <bdi>shop</bdi></h1>" in done.out
    assert "<b>3</b><span>OOM kills</span>" in done.out
    assert "lab" not in done.out.partition("</style>")[2].replace("aria-label", "").replace("data-label", "")
    history, _, advise = cluster.nodes["node-1"].asked
    assert history[4:] == ["--limit", "1000", "--namespace", "shop", *advise[4:]]
    assert advise[4] == "--since"
    assert float(advise[5].removesuffix("s")) == pytest.approx(3000 * 86400 + 3600, abs=60)


def test_a_node_may_be_named(oomward: Oomward, cluster: Cluster) -> None:
    assert "1 node &#183; " in oomward("report", "--html", "-", "-A", "--node", "node-2").out
    assert cluster.nodes["node-1"].asked == []


def test_nodes_that_did_not_answer_are_named_on_the_page_and_in_the_exit_code(
    oomward: Oomward, cluster: Cluster, tmp_path: Path
) -> None:
    cluster.server.delete_pod("oomward", "oomward-node-2")
    cluster.answer("node-3", "history", Ran(failure="container is not running"))
    done = oomward("report", "--html", str(tmp_path / "page.html"), "-A")
    assert (done.code, done.out) == (1, "")
    why = "node-2 (no agent), node-3 (the command could not be run: container is not running)"
    assert f"oomward: 2 of 3 nodes did not answer: {why}\n" in done.err
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "2 of 3 nodes did not answer." in html
    assert "<bdi>node-2</bdi>: no agent" in html
    assert "<b>2</b><span>OOM kills</span>" in html


def test_a_node_without_advice_has_answered_and_the_page_says_what_is_missing(
    oomward: Oomward, cluster: Cluster
) -> None:
    cluster.answer("node-3", "advise", Ran(stderr=b"oomward: the API is not reachable\n", exit_code=1))
    done = oomward("report", "--html", "-", "-A")
    assert done.code == 0
    assert "node-3: the API is not reachable" in done.out
    assert "node-3: the advice could not be read" in done.out
    assert "<b>6</b><span>OOM kills</span>" in done.out


def test_whoever_may_not_list_nodes_reads_it_on_the_page(oomward: Oomward, cluster: Cluster) -> None:
    cluster.server.forbidden.add(("list", "nodes"))
    assert "nodes without an agent are not known: " in oomward("report", "--html", "-", "-A").out


def test_a_page_that_can_not_be_written_is_a_sentence(oomward: Oomward, tmp_path: Path) -> None:
    done = oomward("report", "--html", str(tmp_path), "-A")
    assert done.code == 1
    assert "it is a directory): give the name of a file that can be written" in done.err


def test_without_a_file_nothing_is_asked(oomward: Oomward, cluster: Cluster) -> None:
    done = oomward("report", "-A")
    assert (done.code, cluster.nodes["node-1"].asked) == (2, [])
    assert "--html" in done.err
