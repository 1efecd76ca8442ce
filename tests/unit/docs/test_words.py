"""What users read is plain English: words and phrases that made readers stop are in no page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.docs.pages import ROOT, names

# Files and globs below the root, looked at whole. Add the code's texts (manifests, alerts, templates) and generated pages here.
USER_VISIBLE = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "docs/**/*.md",
    "tests/bench/prose/*.md",
    "manifests/chart/templates/NOTES.txt",
)
# Pages with texts from the code. A page leaves this list when the code's texts are plain.
FROM_CODE = (
    "docs/benchmarks.md",
    "docs/reference/commands.md",
    "docs/reference/configuration.md",
    "docs/reference/diagnosis.md",
    "docs/reference/metrics.md",
)

UNITS = "second|minute|hour|day|year"
TIMES = f"{UNITS}|pod|node|container|process|processes|kill|turn|victim|request|restart|worker|model|start|write|list|answer"
THINGS = "process|processes|worker|workers|page|watch|agent|kill|kills|Event|Events|cgroup|list|restart|row|line|file"
PLAIN = {  # pattern → what to write
    r"mend(s|ed|ing)?": "fix",
    r"anew": "again",
    r"afresh": "again",
    r"begun": "started",
    r"(to be|be|can't be|could be) had": "available",
    r"at the most": "at most",
    r"of late": "recently",
    r"amiss": "wrong",
    r"knobs?": "memory.oom.group",
    r"untold": "not reported",
    r"told|tells? of": "reported, notified",
    r"held|holds?|holding": "enforced, kept",
    r"word of": "report of",
    r"glances?": "look, check",
    r"for ever": "forever",
    r"all the same": "still",
    r"in the (very )?midst": "in the middle",
    r"whose": "with, of which",
    r"wish(es|ed)?": "desired mode",
    r"slip of the pen": "typo",
    r"mourn(s|ed|ing)?": "forget",
    r"bur(y|ies|ied)|graves?": "remove",
    r"and so many|so many": "that many",
    r"(both|either) do": "are accepted",
    r"slow (full )?(look|resync)|full look": "full resync",
    r"fights?|fought": "conflict",
    r"(stands?|stood) back": "suspended",
    r"or their like|and the like|its kin": "similar",
    r"reckons? with|reckoned": "takes into account",
    r"by nature": "always",
    r"ripe": "ready",
    r"witness(es|ed)?|unwitnessed": "report",
    r"every some": "every few",
    r"be taken for": "be mistaken for",
    r"vanish(es|ed)?": "be removed",
    r"take (it )?away": "remove",
    r"as ever|as (it )?was promised|As promised": "as before, PASS",
    r"nobody (told|asked)": "unknown",
    rf"(one|two|three|ten|\d+) ({THINGS}) an? ({TIMES})": "one … per …",
    rf"\d[\d.,]* (s|ms|µs|MB|MiB|KiB) an? ({TIMES})": "… per …",
    rf"(once|twice|ten|\d+|times) an? ({UNITS})": "… per …",
}
WORDS = {pattern: re.compile(rf"\b(?:{pattern})\b", re.IGNORECASE) for pattern in PLAIN}
SKIPPED = re.compile(
    r"^ *(?P<fence>```+|~~~+).*?^ *(?P=fence) *$"  # blocks: commands, and what programs print
    r"|^> .*?$"  # Events, word for word
    r"|<!--.*?-->"
    r"|`[^`\n]+(?:\n[^`\n]+)?`"  # names and what programs print
    r"|\]\([^)\s]*\)"  # where links lead
    r"|^\| \d \| `[a-z_]+/?` \|.*?$",  # rows of rooms in docs/architecture.md: to be checked when the code's words are plain
    re.MULTILINE | re.DOTALL,
)


def files() -> list[Path]:
    left_out = {ROOT / page for page in FROM_CODE}
    return sorted({path for pattern in USER_VISIBLE for path in ROOT.glob(pattern)} - left_out)


def prose(text: str) -> str:
    """The text with everything that is quoted from a program blanked, and its line breaks kept."""
    return SKIPPED.sub(lambda found: re.sub(r"[^\n]", "·", found[0]), text)


def found_in(text: str) -> Iterator[str]:
    """``line: the words → what to write``; a line break is a space, so phrases are found over two lines."""
    flat = prose(text).replace("\n", " ")
    for pattern, plain in PLAIN.items():
        for match in WORDS[pattern].finditer(flat):
            yield f"{text.count(chr(10), 0, match.start()) + 1}: {match[0]} → {plain}"


@pytest.mark.parametrize("file", files(), ids=names)
def test_what_users_read_is_plain_english(file: Path) -> None:
    assert [f"{names(file)}:{line}" for line in found_in(file.read_text())] == []


def test_every_pattern_of_files_names_at_least_one() -> None:
    assert [pattern for pattern in USER_VISIBLE if not list(ROOT.glob(pattern))] == []
    assert [page for page in FROM_CODE if not (ROOT / page).exists()] == []


@pytest.mark.parametrize(
    "text",
    [
        "Mended at last.",
        "It is not\nto be had.",
        "one watch a node",
        "10 s a start",
        "Somebody whose pod it is",
        "three kills a second",
        "at THE most",
    ],
)
def test_it_finds_a_listed_word_over_line_breaks_and_in_any_case(text: str) -> None:
    assert len(list(found_in(text))) == 1


def test_it_names_the_line() -> None:
    assert list(found_in("fine\nfine\nall anew")) == ["3: anew → again"]


@pytest.mark.parametrize(
    "text",
    [
        "`knob`",
        "```\npass    knob\n```",
        "> Largest then, and anew",
        "[page](docs/knob.md)",
        "a recommendation",
        "once a pod starts",
    ],
)
def test_it_leaves_alone_what_is_quoted_and_what_only_looks_alike(text: str) -> None:
    assert list(found_in(text)) == []
