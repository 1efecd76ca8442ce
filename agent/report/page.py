"""The page: a Report as one HTML document that loads nothing and runs nothing. Pure.

Its size is bounded: each list has at most a fixed number of rows, and says how many it leaves out; charts and totals count everything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from agent.report import charts, of_kills, of_limits
from agent.report.markup import Html, name_of, tag
from agent.report.model import Report
from agent.report.pieces import section
from agent.report.style import CSS, POLICY
from agent.report.summary import by_workload
from agent.report.times import moment
from agent.wording.text import count, cut

MOST_SILENT = 30
UNFOLDED = 3  # silent nodes that are named without a click
MOST_NOTES = 20
MOST_REASON = 300  # characters of a reason or a note
ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Crect width='16' height='16' rx='4' "
    "fill='%23b3261e'/%3E%3Cpath d='M4 12V8h2v4zm3 0V4h2v8zm3 0V6h2v6z' fill='%23fff'/%3E%3C/svg%3E"
)
TERMS = {
    "OOM kill": "The kernel ended a process, or several at once, because a memory limit or the node's memory was used up.",
    charts.DIED: "All of its processes ended, or its first one did. The kubelet starts it again if its policy says so.",
    charts.SURVIVED: "Only some of its processes were ended. It may run only in part.",
    "scope": "Which limit was hit: the container's, its pod's, that of all pods (kubepods), or the node's memory.",
}


def page(report: Report) -> str:
    """The whole document."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("meta", name="generator", content=f"oomward {report.version}"),
        tag("link", rel="icon", href=ICON),
        tag("title", f"OOM kills, {_of_what(report)}"),
        tag("style", Html(CSS)),
    )
    body = tag("body", _header(report), tag("main", *_main(report)), _footer(report))
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _of_what(report: Report) -> str:
    """What was asked: ``namespace shop, 52 nodes``, ``node n1``."""
    asked = count(len(report.nodes) + len(report.silent), "node")
    of = f"node {report.node}" if report.node is not None else asked
    return of if report.namespace is None else f"namespace {report.namespace}, {of}"


def _header(report: Report) -> Html:
    asked = count(len(report.nodes) + len(report.silent), "node")
    of = ("node ", name_of(report.node)) if report.node is not None else (asked,)
    inside = (" in namespace ", name_of(report.namespace)) if report.namespace is not None else ()
    span = (
        moment(report.from_unix_s, year=not _same_year(report)),
        " to ",
        moment(report.to_unix_s, year=True),
        " UTC",
    )
    return tag("header", tag("h1", "OOM kills", *inside), tag("p", *of, " · ", *span, class_="span"), _silent(report))


def _same_year(report: Report) -> bool:
    return datetime.fromtimestamp(report.from_unix_s, UTC).year == datetime.fromtimestamp(report.to_unix_s, UTC).year


def _silent(report: Report) -> Html | None:
    """At the top: all numbers are without these nodes."""
    if not report.silent:
        return None
    rows = [tag("li", name_of(one.node), f": {cut(one.why, MOST_REASON)}") for one in report.silent[:MOST_SILENT]]
    if (more := len(report.silent) - MOST_SILENT) > 0:
        rows.append(tag("li", f"and {count(more, 'node')} more"))
    missing = f"{len(report.silent):,} of {count(len(report.nodes) + len(report.silent), 'node')} did not answer."
    said = tag("p", tag("strong", missing), " What happened there is not on this page.")
    listed = tag("ul", *rows)
    folded = listed if len(rows) <= UNFOLDED else tag("details", tag("summary", "Which nodes, and why"), listed)
    return tag("div", said, folded, class_="warning", role="note")


def _main(report: Report) -> Iterable[Html]:
    if not report.nodes:
        yield tag("p", "No node answered, so nothing is known.", class_="nothing")
        return
    victims = by_workload(report.kills)
    yield of_kills.totals(report, victims)
    if not report.kills:
        where = f" on the {count(len(report.nodes), 'node')} that answered" if report.silent else ""
        yield tag("p", f"No OOM kills{where} in this time.", class_="nothing")
    else:
        yield of_kills.over_time(report)
        yield of_kills.who(report, victims)
        yield of_kills.filled(report.kills, victims)
    yield of_limits.near(report)
    yield of_limits.raises(report)
    if report.kills:
        yield of_kills.newest(report)
    if report.notes:
        yield _notes(report.notes)


def _notes(notes: Sequence[str]) -> Html:
    rows = [tag("li", cut(note, MOST_REASON)) for note in notes[:MOST_NOTES]]
    if (more := len(notes) - MOST_NOTES) > 0:
        rows.append(tag("li", f"and {count(more, 'note')} more"))
    return section("notes", "Notes of the nodes", tag("ul", *rows))


def _footer(report: Report) -> Html:
    terms = (piece for term, meaning in TERMS.items() for piece in (tag("dt", term), tag("dd", meaning)))
    made = tag("p", f"Made by oomward {report.version}, ", moment(report.to_unix_s, year=True), " UTC.")
    return tag("footer", tag("h2", "Terms"), tag("dl", *terms), made)
