"""The words that texts for users must not have, each with what to write instead. The one list for docs and program texts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

UNITS = "second|minute|hour|day|year"
TIMES = rf"{UNITS}|pod|node|container|job|line|process|processes|kill|turn|victim|request|restart|worker|model|start|write|list|answer"
THINGS = "process|processes|worker|workers|agent|agents|pod|page|watch|kill|kills|Event|Events|cgroup|list|restart|row|line|file"
INSTEAD = {
    r"tell(?:s|ing)?|told|untold": "report, record, send, show, notify, distinguish",
    r"mend(?:s|ed|ing)?": "fix, correct",
    r"anew|afresh": "again",
    r"begun": "started",
    r"(?:to be|be|can't be|cannot be) had": "available",
    r"at the most": "at most",
    r"of late": "recently",
    r"amiss": "wrong",
    r"wish(?:es|ed)?": "desired mode",
    r"knobs?": "memory.oom.group",
    r"hold(?:s|ing)?|held": "enforce, keep",
    r"word of": "report of",
    r"full look|slow (?:full )?(?:look|resync)": "full resync",
    r"glances?": "look, check, drain inotify",
    r"com(?:es?|ing) first|came first|stands? back|stood back": "real-time priority: active, suspended",
    r"fights?|fought": "conflict",
    r"went": "was removed",
    r"vanish(?:es|ed)?": "be removed",
    r"take (?:it )?away": "remove",
    r"mourn(?:s|ed|ing)?|bur(?:y|ies|ied)|graves?": "removed, dropped",
    r"ripe|witness(?:es|ed)?|unwitnessed|drafts?": "ready, report, build",
    r"whose": "of which, with",
    r"somebody else|nobody (?:told|asked|has asked)": "another program; unknown; not requested",
    r"for ever": "forever",
    r"(?:in )?the (?:very )?midst": "in the middle",
    r"all the same": "still",
    r"slip of the pen": "a typo",
    r"or their like|and the like|its kin": "name them, or leave it out",
    r"so many": "that many",
    r"(?:both|either) do": "are accepted",
    r"by nature": "always",
    r"every some": "every few",
    r"be taken for": "be mistaken for",
    r"reckon(?:s|ed)?": "expects, takes into account",
    r"complain(?:s|ed|t)?": "error",
    r"as promised|as (?:it )?was promised": "PASS",
    r"as ever": "as before",
    r"lives? on|lived on": "survives, is still running",
    r"half[ -]dead": "running only in part",
    rf"(?:a|one|two|three|ten|\d+) (?:{THINGS}) an? (?:{TIMES})": "one … per …",
    rf"\d[\d.,]* (?:s|ms|µs|MB|MiB|KiB) an? (?:{TIMES})": "… per …",
    rf"(?:once|twice|times|ten|\d+) an? (?:{UNITS})|(?:twice|times) an? (?:{TIMES})": "… per …",
}
# Names of columns that tables no longer have: TRANSIENT?, RETRY HELPS?, KUBERNETES WILL, SCOPE and DESIRED took their places.
OLD_HEADERS = r"PASSES|AGAIN|NEXT|LIMIT OF|WANTED"
WORDS = {re.compile(rf"(?<![\w-])(?:{words})(?![\w-])", re.IGNORECASE): better for words, better in INSTEAD.items()}
WORDS[re.compile(rf"\b(?:{OLD_HEADERS})\b")] = "the column's new name"


class Found(NamedTuple):
    """``at``: where in the text."""

    at: int
    words: str
    better: str


def find(text: str) -> Iterator[Found]:
    """Each forbidden word or phrase, in any case; a line break counts as a space."""
    flat = text.replace("\n", " ")
    for words, better in WORDS.items():
        yield from (Found(hit.start(), hit[0], better) for hit in words.finditer(flat))


def forbidden(text: str) -> list[str]:
    """Each forbidden word with its neighbours and what to write instead; blanks and line breaks count as one space."""
    text = " ".join(text.split())
    return [
        f"{text[max(0, found.at - 40) : found.at + len(found.words) + 40]!r}: {found.better}" for found in find(text)
    ]
