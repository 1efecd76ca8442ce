"""The charts, as SVG inside the page. Pure.

Places are percentages and text has a size in pixels, so a chart fits a phone and a wide screen, and its text can be read on both. Colours
are classes of style.py. A bar's title is shown where a pointer rests on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil

from agent.report.markup import Child, Html, join, tag
from agent.report.summary import DAY_S, Bucket, Outcomes
from agent.report.times import label, length
from agent.wording.text import count

PLOT_TOP, PLOT_HEIGHT, HEIGHT = 8, 170, 204  # pixels
DIGIT = 7.5
GAP = 0.18  # of a bar's place
LABELS, MOST_LABELS = 3, 7  # below the chart; on a phone every other one
# Parts of the width: a label further right than the first, less the second for each of its characters, is left out on phones.
LAST_LABEL, PHONE_CHAR = 0.92, 0.015
DIED, SURVIVED, NOT_KNOWN = "container died", "container survived", "not known, or no container"
OUTCOMES = (("died", DIED), ("survived", SURVIVED), ("unknown", NOT_KNOWN))  # classes, and what they stand for


def percent(share: float) -> str:
    return f"{100 * share:.2f}".rstrip("0").rstrip(".") + "%"


def parts(outcomes: Outcomes) -> list[tuple[str, str, int]]:
    """Class, meaning and number of each outcome that is there."""
    numbers = (outcomes.died, outcomes.survived, outcomes.unknown)
    return [(kind, meaning, number) for (kind, meaning), number in zip(OUTCOMES, numbers, strict=True) if number]


def sentence(outcomes: Outcomes) -> str:
    """``3 kills: 2 container died, 1 container survived``."""
    said = ", ".join(f"{number} {meaning}" for _, meaning, number in parts(outcomes))
    return count(outcomes.kills, "kill") + (f": {said}" if said else "")


def nice_top(largest: int) -> int:
    """The top of the scale: 2, 4, 6 or 8 times a power of ten, so that its half is whole too."""
    size = 1
    while True:
        for step in (2, 4, 6, 8):
            if step * size >= largest:
                return step * size
        size *= 10


def timeline(buckets: Sequence[Bucket], step: int) -> Html:
    """Kills over time: for each bucket of ``step`` seconds a bar, its outcomes on top of each other."""
    highest = max(buckets, key=lambda one: one.outcomes.kills)
    top, width = nice_top(highest.outcomes.kills), 1 / len(buckets)
    bars = [_bar(bucket, number * width, width, top, step) for number, bucket in enumerate(buckets)]
    total = sum(one.outcomes.kills for one in buckets)
    most = f"most from {label(highest.from_unix_s, step)} on: {highest.outcomes.kills}"
    said = f"{count(total, 'OOM kill')} over time, in bars of {length(step)}; {most}"
    plot = tag("svg", *_grid(top), *bars, y=PLOT_TOP, height=PLOT_HEIGHT, width="100%", overflow="visible")
    chart = tag("svg", plot, *_below(buckets, step), role="img", aria_label=said, height=HEIGHT, width="100%")
    return tag("div", _axis(top), chart, class_="timeline")


def _bar(bucket: Bucket, left: float, width: float, top: int, step: int) -> Html:
    height, rects = 0.0, []
    for kind, _, number in parts(bucket.outcomes):
        share = number / top
        height += share
        place = {"x": percent(left + width * GAP / 2), "width": percent(width * (1 - GAP))}
        rects.append(tag("rect", class_=kind, **place, y=percent(1 - height), height=percent(share)))
    if not rects:
        return Html("")
    said = f"{label(bucket.from_unix_s, step)}, {length(step)}: {sentence(bucket.outcomes)}"
    return tag("g", tag("title", said), *rects)


def _grid(top: int) -> Iterable[Html]:
    for value in (top, top // 2, 0):
        y = percent(1 - value / top)
        yield tag("line", class_="grid", x1="0", x2="100%", y1=y, y2=y)


def _axis(top: int) -> Html:
    """The scale, left of the bars and as wide as its text."""
    width = DIGIT * len(f"{top:,}") + PLOT_TOP
    ticks = (
        tag(
            "text",
            f"{value:,}",
            class_="tick",
            x=width - 8,
            y=f"{PLOT_TOP + PLOT_HEIGHT * (1 - value / top):g}",
            dy="4",
            text_anchor="end",
        )
        for value in (top, top // 2, 0)
    )
    return tag("svg", *ticks, width=width, height=HEIGHT, aria_hidden="true")


def _below(buckets: Sequence[Bucket], step: int) -> Iterable[Html]:
    """Labels below the bars that they name."""
    days = [number for number, one in enumerate(buckets) if one.from_unix_s % DAY_S == 0]
    at_days = step < DAY_S and len(days) >= LABELS
    numbers = days if at_days else range(len(buckets))
    for place, number in enumerate(numbers[:: ceil(len(numbers) / MOST_LABELS)]):
        x = number / len(buckets)
        if x > LAST_LABEL and place:
            continue
        words = label(buckets[number].from_unix_s, DAY_S if at_days else step)
        yield tag(
            "line",
            class_="grid",
            x1=percent(x),
            x2=percent(x),
            y1=PLOT_TOP + PLOT_HEIGHT,
            y2=PLOT_TOP + PLOT_HEIGHT + 6,
        )
        minor = place % 2 or x > LAST_LABEL - PHONE_CHAR * len(words)
        yield tag("text", words, class_="tick minor" if minor else "tick", x=percent(x), y=PLOT_TOP + PLOT_HEIGHT + 21)


def stack(shares: Iterable[tuple[str, str, float]], said: str, class_: str = "bar") -> Html:
    """One bar of parts beside each other: class, title and share of the whole width of each."""
    left, rects = 0.0, []
    for kind, title, share in shares:
        rect = tag("rect", tag("title", title), class_=kind, x=percent(left), width=percent(share), height="100%")
        rects.append(rect)
        left += share
    ground = tag("rect", class_="ground", width="100%", height="100%")
    return tag("svg", ground, *rects, class_=class_, role="img", aria_label=said, width="100%")


def legend(entries: Iterable[tuple[str, Child]]) -> Html:
    """Class and meaning."""
    swatches = (
        tag("li", tag("span", class_=f"swatch {kind}", aria_hidden="true"), join(words)) for kind, words in entries
    )
    return tag("ul", *swatches, class_="legend")
