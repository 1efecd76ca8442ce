"""HTML that is safe by the way it is made: text is escaped unless it is Html, and only what is here makes Html. Pure."""

from __future__ import annotations

from html import escape

from agent.wording.text import safe

MOST_TEXT = 1200  # characters of one text of ours
MOST_NAME = 253  # as Kubernetes has it
VOID = ("col", "link", "meta", "wbr")
MOST_BYTES_PER_CHAR = 2
UNKNOWN = "not known"


class Html(str):
    """Markup: not escaped again."""

    __slots__ = ()


Child = str | Html | None


def tag(name: str, /, *children: Child, **attributes: str | float | bool | None) -> Html:
    """An element. Of an attribute's name ``_`` becomes ``-``, and one at its end is dropped; None or False: it is not there."""
    given = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{_attribute(value)}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    return Html(f"<{name}{given}>" if name in VOID else f"<{name}{given}>{join(*children)}</{name}>")


def join(*children: Child) -> Html:
    """One after the other; None is nothing."""
    return Html("".join(one if isinstance(one, Html) else text(one) for one in children if one is not None))


def text(content: str, limit_chars: int = MOST_TEXT) -> Html:
    """Control characters and direction marks are shown as escapes; the middle of what is too long is left out.

    At most twice as many bytes: of characters that need more, as & does, fewer are shown.
    """
    words = escape(safe(content, limit_chars), quote=False)
    if len(words.encode()) > MOST_BYTES_PER_CHAR * limit_chars:
        words = escape(safe(content, limit_chars // 3), quote=False)
    return Html(words)


def name_of(name: str | None, without: str = UNKNOWN) -> Html:
    """A name of others, of which the direction of writing changes nothing around it; None is shown as ``without``."""
    return tag("span", without, class_="none") if name is None else tag("bdi", text(name, MOST_NAME))


def _attribute(value: str | float) -> str:
    return escape(safe(value, MOST_TEXT)) if isinstance(value, str) else f"{value:g}"
