"""One row of the decision table: when it matches, what it means, and what to do, with the case's own values in the sentences.

A rule is data; docs/reference/diagnosis.md is generated from it.
"""

from __future__ import annotations

import re
import signal
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

from agent.diagnose.amounts import with_units
from agent.diagnose.case import OF_POD, At, Case
from agent.diagnose.eviction import eviction_words
from agent.diagnose.memory import memory_words
from agent.diagnose.outlook import restarts
from agent.model import ContainerKind
from agent.model.diagnosis import Answer, Category
from agent.model.status import Phase
from agent.wording.text import safe

YES, NO, PERHAPS = Answer.YES, Answer.NO, Answer.PERHAPS
RETRY = "set restartPolicy OnFailure to have it restarted"
REFERENCE = re.compile(r"[a-z0-9][A-Za-z0-9._:/@-]{0,159}\Z")  # an image's name that is one word of a shell
MOST_WORD = 160  # characters of a name or image


class Sure(StrEnum):
    """How certain a rule is."""

    STATED = "stated"  # Kubernetes or the runtime reports it
    SEEN = "seen"  # this node's kernel counters or log show it
    LIKELY = "likely"  # it follows from several signs, and may be wrong
    OPEN = "open"  # the status does not say why


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
    ``source``: where Kubernetes or a runtime sets or words this.
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
    sure: Sure = Sure.STATED
    source: str = ""

    def match(self, case: Case) -> Mapping[str, str] | None:
        """The words from the message, safe to print; None if the rule does not match."""
        if self.reasons and not any(fnmatchcase(case.reason, glob) for glob in self.reasons):
            return None
        if not all(fact.applies(case) for fact in self.facts):
            return None
        found = re.search(self.says, case.said, re.IGNORECASE)
        if found is None:
            return None
        return with_units({name: safe(text.strip(), MOST_WORD) for name, text in found.groupdict().items() if text})


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
        "finalizers": safe(", ".join(pod.status.finalizers), MOST_WORD) or None,
        "node": safe(pod.node_name, MOST_WORD) or None,
        "deadline": _text(pod.status.deadline_s, " s"),
        "exit_code": _text(case.ended.exit_code),
        "signal": signal_name(case.signal),
        "image": safe(status.image, MOST_WORD) or None,
        "image_name": status.image if REFERENCE.match(status.image) else None,  # for a command
        "uid": _text(status.run_as_user),
        **_replaced(case),
        **(eviction_words(case.said) if case.at is At.POD else {}),
        **(memory_words(case) if case.at not in OF_POD or case.at is At.SANDBOX else {}),
    }
    if one is not None:
        kind = "" if one.kind is ContainerKind.REGULAR else f"the {one.kind.value} "
        found["container"], found["restarts"] = safe(one.name), str(status.restart_count)
        found["readiness"] = "readiness probe" if "readiness" in status.probes else None
        found["who"] = f"{kind}container {found['container']}"
        previous = "" if status.state.phase is Phase.TERMINATED else " --previous"
        found["log"] = f"kubectl logs -n {found['namespace']} {found['pod']} -c {found['container']}{previous}"
        if _could_be_restarted(case):
            found["again"] = RETRY
    return {name: text for name, text in found.items() if text is not None}


def _replaced(case: Case) -> dict[str, str | None]:
    """How to have the pod created again: nothing does so for a pod without a controller."""
    controller = case.pod.status.controller
    if controller is None or controller.kind == "Node" or case.pod.config_hash is not None:
        return {"replace": "delete the pod and create it again"}
    owner = f"{safe(controller.kind)} {safe(controller.name, MOST_WORD)}"
    return {"replace": f"delete the pod ({owner} creates another)", "owner": owner}


def _could_be_restarted(case: Case) -> bool:
    """Whether another restartPolicy would have it restarted."""
    one = case.container
    if one is None or case.at is not At.ENDED or case.policy != "Never":
        return False
    return one.kind in (ContainerKind.REGULAR, ContainerKind.INIT) and not restarts(case.pod, one, case.ended)


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
