"""The check of recoveries sees a fight, an action that nobody asked for, and a success that is none."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import cast

from agent.model.recover import Action, Attempt, State
from agent.recover.history import History
from tests.soak.invariants import Rest
from tests.soak.whole.checks import recoveries_are_bounded
from tests.soak.whole.owners import Fate, Owner
from tests.soak.whole.world import Whole

UNDONE = (Fate.IMAGE, Fate.RETRY, Fate.STRATEGY, Fate.GROW)


def attempt(number: int, name: str, action: Action, state: State = State.FAILED) -> Attempt:
    owner = f"shop-a/ReplicaSet/{name}"
    return Attempt(number, owner, "shop-a", f"{name}-0", "u", action, "app", "a", "b", "", "", 0.0, state=state)


def found(*more: Attempt, **effects: int) -> list[str]:
    """Of a cluster where one recovery helped, and all owners undid another."""
    owners = [Owner(fate.value, "shop-a", fate, 0.0, reverted=int(fate in UNDONE)) for fate in Fate]
    good = attempt(1, "cured", Action.IMAGE, State.SUCCEEDED)
    history = History((good, *more), 99)
    recovery = SimpleNamespace(
        owners=SimpleNamespace(all=owners, failure="", effects=Counter({"cured": 1, **effects})),
        deaths=[],
        history=lambda: history,
    )
    return recoveries_are_bounded(cast(Whole, SimpleNamespace(recovery=recovery)), cast(Rest, None))


def retries(many: int) -> list[Attempt]:
    return [attempt(n + 2, "retry", Action.RETRY) for n in range(many)]


def test_three_steps_each_undone_are_within_the_bound() -> None:
    assert found(*retries(3), retry=3) == []


def test_a_fourth_is_a_fight() -> None:
    assert found(*retries(4), retry=4) == ["4 attempts for retry"]


def test_a_change_that_no_attempt_was_recorded_for_is_seen() -> None:
    assert found(*retries(1), retry=2) == ["retry was changed 2 times, by 1 tries"]


def test_an_action_for_who_did_not_ask_for_it_is_seen() -> None:
    (wrong,) = found(attempt(2, "silent", Action.IMAGE))
    assert wrong.startswith("an attempt for shop-a/ReplicaSet/silent")
    assert found(attempt(2, "image", Action.RETRY)) == ["shop-a/ReplicaSet/image did not ask for retry"]


def test_a_success_of_a_pod_that_was_never_ready_is_seen() -> None:
    (wrong,) = found(attempt(2, "image", Action.IMAGE, State.SUCCEEDED))
    assert wrong.startswith("a success for shop-a/ReplicaSet/image")
