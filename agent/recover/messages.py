"""The message about a recovery, for the pod's status annotation and its Events: what failed, what was tried, how it ended. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from agent.model.recover import Attempt, State, Step
from agent.wording.text import count, cut, safe

MOST_TEXT = 900  # characters: an Event's note takes 1024 bytes
MOST_RESULT = 300


def trying(step: Step) -> str:
    """``ImagePullBackOff (image not found). Trying image 2 of 3 (attempt 1 of 3).``"""
    attempt = step.attempt
    verb = "Dry run: would try" if step.dry_run else "Trying"
    return _safe(f"{attempt.cause}. {verb} {attempt.what} (attempt {step.nth} of {step.of}).")


def status(attempt: Attempt) -> str:
    """What the step itself writes."""
    return _safe(f"{attempt.cause}. Trying {attempt.what}.")


def ended(attempt: Attempt, attempts: Sequence[Attempt]) -> str:
    """``ImagePullBackOff (image not found). Recovered with image 2 of 3 after 1 attempt.``; ``attempts``: all of the owner."""
    tried = count(len([one for one in attempts if one.number <= attempt.number]), "attempt")
    match attempt.state:
        case State.SUCCEEDED:
            return _safe(f"{attempt.cause}. Recovered with {attempt.what} after {tried}.")
        case State.DONE:
            return _safe(f"{attempt.cause}. Done: {attempt.what}; whether it helps is seen when the pod stays ready.")
        case State.REFUSED:
            return _safe(f"{attempt.cause}. Not possible: {attempt.what}: {_result(attempt)}. It is not repeated.")
        case State.DROPPED:
            return _safe(f"{attempt.cause}. Not done any more: {attempt.what}: {_result(attempt)}.")
    what = attempt.what[:1].upper() + attempt.what[1:]
    return _safe(f"{attempt.cause}. {what} did not help: {_result(attempt)} ({tried}).")


def _result(attempt: Attempt) -> str:
    """Why it ended so, without the full stop of others."""
    return cut(attempt.result.rstrip(". "), MOST_RESULT)


def _safe(text: str) -> str:
    return safe(text, MOST_TEXT)
