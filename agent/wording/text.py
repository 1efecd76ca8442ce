"""Text that is safe to print, sizes, durations and numbers as people write them. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

NOTE_BYTES = 1024  # events.k8s.io/v1: a note is at most 1 KiB of UTF-8
NAME_LIMIT = 64
ELLIPSIS = " … "
OBJECT = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([-.a-z0-9]*[a-z0-9])?\Z")
# Characters without a glyph: grapheme joiner, fillers, vowel signs, variation selectors.
INVISIBLE = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"
    + "".join(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
)


def safe(text: str, limit_chars: int = NAME_LIMIT) -> str:
    """Escape control characters, line breaks, direction marks and lone surrogates; cut long text in the middle.

    The middle isn't even looked at: text of others may have a quarter of a million characters.
    """
    if len(text) > 2 * limit_chars:  # escaped text is no shorter, so what is left out here would be cut as well
        text = text[:limit_chars] + text[len(text) - limit_chars :]
    harmless = text.isascii() and text.isprintable()  # most text: a look at each character costs 30 times as much
    return cut(text if harmless else "".join(map(_harmless, text)), limit_chars)


def _harmless(char: str) -> str:
    # Cc control, Cf format (direction marks, zero width), Cs surrogates, Co private, Cn unassigned, Zl/Zp line ends.
    if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") or char in INVISIBLE:
        code = ord(char)
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    return char


def is_object_name(value: object) -> bool:
    """Whether an object of the API may have this name (a DNS subdomain): for a shell it is one word, and no option."""
    return isinstance(value, str) and OBJECT.match(value) is not None


def cut(text: str, limit_chars: int) -> str:
    """At most ``limit_chars`` characters; the middle is left out."""
    if len(text) <= limit_chars:
        return text
    room = limit_chars - len(ELLIPSIS)
    if room <= 0:
        return text[:limit_chars]
    front = room - room // 3
    return text[:front] + ELLIPSIS + text[len(text) - room // 3 :]


def note(text: str) -> str:
    """As ``cut``, to the API's limit for a note, which counts bytes."""
    raw = text.encode("utf-8", "replace")
    if len(raw) <= NOTE_BYTES:
        return text
    room = NOTE_BYTES - len(ELLIPSIS.encode())
    front = raw[: room - room // 3].decode("utf-8", "ignore")
    return front + ELLIPSIS + raw[len(raw) - room // 3 :].decode("utf-8", "ignore")


def count(number: int, noun: str) -> str:
    """``1 process``, ``2 processes``, ``0 cgroups``."""
    return f"{number} {noun}" + ("" if number == 1 else "es" if noun.endswith(("s", "ch")) else "s")


def some(names: Sequence[str], most: int = 3) -> str:
    """The first few: ``a, b, c and 4 more``."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def bytes_text(size: int) -> str:
    """``180.2 MiB``; whole numbers without a decimal."""
    value, unit = float(size), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if abs(value) < 1023.95:  # what rounds to 1024.0 belongs to the next unit
            break
        value, unit = value / 1024, larger
    return f"{value:.1f}".removesuffix(".0") + f" {unit}"


def duration_text(seconds: float) -> str:
    """``10m``, ``1h``, ``30s``: as written in settings and annotations."""
    for unit, size in (("h", 3600), ("m", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:g}s"
