"""How the memory below the limit was used at a kill, where the kernel's report does not say it; and by which containers of a pod."""

from __future__ import annotations

from dataclasses import replace

from agent.kills.counter import Counter
from agent.kills.facts import Facts
from agent.kills.scope import level_of
from agent.model import ContainerUse, OomKill, Scope

OWN = (Scope.CONTAINER, Scope.POD)  # with any other limit, the memory of one pod says nothing
MOST_CONTAINERS = 5  # that are kept


def with_use(kill: OomKill, counter: Counter, facts: Facts) -> OomKill:
    """A kill that was recorded just now, with what its report lacks, read from the cgroup whose limit was hit, if that is there.

    ``counter`` is the one that shows the kill.
    """
    level = level_of(counter, kill.scope) if kill.scope in OWN else None
    if level is None or level.removed:
        return kill
    path = level.cgroup.path
    use = facts.memory_use(path) if kill.use is None else kill.use
    containers = _at_kill(kill, facts.containers_use(path)) if kill.scope is Scope.POD else ()
    return replace(kill, use=use, containers=containers)


def _at_kill(kill: OomKill, now: tuple[ContainerUse, ...]) -> tuple[ContainerUse, ...]:
    """What a killed process had is freed already: it was used by its container. ``now`` are all containers of the pod."""
    if not now or kill.container is None or kill.limit_bytes is None:
        return ()
    freed_bytes = max(0, kill.limit_bytes - sum(one.usage_bytes for one in now))
    own_bytes = freed_bytes + sum(one.usage_bytes for one in now if one.name == kill.container)
    others = [one for one in now if one.name != kill.container]
    found = sorted([ContainerUse(kill.container, own_bytes), *others], key=lambda one: -one.usage_bytes)
    return tuple(found[:MOST_CONTAINERS])
