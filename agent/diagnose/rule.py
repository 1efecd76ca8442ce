"""One row of the decision table: when it matches, what it means, and what to do, with the case's own values in the sentences.

A rule is data; the page docs/reference/diagnosis.md is generated from it. Pure.
"""

from __future__ import annotations

import re
import signal
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from agent.diagnose.case import At, Case
from agent.model import ContainerKind, PodContainer, Scope
from agent.model.diagnosis import Answer, Category
from agent.model.status import Phase
from agent.wording.text import bytes_text, safe

RETRY = "set restartPolicy OnFailure to have it restarted"
MOST_WORD = 160  # characters of a name or image


@dataclass(frozen=True, slots=True)
class Fact:
    """A condition beyond the API's texts. ``words`` describe it on the page."""

    words: str
    holds: Callable[[Case], bool]


@dataclass(frozen=True, slots=True)
class Rule:
    """``at``: the places where it applies, with the category; ``reasons``: globs, one of which must match, if any.

    ``says`` is searched in the reason and the messages; its named groups are words for the sentences. ``what`` and ``advice``:
    the first sentence with all words known is used; the last needs no word that may be missing.
    """

    name: str
    at: Mapping[At, Category]
    transient: Answer
    retry_helps: Answer
    what: tuple[str, ...]
    advice: tuple[str, ...]
    reasons: tuple[str, ...] = ()
    says: re.Pattern[str] | None = None
    facts: tuple[Fact, ...] = ()

    def match(self, case: Case) -> Mapping[str, str] | None:
        """The words from the message, safe to print; None if the rule does not match."""
        if case.at not in self.at:
            return None
        if self.reasons and not any(fnmatchcase(case.reason, glob) for glob in self.reasons):
            return None
        if not all(fact.holds(case) for fact in self.facts):
            return None
        if self.says is None:
            return {}
        found = self.says.search(case.said)
        if found is None:
            return None
        return {name: safe(text.strip(), MOST_WORD) for name, text in found.groupdict().items() if text}


def says(pattern: str) -> re.Pattern[str]:
    """A pattern for ``Rule.says``: case-insensitive; a dot matches within a line."""
    return re.compile(pattern, re.IGNORECASE)


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
    found: dict[str, str | None] = {
        "who": who(case),
        "pod": safe(case.pod.name, MOST_WORD),
        "namespace": safe(case.pod.namespace, MOST_WORD),
        "reason": safe(case.reason, MOST_WORD) or "no reason given",
        "deadline": None if case.pod.status.deadline_s is None else f"{case.pod.status.deadline_s} s",
        "exit_code": _number(case.ended.exit_code),
        "signal": signal_name(case.signal),
        **_memory(case),
    }
    if case.container is not None:
        found["container"] = safe(case.container.name)
        found["image"] = safe(case.container.status.image, MOST_WORD) or None
        found["uid"] = _number(case.container.status.run_as_user)
        found["again"] = RETRY if _not_retried(case, case.container) else None
        previous = "" if case.container.status.state.phase is Phase.TERMINATED else " --previous"
        found["log"] = f"kubectl logs -n {found['namespace']} {found['pod']} -c {found['container']}{previous}"
    return {name: text for name, text in found.items() if text is not None}


def _not_retried(case: Case, one: PodContainer) -> bool:
    """Whether only restartPolicy Never keeps the kubelet from restarting it."""
    policy = one.status.restart_policy or case.pod.status.restart_policy
    return case.at is At.ENDED and policy == "Never" and one.kind in (ContainerKind.REGULAR, ContainerKind.INIT)


def who(case: Case) -> str:
    """``container web``, ``the init container git-clone``, ``the pod``."""
    one = case.container
    if one is None:
        return "the pod"
    if one.kind is ContainerKind.REGULAR:
        return f"container {safe(one.name)}"
    return f"the {one.kind.value} container {safe(one.name)}"


def _memory(case: Case) -> dict[str, str | None]:
    recent, last = case.recent, next(iter(case.killed or case.kills), None)
    spec = case.container.limit_bytes if case.container is not None else None
    used = [kill.usage_bytes for kill in case.kills if kill.usage_bytes is not None]
    peak = case.facts.peak_bytes if case.facts.peak_bytes is not None else max(used, default=None)
    hit = {} if last is None else {last.scope: last.limit_bytes}
    victim = last.victims[0].comm if last is not None and last.victims else None
    its = {Scope.CONTAINER: "its memory limit", Scope.POD: "its pod's memory limit"}
    return {
        "its_limit": its.get(last.scope) if last is not None and last.scope is not None else None,
        "limit": quantity(case.facts.limit_bytes or spec),
        "own_limit": quantity(hit.get(Scope.CONTAINER)),
        "pod_limit": quantity(hit.get(Scope.POD)),
        "peak": quantity(peak),
        "kills": f"{len(recent)} kill{'' if len(recent) == 1 else 's'}" if recent else None,
        "victim": None if victim is None else safe(victim),
    }


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


def _number(value: int | None) -> str | None:
    return None if value is None else str(value)
