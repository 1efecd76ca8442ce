"""One row of the decision table: when it matches, what it means, and what to do, with the case's own values in the sentences.

A rule is data; docs/reference/diagnosis.md is generated from it.
"""

from __future__ import annotations

import re
import signal
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from agent.diagnose.case import At, Case
from agent.model import ContainerKind, Scope
from agent.model.diagnosis import Answer, Category
from agent.model.status import Phase
from agent.wording.text import bytes_text, safe

YES, NO, PERHAPS = Answer.YES, Answer.NO, Answer.PERHAPS
RETRY = "set restartPolicy OnFailure to have it restarted"
MOST_WORD = 160  # characters of a name or image
ITS_LIMIT: Mapping[Scope | None, str] = {Scope.CONTAINER: "its memory limit", Scope.POD: "its pod's memory limit"}


@dataclass(frozen=True, slots=True)
class Fact:
    """A condition beyond the API's texts. ``words`` describe it on the page."""

    words: str
    applies: Callable[[Case], bool]


@dataclass(frozen=True, slots=True)
class Rule:
    """``at``: the places where it applies, with the category; ``reasons``: globs, one of which must match, if any.

    ``says``: a pattern, case-insensitive, searched in the reason and the messages; its named groups are words for the
    sentences. ``what`` and ``advice``: the first sentence with all words known is used; the last needs no word that may be missing.
    """

    name: str
    at: Mapping[At, Category]
    transient: Answer
    retry_helps: Answer
    what: tuple[str, ...]
    advice: tuple[str, ...]
    reasons: tuple[str, ...] = ()
    says: str = ""
    facts: tuple[Fact, ...] = ()

    def match(self, case: Case) -> Mapping[str, str] | None:
        """The words from the message, safe to print; None if the rule does not match."""
        if self.reasons and not any(fnmatchcase(case.reason, glob) for glob in self.reasons):
            return None
        if not all(fact.applies(case) for fact in self.facts):
            return None
        found = re.search(self.says, case.said, re.IGNORECASE)
        if found is None:
            return None
        return {name: safe(text.strip(), MOST_WORD) for name, text in found.groupdict().items() if text}


def sentence(alternatives: tuple[str, ...], words: Mapping[str, str]) -> str:
    """The first sentence with all words known; else the last, unformatted."""
    for text in alternatives:
        if names_in(text) <= words.keys():
            return text.format_map(words)
    return alternatives[-1]


def names_in(text: str) -> frozenset[str]:
    """The words that a sentence needs."""
    return frozenset(name for _, name, _, _ in string.Formatter().parse(text) if name)


# --------------------------------------------------------------------------------------------------------- words of a case


def words_of(case: Case) -> dict[str, str]:
    """The words known from the case itself, safe to print; unknown ones are left out."""
    pod, status, one = case.pod, case.status, case.container
    found: dict[str, str | None] = {
        "who": "the pod",
        "pod": safe(pod.name, MOST_WORD),
        "namespace": safe(pod.namespace, MOST_WORD),
        "reason": safe(case.reason, MOST_WORD) or "no reason given",
        "deadline": _text(pod.status.deadline_s, " s"),
        "exit_code": _text(case.ended.exit_code),
        "signal": signal_name(case.signal),
        "image": safe(status.image, MOST_WORD) or None,
        "uid": _text(status.run_as_user),
        **_memory(case),
    }
    if one is not None:
        kind = "" if one.kind is ContainerKind.REGULAR else f"the {one.kind.value} "
        found["container"] = safe(one.name)
        found["who"] = f"{kind}container {found['container']}"
        previous = "" if status.state.phase is Phase.TERMINATED else " --previous"
        found["log"] = f"kubectl logs -n {found['namespace']} {found['pod']} -c {found['container']}{previous}"
        if case.at is At.ENDED and case.policy == "Never" and one.kind in (ContainerKind.REGULAR, ContainerKind.INIT):
            found["again"] = RETRY
    return {name: text for name, text in found.items() if text is not None}


def _memory(case: Case) -> dict[str, str | None]:
    last = next(iter(case.killed or case.kills), None)
    used = [kill.usage_bytes for kill in case.kills if kill.usage_bytes is not None]
    peak = case.facts.peak_bytes if case.facts.peak_bytes is not None else max(used, default=None)
    limit = case.facts.limit_bytes or (case.container.limit_bytes if case.container is not None else None)
    found = {"limit": quantity(limit), "peak": quantity(peak)}
    if case.recent:
        found["kills"] = f"{len(case.recent)} kill{'' if len(case.recent) == 1 else 's'}"
    if last is not None and last.victims:
        found["victim"] = safe(last.victims[0].comm)
    if last is not None and last.scope in ITS_LIMIT:
        found["its_limit"] = ITS_LIMIT[last.scope]
        found["own_limit" if last.scope is Scope.CONTAINER else "pod_limit"] = quantity(last.limit_bytes)
    return found


def quantity(size: int | None) -> str | None:
    """As in a manifest: ``256Mi``, ``180.2Mi``."""
    return None if size is None else bytes_text(size).replace(" ", "").removesuffix("B")


def signal_name(number: int | None) -> str | None:
    """``SIGKILL``; ``signal 63`` for one without a name."""
    if number is None:
        return None
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _text(value: int | None, unit: str = "") -> str | None:
    return None if value is None else f"{value}{unit}"
