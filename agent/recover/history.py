"""What was done so far: attempts with their results, and what follows for the next one. Pure.

Attempts count per owner, not per pod: none is lost with a pod. A strategy's change starts the counts of its resource again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Container, Iterable, Iterator
from dataclasses import MISSING, asdict, dataclass, fields, replace

from agent.model.recover import MOST_TRIES_DIGITS, UNSETTLED, Action, Attempt, State
from agent.wording.times import YEAR_10000_UNIX_S

KEPT_S = 86_400.0  # a settled attempt counts for a day
MOST_KEPT = 1500  # more than a day has by the default rates
MOST_ATTEMPT = 8000  # bytes of one; more than any has
MOST_BYTES = 900_000  # a ConfigMap takes 1 MiB
SHARE = 3  # parts of the journal; a namespace may fill one
HOUR_S = 3600.0
NO_HELP = "the pod still fails"
MOST_DIGITS = 15  # of a number in the journal
TIMES = ("at_unix_s", "changed_unix_s")
NUMBERS = {  # the least of each, and what it is less than
    "last": (0, 10**MOST_DIGITS - 1),  # one more is the next
    "number": (1, 10**MOST_DIGITS - 1),
    "tries": (1, 10**MOST_TRIES_DIGITS),
    **dict.fromkeys(TIMES, (0, YEAR_10000_UNIX_S)),
}
FIELDS = tuple(one.name for one in fields(Attempt))
DEFAULTS = {one.name: one.default for one in fields(Attempt) if one.default is not MISSING}


class FullError(ValueError):
    """There are more attempts than the journal takes: nothing may be done that it can't record."""


@dataclass(frozen=True, slots=True)
class History:
    """``attempts`` in the order of their numbers; ``last`` is the highest number ever given."""

    attempts: tuple[Attempt, ...] = ()
    last: int = 0

    def of(self, owner: str) -> tuple[Attempt, ...]:
        """All attempts for this owner."""
        return tuple(one for one in self.attempts if one.owner == owner)

    def counted(self, owner: str, action: Action) -> tuple[Attempt, ...]:
        """Those that count against the bound: all strategies; of the other actions those since the last strategy's change."""
        own = self.of(owner)
        if action is not Action.STRATEGY:
            changed = max((one.number for one in own if one.action is Action.STRATEGY), default=0)
            own = tuple(one for one in own if one.number > changed)
        return tuple(one for one in own if one.action is action)

    def newest(self, owner: str) -> Attempt | None:
        """The last attempt for this owner, whatever it did."""
        return max(self.of(owner), key=lambda one: one.number, default=None)

    def since(self, at_unix_s: float, namespace: str | None = None) -> Iterator[Attempt]:
        """Attempts after a time, of one namespace or of all."""
        return (one for one in self.attempts if one.at_unix_s > at_unix_s and namespace in (None, one.namespace))

    def in_state(self, *states: State) -> tuple[Attempt, ...]:
        return tuple(one for one in self.attempts if one.state in states)

    def unsaid(self, now_unix_s: float) -> tuple[Attempt, ...]:
        """Those that ended within the last hour, and may not have been reported."""
        ended = (one for one in self.attempts if one.state not in UNSETTLED and not one.said)
        return tuple(one for one in ended if one.last_unix_s > now_unix_s - HOUR_S)

    def kept(self, now_unix_s: float) -> History:
        """What still counts: unsettled attempts, and those of the last day."""
        since = now_unix_s - KEPT_S
        return replace(
            self, attempts=tuple(one for one in self.attempts if one.state in UNSETTLED or one.at_unix_s > since)
        )

    def filled_by(self, namespace: str) -> bool:
        """Whether one namespace has its part of the journal: what it writes into its objects must cost no other one a recovery."""
        own = replace(self, attempts=tuple(self.since(0.0, namespace)))
        if SHARE * len(own.attempts) >= MOST_KEPT:
            return True
        longest = SHARE * len(own.attempts) * MOST_ATTEMPT
        return longest >= MOST_BYTES and SHARE * len(own.text) >= MOST_BYTES

    def with_intent(self, attempt: Attempt, now_unix_s: float, failed: Container[int] = ()) -> History:
        """With a new attempt, which gets the next number; those with the numbers ``failed`` did. Raises FullError."""
        kept = [_failed(one, now_unix_s) if one.number in failed else one for one in self.kept(now_unix_s).attempts]
        after = History((*kept, replace(attempt, number=self.last + 1)), self.last + 1)
        if len(kept) >= MOST_KEPT or len(after.text) > MOST_BYTES:
            raise FullError("the journal is full: it has too many attempts of the last day")
        return after

    def changed(self, attempt: Attempt) -> History:
        """With this attempt in the place of the one that has its number."""
        return replace(self, attempts=tuple(attempt if one.number == attempt.number else one for one in self.attempts))

    @property
    def text(self) -> str:
        """As the journal keeps it."""
        attempts = [
            {key: value for key, value in asdict(one).items() if key not in DEFAULTS or value != DEFAULTS[key]}
            for one in self.attempts
        ]
        return json.dumps({"last": self.last, "attempts": attempts}, separators=(",", ":"))


