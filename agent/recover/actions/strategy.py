"""strategy: the custom resource that the pod runs is changed to the next way to run it, as the configuration lists them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from agent.model.recover import Action, Attempt, State, Strategy, StrategyEntry
from agent.recover.actions.request import PatchResource, Request, Result, Seen, once, signed
from agent.recover.case import Case, Change
from agent.recover.subject import Json, of_gitops, step_of

INDEX = re.compile("0|[1-9][0-9]{0,8}")  # of an array (RFC 6901, section 4)


def plan(case: Case) -> Change | str:
    """The first entry after the present one that applies to the resource as it is."""
    strategy, owner = case.subject.strategy, case.subject.owner
    if strategy is None:
        return "no strategy is configured for what made the pod"
    resource = case.evidence.resource
    if resource is None:
        return f"{owner.kind} {owner.name} can't be read"
    if of_gitops(resource):
        return f"{owner.kind} {owner.name} belongs to a GitOps tool, which would change it back"
    names = [entry.name for entry in strategy.entries]
    done = [one for one in case.history.counted(case.subject.key, Action.STRATEGY) if one.state is not State.DROPPED]
    present = names.index(done[-1].after) if done and done[-1].after in names else 0
    for entry in strategy.entries[present + 1 :]:
        if applies(entry, resource):
            return Change(
                f"strategy {entry.name}",
                before=names[present],
                after=entry.name,
                fence=step_of(resource),
                of=len(names) - 1,
            )
    return "all strategies were tried"


def advance(attempt: Attempt, seen: Seen, status: str, *, strategies: Sequence[Strategy]) -> Request | Result:
    """An attempt for an entry that is no longer configured is dropped."""
    mine = (
        s
        for s in strategies
        if attempt.resource.startswith(f"/apis/{s.group}/") and f"/{s.plural}/" in attempt.resource
    )
    entry = next((one for strategy in mine for one in strategy.entries if one.name == attempt.after), None)
    if entry is None:
        return Result(State.DROPPED, f"strategy {attempt.after} is no longer configured")
    return once(
        attempt, seen.resource, lambda obj: PatchResource(attempt.resource, _patch(attempt, obj, entry, status))
    )


def _patch(attempt: Attempt, resource: Json, entry: StrategyEntry, status: str) -> list[Mapping[str, object]]:
    uid = {"op": "test", "path": "/metadata/uid", "value": resource["metadata"].get("uid")}
    return [uid, *signed(resource, attempt.token, status), *entry.patch]


def applies(entry: StrategyEntry, resource: Json) -> bool:
    """Whether all tests of its patch succeed."""
    return all(_at(resource, str(one["path"])) == one["value"] for one in entry.guards)


def _at(obj: object, path: str) -> object:
    """The value at a JSON pointer, None for none."""
    for part in path.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(obj, dict):
            obj = obj.get(key)
        elif isinstance(obj, list) and INDEX.fullmatch(key) and int(key) < len(obj):
            obj = obj[int(key)]
        else:
            return None
    return obj
