"""The page: what it says, what it leaves out and says so, and that nothing in it loads, runs or grows without bound.

tests/browser looks at it as a reader does.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace

import pytest

from agent.model import Outcome
from agent.report import charts, of_kills, of_limits
from agent.report.markup import VOID
from agent.report.model import Kill, Place, Report, Silent
from agent.report.page import MOST_NOTES, MOST_SILENT, page
from agent.report.summary import Bucket, Outcomes
from agent.report.table import UNFOLDED
from tests.browser import example
from tests.unit.docs.words import forbidden
from tests.unit.report.test_markup import Read

MOST_BYTES = 1_000_000
EMPTY = Report(1e9, 1e9 + 86400, "1", nodes=("n1",))
KILL = Kill(1e9 + 60, "n1", Place("shop", "Deployment", "web", "web-1", "app"), outcome=Outcome.DIED)


@pytest.fixture(scope="module")
def usual() -> str:
    return page(example.cluster())


@pytest.fixture(scope="module")
def hostile() -> str:
    return page(example.hostile(kills=4980))


def said(report: Report) -> str:
    html = page(report)
    return spoken(html)


def spoken(html: str) -> str:
    """Its text, with a blank between two elements."""
    return " ".join(
        Read(re.sub(r"(?=</?(?:p|li|td|th|b|span|dt|svg)\b)", " ", html[html.index("<body>") :])).said.split()
    )


def test_the_largest_page_that_names_can_make_is_below_a_megabyte() -> None:
    """Each text as long as it may be, and of the character that needs most room."""
    long = "&" * 5000
    kill = Kill(1e9, long, Place(long, long, long, long, long, long), long, long, filled_by=long)
    kills = tuple(replace(kill, place=replace(kill.place, pod=f"{n}{long}", workload=f"{n}{long}")) for n in range(300))
    near = replace(example.hostile(60, 2).near[0], node=long, namespace=long, pod=long, container=long)
    one = replace(
        example.cluster().raises[0],
        namespace=long,
        kind=long,
        workload=long,
        container=long,
        reason=long,
        next_limit=long,
    )
    report = replace(
        EMPTY,
        kills=kills,
        silent=tuple(Silent(f"{n}{long}", long) for n in range(100)),
        near=(near,) * 100,
        raises=(replace(one, command="&" * 600),) * 100,
        notes=(long,) * 100,
        namespace=long,
        node=long,
    )
    assert len(page(report).encode()) < MOST_BYTES


@pytest.mark.parametrize("which", ["usual", "hostile"])
def test_nothing_in_the_page_loads_or_runs(which: str, request: pytest.FixtureRequest) -> None:
    elements = Read(request.getfixturevalue(which)).elements
    assert not {name for name, _ in elements} & {"script", "iframe", "object", "img", "form", "base", "a"}
    names = {attribute for _, attributes in elements for attribute in attributes}
    assert not [name for name in names if name.startswith("on") or name in ("src", "style", "srcset")]
    assert {(attributes["href"] or "")[:5] for _, attributes in elements if "href" in attributes} == {"data:"}


def test_the_policy_allows_exactly_these_styles(usual: str) -> None:
    policy = next(
        a["content"] or "" for name, a in Read(usual).elements if a.get("http-equiv") == "Content-Security-Policy"
    )
    styles = usual.partition("<style>")[2].partition("</style>")[0]
    wanted = base64.b64encode(hashlib.sha256(styles.encode()).digest()).decode()
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{wanted}'; ")
    assert "unsafe" not in policy
    assert "url(" not in styles
    assert "@import" not in styles


def test_every_element_is_closed_in_order(usual: str, hostile: str) -> None:
    for html in (usual, hostile):
        open_now: list[str] = []
        for closing, name in re.findall(r"<(/?)([a-z][a-z0-9]*)[^>]*>", html):
            if closing:
                assert open_now.pop() == name
            elif name not in VOID:
                open_now.append(name)
        assert open_now == []


def test_names_of_others_are_shown_escaped(hostile: str) -> None:
    assert "<script" not in hostile
    assert "\u202e" not in hostile
    assert "\x1b" not in hostile
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in hostile
    assert "\\u202egnp.exe" in hostile


def test_a_cluster_without_kills_says_so_and_has_no_chart() -> None:
    words, html = said(EMPTY), page(EMPTY)
    assert "No OOM kills in this time." in words
    assert "<svg" not in html
    assert "Kills over time" not in words
    assert "None of the running containers uses 90 % of its memory limit." in words


def test_where_not_all_nodes_answered_no_kills_are_claimed_for_those_that_did_only() -> None:
    words = said(replace(EMPTY, silent=(Silent("n2", "timed out"),)))
    assert "1 of 2 nodes did not answer." in words
    assert "n2: timed out" in words
    assert "No OOM kills on the 1 node that answered in this time." in words


def test_where_no_node_answered_nothing_is_claimed() -> None:
    words = said(replace(EMPTY, nodes=(), silent=(Silent("n2", "timed out"),)))
    assert "No node answered, so nothing is known." in words
    assert "No OOM kills" not in words


def test_what_is_left_out_is_said(hostile: str) -> None:
    words = spoken(hostile)
    assert (
        f"These are {of_kills.MOST_KILLS} of 4,980 kills. The charts count all of them, and oomward history lists them."
        in words
    )
    assert f"These are {of_limits.MOST_NEAR} of 6,600 containers." in words
    assert f"and {60 - MOST_SILENT} nodes more" in words
    assert f"and {60 - MOST_NOTES} notes more" in words
    assert re.search(rf"These are {of_kills.MOST_WORKLOADS} of [\d,]+ containers with kills\.", words)


def test_all_kills_are_in_the_charts_and_totals_though_few_are_listed() -> None:
    kills = tuple(replace(KILL, at_unix_s=1e9 + number) for number in range(5000))
    words = said(replace(EMPTY, kills=kills))
    assert "5,000 OOM kills" in words
    assert "container died (5,000)" in words


def test_the_usual_page_says_who_what_and_what_to_do(usual: str) -> None:
    words = spoken(usual)
    for text in (
        "12 nodes · 8 Jun 13:00 to 15 Jun 2026 13:00 UTC",
        "worker-12: its agent did not answer within 3 s",
        "notebooks/jupyter-mara StatefulSet, container notebook",
        "shared memory and tmpfs, 61 %",
        "512Mi → 640Mi",
        "kubectl patch deployment thumbnails --namespace shop --type strategic",
        "change it where the Job is made",
    ):
        assert text in words


def test_a_report_of_a_namespace_and_of_a_node_says_which() -> None:
    assert said(replace(EMPTY, namespace="shop")).startswith("OOM kills in namespace shop")
    assert "node n1 · " in said(replace(EMPTY, node="n1"))


def test_a_time_of_more_than_a_year_ago_has_its_year() -> None:
    long = replace(EMPTY, from_unix_s=1e9 - 4e7, kills=(KILL, replace(KILL, at_unix_s=1e9 - 4e7)))
    assert "9 Sep 2001" in said(long)
    assert "9 Sep 01:47" in said(replace(EMPTY, kills=(KILL,)))


def test_most_rows_of_a_table_are_folded() -> None:
    kills = tuple(replace(KILL, place=replace(KILL.place, workload=f"web{number}")) for number in range(UNFOLDED + 2))
    assert "Show 2 more rows" in said(replace(EMPTY, kills=kills))


def test_a_command_that_is_too_long_is_left_out_with_a_hint() -> None:
    one = replace(example.cluster().raises[0], command="x" * (of_limits.MOST_COMMAND + 1))
    words = said(replace(EMPTY, raises=(one,)))
    assert of_limits.LONG_COMMAND in words
    assert "xxx" not in words


def test_its_words_are_plain_english(usual: str) -> None:
    assert forbidden(" ".join((Read(usual[usual.index("<body>") :]).said, said(EMPTY), of_limits.ABOUT_NEAR))) == []


@pytest.mark.parametrize(
    ("largest", "top"),
    [(0, 2), (1, 2), (3, 4), (7, 8), (8, 8), (9, 20), (21, 40), (61, 80), (81, 200), (50_000, 60_000)],
)
def test_the_scale_ends_at_a_round_number_with_a_whole_half(largest: int, top: int) -> None:
    assert charts.nice_top(largest) == top


def test_bars_end_at_the_top_and_stand_on_the_ground() -> None:
    chart = charts.timeline([Bucket(0.0, Outcomes(8, 5, 3)), Bucket(3600.0)], 3600)
    rects = [attributes for name, attributes in Read(chart).elements if name == "rect"]
    assert [(one["class"], one["y"], one["height"]) for one in rects] == [
        ("died", "37.5%", "62.5%"),
        ("survived", "0%", "37.5%"),
    ]
    assert "1 Jan 00:00, 1 hour: 8 kills: 5 container died, 3 container survived" in chart
