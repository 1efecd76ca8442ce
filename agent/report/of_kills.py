"""The sections about kills: totals, over time, who, what filled the limits, the newest. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from agent.model import Filled
from agent.report import charts, summary
from agent.report.charts import parts, stack
from agent.report.markup import Html, join, name_of, tag, text
from agent.report.model import Kill, Report
from agent.report.pieces import DASH, about, beside, in_namespace, inside, left_out, owner, section, size, whole
from agent.report.summary import Bucket, Filling, Outcomes, Victims
from agent.report.table import Column, table
from agent.report.times import length, moment
from agent.wording.text import count, cut

MOST_WORKLOADS = 20
MOST_FILLED = 8
MOST_KILLS = 100
MOST_ARGUMENTS = 120  # characters of a command line
MOST_NAMES = 3  # processes of a workload
CLASSES = dict(zip(summary.KINDS, ("processes", "cache", "shared", "kernel", "sockets", "unknown"), strict=True))
MEANINGS: dict[str, str] = {
    Filled.PROCESSES: "heaps and stacks; fewer or smaller processes need less",
    Filled.PAGE_CACHE: "files that were read or written and could not be dropped in time",
    Filled.SHARED: "files in emptyDir volumes with medium Memory and in /dev/shm; they stay until they are removed",
    Filled.KERNEL: "page tables, slabs and other memory of the kernel for the container",
    Filled.SOCKETS: "buffers of network connections",
    summary.OTHER: "what the kernel's report does not name",
}
FILLED = "What filled the limits"


def totals(report: Report, victims: Sequence[Victims]) -> Html:
    """The page in six numbers."""
    outcomes = summary.outcomes_of(report.kills)
    workloads = {(v.place.namespace, v.place.kind, v.place.workload) for v in victims if v.place.workload is not None}
    numbers = (
        (outcomes.kills, _noun(outcomes.kills, "OOM kill"), None),
        (outcomes.died, "ended the container", "died"),
        (outcomes.survived, "left it running", "survived"),
        (len(workloads), f"{_noun(len(workloads), 'workload')} affected", None),
        (len(report.near), f"{_noun(len(report.near), 'container')} near the limit, of {report.containers:,}", None),
        (len(report.raises), f"{_noun(len(report.raises), 'memory limit')} to raise", None),
    )
    tiles = (
        tag("li", tag("b", f"{number:,}", class_=kind if number else None), tag("span", what))
        for number, what, kind in numbers
    )
    return tag("ul", *tiles, class_="tiles")


def _noun(number: int, noun: str) -> str:
    return count(number, noun).partition(" ")[2]


def over_time(report: Report) -> Html:
    step = summary.bucket_s(report.from_unix_s, report.to_unix_s)
    buckets = summary.over_time(report.kills, report.from_unix_s, report.to_unix_s)
    entries = [(kind, f"{meaning} ({number:,})") for kind, meaning, number in parts(summary.outcomes_of(report.kills))]
    columns: tuple[Column[Bucket], ...] = (
        Column("From (UTC)", 40, lambda one: moment(one.from_unix_s, year=report.years)),
        Column("Kills", 20, lambda one: text(f"{one.outcomes.kills:,}"), "number"),
        Column("Died", 20, lambda one: text(f"{one.outcomes.died:,}"), "number"),
        Column("Survived", 20, lambda one: text(f"{one.outcomes.survived:,}"), "number"),
    )
    rows = [one for one in buckets if one.outcomes.kills]
    listed = table(f"OOM kills per {length(step)}", columns, rows, len(rows))
    chart = tag("figure", charts.timeline(buckets, step), charts.legend(entries))
    numbers = tag("details", tag("summary", "Show the numbers"), listed, class_="numbers")
    return section("time", "Kills over time", about(f"Each bar is {length(step)}, in UTC."), chart, numbers)


# -------------------------------------------------------------------------------------------------------------------- who


def who(report: Report, victims: Sequence[Victims]) -> Html:
    shown = victims[:MOST_WORKLOADS]
    most = max(one.outcomes.kills for one in shown)
    columns: tuple[Column[Victims], ...] = (
        Column("Workload", 36, lambda one: owner(one.place), "names"),
        Column("Kills", 22, lambda one: _kills(one.outcomes, most), "bars"),
        Column("Limit", 11, lambda one: size(one.limit_bytes), "number"),
        Column("Processes", 17, _processes),
        Column("Last kill (UTC)", 14, lambda one: moment(one.last_unix_s, year=report.years)),
    )
    listed = table("Workloads by number of OOM kills", columns, shown)
    return section("who", "Who was killed", listed, left_out(len(shown), len(victims), "containers with kills"))


def _kills(outcomes: Outcomes, most: int) -> Html:
    bars = [(kind, f"{number:,} {meaning}", number / most) for kind, meaning, number in parts(outcomes)]
    return join(tag("b", f"{outcomes.kills:,}"), stack(bars, charts.sentence(outcomes)))


def _processes(victims: Victims) -> Html:
    """Those that were killed most."""
    if not victims.names:
        return name_of(None)
    shown = [name_of(name) for name, _ in victims.names.most_common(MOST_NAMES)]
    others = " and others" if len(victims.names) > MOST_NAMES else None
    return tag("span", *(join(", " if number else None, name) for number, name in enumerate(shown)), others)


# ----------------------------------------------------------------------------------------------------------------- filled


def filled(kills: Sequence[Kill], victims: Sequence[Victims]) -> Html:
    total = summary.filling_of(kills)
    if not total.kills:
        unknown = "Not known: the agents recorded no memory by kind for these kills, or no limit of a container or pod was hit."
        return section("filled", FILLED, about(unknown))
    average = f"Average over {count(total.kills, 'kill')} at a container's or a pod's limit; each kill counts the same."
    without = f" For {count(total.without, 'more kill')} it is not known." if total.without else ""
    entries = (
        (CLASSES[kind], join(tag("b", f"{whole(share)} {kind}"), tag("span", MEANINGS[kind], class_="sub")))
        for kind, share in total.shares.items()
    )
    chart = tag("figure", _bar(total, "bar tall"), charts.legend(entries), class_="filling")
    known = [one for one in victims if one.filling.kills]
    shown = known[:MOST_FILLED]
    columns: tuple[Column[Victims], ...] = (
        Column("Workload", 36, lambda one: owner(one.place), "names"),
        Column("Filled by", 36, lambda one: _bar(one.filling, "bar"), "wide"),
        Column("Mostly", 28, lambda one: text(_mostly(one.filling))),
    )
    listed = table("What filled the limits of the workloads with the most kills", columns, shown)
    more = left_out(len(shown), len(known), "containers with kills")
    return section("filled", FILLED, about(average + without), chart, listed, more)


def _bar(filling: Filling, class_: str) -> Html:
    shares = [(CLASSES[kind], f"{kind} {whole(share)}", share) for kind, share in filling.shares.items()]
    return stack(shares, ", ".join(title for _, title, _ in shares), class_)


def _mostly(filling: Filling) -> str:
    kind = filling.largest
    return "" if kind is None else f"{kind}, {whole(filling.shares[kind])}"


# ----------------------------------------------------------------------------------------------------------------- newest


def newest(report: Report) -> Html:
    shown = report.kills[:MOST_KILLS]
    columns: tuple[Column[Kill], ...] = (
        Column("Where", 34, _where, "names"),
        Column("Time (UTC)", 12, lambda one: moment(one.at_unix_s, year=report.years), "time"),
        Column("Process", 21, _process),
        Column("Limit", 10, _limit),
        Column("Filled by", 13, lambda one: name_of(summary.filled_by(one), DASH)),
        Column("Outcome", 10, _outcome),
    )
    listed = table("The newest OOM kills", columns, shown)
    others = "The charts count all of them, and oomward history lists them."
    return section("newest", "Newest kills", listed, left_out(len(shown), len(report.kills), "kills", others))


def _where(kill: Kill) -> Html:
    place = kill.place
    named = name_of(place.cgroup) if place.pod is None else in_namespace(place.namespace, place.pod)
    return join(named, beside(inside(place.container), join("on ", name_of(kill.node))))


def _process(kill: Kill) -> Html:
    command = tag("code", cut(kill.command, MOST_ARGUMENTS), class_="sub") if kill.command else None
    if kill.process is None:
        return join(name_of(None, f"{kill.processes:,} not named"), command)
    others = f" and {kill.processes - 1:,} more" if kill.processes > 1 else None
    return join(tag("span", name_of(kill.process), others), command)


def _limit(kill: Kill) -> Html:
    of = kill.scope.value if kill.scope is not None else "scope not known"
    return join(tag("span", size(kill.limit_bytes)), tag("span", of, class_="sub"))


def _outcome(kill: Kill) -> Html:
    if kill.outcome is None:
        return name_of(None, DASH if kill.place.container is None else "not known")
    return tag("span", kill.outcome.value, class_=f"badge {kill.outcome.value}")
