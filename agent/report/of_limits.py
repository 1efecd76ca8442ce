"""The sections about limits: the containers near theirs, and those to raise. Pure."""

from __future__ import annotations

from agent.diagnose.memory import quantity
from agent.report.charts import stack
from agent.report.markup import Html, join, name_of, tag, text
from agent.report.model import NearLimit, Raise, Report
from agent.report.pieces import about, beside, in_namespace, inside, left_out, section, size, whole
from agent.report.table import Column, table
from agent.wording.text import bytes_text, cut

MOST_NEAR = 40
MOST_RAISES = 30
MOST_REASON = 300  # characters
MOST_COMMAND = 600
MOST_LIMIT = 24
NEAR = "Containers near their limit"
ABOUT_NEAR = (
    "Usage or peak is at least 90 % of the limit. Usage includes page cache, which the kernel frees before it kills a process, "
    "so a high share alone is not a fault."
)
ABOUT_RAISES = "Each next limit is a quarter more, at least 32 MiB: how much a container needs is not known while its limit stops it."
LONG_COMMAND = "The command is too long for this page: see oomward advise --output patch."


def near(report: Report) -> Html:
    if not report.near:
        return section("near", NEAR, about("None of the running containers uses 90 % of its memory limit."))
    shown = report.near[:MOST_NEAR]
    columns: tuple[Column[NearLimit], ...] = (
        Column("Container", 36, _named, "names"),
        Column("Usage", 22, _usage, "bars"),
        Column("Limit", 11, lambda one: size(one.limit_bytes), "number"),
        Column("Peak", 12, lambda one: size(one.peak_bytes), "number"),
        Column("Node", 19, lambda one: name_of(one.node)),
    )
    listed = table("Running containers near their memory limit", columns, shown)
    return section("near", NEAR, about(ABOUT_NEAR), listed, left_out(len(shown), len(report.near), "containers"))


def _named(one: NearLimit) -> Html:
    return join(in_namespace(one.namespace, one.pod), beside(inside(one.container)))


def _usage(one: NearLimit) -> Html:
    share, peak = min(1.0, one.share), min(1.0, one.peak_share)
    bars = [("used", f"in use {whole(one.share)}", share), ("peak", f"peak {whole(one.peak_share)}", peak - share)]
    said = f"{whole(one.share)} of the limit in use, at most {whole(one.peak_share)}"
    return join(tag("span", tag("b", whole(one.share)), f" {bytes_text(one.usage_bytes)}"), stack(bars, said))


def raises(report: Report) -> Html:
    if not report.raises:
        return section("advice", "Advice", about("No OOM kill is a reason for another memory limit."))
    shown = report.raises[:MOST_RAISES]
    columns: tuple[Column[Raise], ...] = (
        Column("Workload", 34, _owner, "names"),
        Column("Limit", 16, _change, "change"),
        Column("Kills", 7, lambda one: text(f"{one.kills:,}"), "number"),
        Column("Peak", 10, lambda one: size(one.peak_bytes), "number"),
        Column("Reason", 33, _why, "wide"),
    )
    listed = table("Memory limits to raise", columns, shown)
    return section(
        "advice", "Advice", about(ABOUT_RAISES), listed, left_out(len(shown), len(report.raises), "limits to raise")
    )


def _owner(one: Raise) -> Html:
    what = text("limit of its pods") if one.container is None else inside(one.container)
    return join(in_namespace(one.namespace, one.workload), beside(text(one.kind), what))


def _change(one: Raise) -> Html:
    """Both as in a manifest."""
    return tag("span", quantity(one.limit_bytes) or "none", " → ", tag("b", cut(one.next_limit, MOST_LIMIT)))


def _why(one: Raise) -> Html:
    reason = tag("span", cut(one.reason, MOST_REASON))
    if one.command is not None and len(one.command) <= MOST_COMMAND:
        return join(
            reason, tag("details", tag("summary", "Command"), tag("pre", tag("code", one.command), tabindex="0"))
        )
    how = LONG_COMMAND if one.command is not None else one.to_do
    return join(reason, tag("span", cut(how, MOST_REASON), class_="sub") if how is not None else None)