def _failed(one: Attempt, now_unix_s: float) -> Attempt:
    if one.state is not State.DONE:
        return one
    return replace(one, state=State.FAILED, result=NO_HELP, changed_unix_s=now_unix_s)


class NewerError(ValueError):
    """What only a newer version knows: its attempts can't be counted, so no bound would hold."""


def parse_history(text: str, troubles: list[str] | None = None) -> History:
    """What ``History.text`` wrote; "" is none. A row that can't be read is left out, and said in ``troubles``.

    Raises ValueError: a journal that can't be read at all, or has actions that only a newer version knows, means that nothing may be done.
    """
    if not text:
        return History()
    try:
        found = json.loads(text, parse_int=_whole)
        last, rows = found["last"], found["attempts"]
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"it is no journal: {error!r}") from error
    if not isinstance(rows, list):
        raise ValueError("it is no journal: its attempts are no list")
    attempts = tuple(_attempts(rows, [] if troubles is None else troubles))
    numbers = [one.number for one in attempts]
    if not _fits("last", last) or numbers != sorted(set(numbers)) or any(number > last for number in numbers):
        raise ValueError("its numbers contradict each other")
    return History(attempts, last)


def _whole(digits: str) -> float:
    """A JSON integer; infinity for one that is beyond all numbers here. Python reads none of more than 4300 digits."""
    return int(digits) if len(digits) <= MOST_DIGITS else math.inf


def _attempts(rows: Iterable[object], troubles: list[str]) -> Iterator[Attempt]:
    for i, row in enumerate(rows, 1):
        try:
            yield _attempt(row)
        except NewerError:
            raise
        except ValueError as error:
            troubles.append(
                f"row {i} ({row!r:.120}) can't be read and is left out, so that it counts against no bound: {error}"
            )


def _attempt(row: object) -> Attempt:
    """Without fields of other versions. Raises ValueError."""
    if not isinstance(row, dict):
        raise ValueError("it is no object")
    known = {one: row[one] for one in FIELDS if one in row}
    for name in FIELDS:
        if name not in known and name not in DEFAULTS:
            raise ValueError(f"{name} is missing")
        if name in known and not _fits(name, known[name]):
            raise ValueError(f"{name} is {known[name]!r:.80}")
    action, state = known["action"], known.get("state", State.INTENDED)
    if action not in tuple(Action) or state not in tuple(State):
        raise NewerError(
            f"the action {action!r:.80} in the state {state!r:.80} is of a newer oomward, and what it did counts: use that version again, "
            "or remove the row"
        )
    return Attempt(**{**known, "action": Action(action), "state": State(state)})


def _fits(name: str, value: object) -> bool:
    """Whether a field may have this value. JSON has numbers without end, infinity and NaN; for Python, true is one."""
    if name == "said":
        return isinstance(value, bool)
    if name not in NUMBERS:
        return isinstance(value, str)
    least, most = NUMBERS[name]
    if isinstance(value, float) and name not in TIMES:
        return False
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value < most
