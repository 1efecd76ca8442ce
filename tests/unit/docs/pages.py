"""The documents as the tests of this folder read them: pages, what is set as code, headings as anchors."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")), ROOT / "manifests" / "chart" / "README.md"]
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+(?:\n[^`\n]+)?)`")
HEADING = re.compile(r"^#+ +(.+?)$", re.MULTILINE)


def names(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, *languages: str) -> list[str]:
    """Fenced blocks of these languages."""
    return [text for language, text in FENCE.findall(page.read_text()) if language in languages]


def code(page: Path) -> Iterator[str]:
    """Everything that is set as code, a line of a block or a span at a time; lines that go on (``\\``) are joined."""
    for _, text in FENCE.findall(page.read_text()):
        yield from text.replace("\\\n", " ").splitlines()
    yield from (" ".join(span.split()) for span in SPAN.findall(FENCE.sub("", page.read_text())))


def anchors(page: Path) -> set[str]:
    """What a link may name behind the ``#``, as GitHub makes it of headings."""
    return {_anchor(heading) for heading in HEADING.findall(FENCE.sub("", page.read_text()))}


def _anchor(heading: str) -> str:
    kept = (c for c in heading.lower() if c in " -_" or unicodedata.category(c)[0] in "LN")
    return "".join(kept).replace(" ", "-")
