"""What the page's sections share: headings, names, sizes, and the sentence that rows are left out. Pure."""

from __future__ import annotations

from agent.report.markup import MOST_NAME, Child, Html, join, name_of, tag, text
from agent.report.model import Place
from agent.wording.text import bytes_text

DASH = "–"


def section(ident: str, heading: str, *children: Child) -> Html:
    return tag("section", tag("h2", heading, id=f"{ident}-h"), *children, id=ident, aria_labelledby=f"{ident}-h")


def about(words: str) -> Html:
    return tag("p", words, class_="about")


def left_out(shown: int, all_of_them: int, what: str, where: str = "") -> Html | None:
    """None: nothing is. ``where``: a sentence about the others."""
    if shown >= all_of_them:
        return None
    return tag("p", f"These are {shown:,} of {all_of_them:,} {what}. {where}".strip(), class_="more")


def owner(place: Place) -> Html:
    """Namespace and workload; below it its kind and the container. Of a kill outside of workloads what is known."""
    if place.workload is not None:
        kind, named = place.kind or "", in_namespace(place.namespace, place.workload)
    elif place.pod is not None:
        kind, named = "Pod", in_namespace(place.namespace, place.pod)
    else:
        kind, named = "cgroup outside of pods", name_of(place.cgroup)
    return join(named, beside(text(kind, MOST_NAME), inside(place.container)))


def in_namespace(namespace: str | None, name: str | None) -> Html:
    return join(name_of(namespace), "/", tag("wbr"), name_of(name))


def inside(container: str | None) -> Html | None:
    return None if container is None else join("container ", name_of(container))


def beside(*words: Html | None) -> Html:
    """In a second line, with commas."""
    given = [word for word in words if word]
    return tag("span", *(join(", " if number else None, word) for number, word in enumerate(given)), class_="sub")


def size(size_bytes: int | None) -> Html:
    return name_of(None, DASH) if size_bytes is None else text(bytes_text(size_bytes))


def whole(share: float) -> str:
    """``42 %``, which no line end divides."""
    return f"{100 * share:.0f}\N{NO-BREAK SPACE}%"
