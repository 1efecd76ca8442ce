"""Words that texts for users must not have, each with what to write instead."""

from __future__ import annotations

import re

INSTEAD = {
    r"tell(?:s|ing)?|told|untold": "report, record, send, show, notify",
    r"mend(?:s|ed|ing)?": "fix, correct",
    r"anew|afresh": "again",
    r"begun": "started",
    r"to be had|(?:can't|cannot|can) be had": "available",
    r"at the most": "at most",
    r"of late": "recently",
    r"amiss": "wrong",
    r"wish(?:es|ed)?": "desired mode",
    r"knobs?": "memory.oom.group",
    r"hold(?:s|ing)?|held": "enforce, keep",
    r"full look|slow look|looked at anew": "full resync",
    r"glances?": "drain inotify",
    r"com(?:es?|ing) first|came first|stands? back|stood back": "real-time priority: active, suspended",
    r"fights?|fought": "conflict",
    r"went": "was removed",
    r"mourn(?:s|ed)?|bur(?:y|ies|ied)|graves?": "removed, dropped",
    r"ripe|witness(?:es|ed)?|unwitnessed|drafts?": "ready, report, build",
    r"whose": "of which, with",
    r"somebody else|nobody (?:told|asked|has asked)": "another program; unknown; not requested",
    r"(?:a|one) (?:process|worker|agent|kill|pod|row|line) (?:a|an) (?:container|job|node|pod|kill|line|model)": "per",
    r"(?:once|twice|times|\d+) an? (?:second|minute|hour|day|node|pod|container|kill|restart)": "per",
    r"for ever": "forever",
    r"the midst": "the middle",
    r"all the same": "still",
    r"slip of the pen": "a typo",
    r"or their like|and the like": "name them, or leave it out",
    r"every some": "every few",
    r"reckons?": "expects",
    r"complain(?:s|ed|t)?": "error",
    r"as promised": "PASS",
    r"lives? on|lived on": "survives, is still running",
    r"half dead": "running only in part",
}
WORDS = {re.compile(rf"(?<![\w-])(?:{words})(?![\w-])", re.IGNORECASE): better for words, better in INSTEAD.items()}
HEADERS = re.compile(
    r"\b(?:PASSES|AGAIN|NEXT|LIMIT OF|WANTED)\b"
)  # of columns: TRANSIENT?, RETRY HELPS?, KUBERNETES WILL, SCOPE, DESIRED
ALLOWED = (
    "HoldOOMGroup",
    "hold-not-set",
    "0004-hold-not-set",
    "0008-come-first-by-real-time",
)  # an Event's action, names of files


def forbidden(text: str) -> list[str]:
    """Each forbidden word in a text, with its neighbours and what to write instead."""
    for name in ALLOWED:
        text = text.replace(name, "")
    text = " ".join(text.split())
    found = [
        f"{text[max(0, hit.start() - 40) : hit.end() + 40]!r}: {better}"
        for words, better in WORDS.items()
        for hit in words.finditer(text)
    ]
    return found + [f"{hit[0]}: a column's old name" for hit in HEADERS.finditer(text)]
