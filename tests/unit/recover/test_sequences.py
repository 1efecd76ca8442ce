"""Bounds hold over any sequence of failures, steps, results, deaths of pods and starts of the controller, not just for one plan."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.model.recover import Action, Attempt, Bounds, Policy, RecoverConfig, Space, State, Step
from agent.recover.history import HOUR_S, KEPT_S, History, parse_history
from tests.unit.recover.pods import OPENED, crash_loop, init_fails, kill, killed, no_image, planned
from tests.unit.recover.test_planner import BUILDS, resource

MOST, NAMESPACE, CLUSTER, GROWS = 2, 4, 6, 2
CONFIG = RecoverConfig(
    Policy(most_attempts=MOST),
    Bounds(
        namespace_per_hour=NAMESPACE,
        cluster_per_hour=CLUSTER,
        grows_per_hour=GROWS,
        back_off_s=5.0,
        most_back_off_s=60.0,
    ),
    strategies=(BUILDS,),
)
START = 1_780_000_000.0
MAKERS = (no_image, killed, crash_loop, init_fails)
ENDS = (State.INTENDED, State.DONE, State.SUCCEEDED, State.FAILED, State.REFUSED, State.DROPPED)
TURN = st.tuples(
    st.sampled_from(MAKERS),
    st.integers(0, 2),  # which owner
    st.sampled_from(["shop", "shop", "shop", "other"]),
    st.integers(0, 99),  # the pod's uid: often another one, since pods die
    st.floats(0.0, 900.0),  # how much later
    st.sampled_from(ENDS),
    st.booleans(),  # of a build
)


@dataclass
class World:
    """All steps that were ever taken, whatever the journal forgets."""

    history: History = field(default_factory=History)
    taken: list[Attempt] = field(default_factory=list)

    def turn(self, now: float, raw: dict[str, Any], space: Space, end: State) -> None:
        self.history = parse_history(self.history.text)  # the controller was started again
        found = planned(raw, space=space, config=CONFIG, history=self.history, now=now, kills=(replace(kill(), at_unix_s=now),),
                        resource=resource("s2i"))  # fmt: skip
        if isinstance(found, Step):
            self.history = self.history.with_intent(found.attempt, now, found.failed)
            attempt = self.history.attempts[-1]
            self.taken.append(attempt)
            self.history = self.history.changed(replace(attempt, state=end, changed_unix_s=now))
        else:
            self.settle(now)

    def settle(self, now: float) -> None:
        """An intent is given up at some time."""
        for one in self.history.in_state(State.INTENDED):
            if now > one.at_unix_s + 900.0:
                self.history = self.history.changed(replace(one, state=State.DROPPED, changed_unix_s=now))


def in_any(window_s: float, times: list[float]) -> int:
    return max((sum(start <= at < start + window_s for at in times) for start in times), default=0)


@settings(max_examples=60, deadline=None)
@given(st.lists(TURN, min_size=20, max_size=120))
def test_no_bound_is_exceeded_in_any_window(turns: list[Any]) -> None:
    world, now = World(), START
    for make, owner, namespace, uid, later, end, build in turns:
        now += later
        labels = {"ml.example/job": f"nb-{owner}"} if build else {"app": "app"}
        raw = make(namespace=namespace, uid=f"uid-{uid}", labels=labels)
        raw["metadata"]["ownerReferences"][0]["name"] = f"app-{owner}"
        world.turn(now, raw, Space(namespace, OPENED.labels), end)
    taken = world.taken
    assert in_any(HOUR_S, [one.at_unix_s for one in taken]) <= CLUSTER
    for namespace in ("shop", "other"):
        assert in_any(HOUR_S, [one.at_unix_s for one in taken if one.namespace == namespace]) <= NAMESPACE
    for owner in {one.owner for one in taken}:
        own = [one for one in taken if one.owner == owner]
        strategies = [one.at_unix_s for one in own if one.action is Action.STRATEGY]
        assert in_any(KEPT_S, strategies) <= min(MOST, len(BUILDS.entries) - 1)
        for action in set(Action) - {Action.STRATEGY}:
            afresh: dict[int, list[float]] = defaultdict(list)
            for one in own:
                if one.action is action:
                    afresh[sum(at < one.at_unix_s for at in strategies)].append(one.at_unix_s)
            assert all(in_any(KEPT_S, times) <= MOST for times in afresh.values())
        grows = [one.at_unix_s for one in own if one.action is Action.GROW]
        assert in_any(HOUR_S, grows) <= GROWS
        steps = sorted(one.at_unix_s for one in own)
        assert all(later - earlier >= 5.0 for earlier, later in pairwise(steps))
    numbers = [one.number for one in taken]
    assert numbers == sorted(set(numbers)), "no number is given twice"
