"""What the commands that only look share: control files read without stopping at one, which container a cgroup is, what the ledger knows.

Takes a Survey, gives values; writes nothing. Trouble becomes a sentence in a list and a name among the ``unread``; a cgroup
that vanishes meanwhile is a GoneError for the caller to pass over.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from agent.cgroup.files import CgroupError
from agent.cgroup.layout import classify
from agent.commands.survey import Survey
from agent.kernel.kmsg import boot_id
from agent.ledger import LedgerReader, NoLedgerError
from agent.model import AgentError, Cgroup, CgroupPlace, Identity, MemoryEvents, Mode, Original, Pod, Vanished
from agent.settings import Settings
from agent.wording.kills import safe

T = TypeVar("T")
MOST_SAID = 1200  # characters of one trouble
MOST_NAMED = 10
ID_PREFIX = re.compile(r"[0-9a-f]{6,64}\Z")


class GoneError(Exception):
    """The cgroup vanished while it was looked at: normal flow."""


class Reads:
    """Values of one cgroup's files. ``unread`` names those that are there and can't be read; ``troubles`` says why."""

    def __init__(self, troubles: list[str]) -> None:
        self.unread: set[str] = set()
        self._troubles = troubles

    def take(self, name: str, read: Callable[[], T | Vanished]) -> T | None:
        """What ``read`` gives; None when it raised CgroupError. Raises GoneError."""
        try:
            value = read()
        except CgroupError as error:
            self.unread.add(name)
            if str(error) not in self._troubles:
                self._troubles.append(str(error))
            return None
        if isinstance(value, Vanished):
            raise GoneError
        return value


def identity_of(found: Survey, cgroup: Cgroup) -> Identity:
    """A container's cgroup by name: as the API says, else as the ledger remembers, else as far as the path shows.

    ``pod_uid`` may be a static pod's config hash while the API does not say.
    """
    place = cgroup.place
    named, pod, remembered = (
        found.registry.identity(place),
        found.registry.pod_of(place),
        found.registry.remembered(place),
    )
    if named is not None:
        return named
    if pod is not None:
        return Identity(pod.namespace, pod.name, pod.uid)
    if remembered:
        return Identity(remembered[0].namespace, remembered[0].pod, remembered[0].pod_uid)
    return Identity(pod_uid=place.pod_key)


def is_sandbox(found: Survey, cgroup: Cgroup) -> bool:
    """The API knows the pod and has no container of this id: the pause sandbox, or a container whose start is not reported yet."""
    registry = found.registry
    return registry.pod_of(cgroup.place) is not None and registry.identity(cgroup.place) is None


def knobs(found: Survey, container: Cgroup) -> dict[str, int] | Vanished:
    """memory.oom.group by path: of the container, and of crun's cgroup below it where there is one. Raises CgroupError.

    Where there is no such file (cgroup v1) it is 0: no kill takes the group.
    """
    own = found.files.read_oom_group(container)
    if isinstance(own, Vanished):
        return own
    values = {container.path: own}
    child = found.child(container)
    below = found.files.read_oom_group(child) if child is not None else own
    if child is not None and not isinstance(below, Vanished):
        values[child.path] = below
    return values


def mode_of(values: Mapping[str, int] | None) -> Mode | None:
    """The mode in force: the highest cgroup that says 1 counts (mem_cgroup_get_oom_group). None: could not be read."""
    if values is None:
        return None
    return Mode.GROUP if any(values.values()) else Mode.SINGLE


def grouped_above(found: Survey, own: Iterable[Cgroup], troubles: list[str]) -> tuple[str, ...]:
    """Cgroups above these whose memory.oom.group is 1, the highest first; the hierarchy's root has no such file."""
    above = set()
    for cgroup in own:
        path = cgroup.path
        while path := path.rpartition("/")[0]:
            above.add(path)
    return tuple(path for path in sorted(above, key=len) if _says_group(found, path, troubles))


def _says_group(found: Survey, path: str, troubles: list[str]) -> bool:
    reads = Reads(troubles)
    try:
        inode = reads.take("inode", lambda: found.files.inode(path))
        if inode is None:
            return False
        return reads.take("mode_actual", lambda: found.files.read_oom_group(Cgroup(classify(path), inode))) == 1
    except GoneError:
        return False


def processes_counted(events: MemoryEvents | None) -> int | None:
    """Processes killed by the kernel's counters: a group kill counts its first victim twice (measured, 6.1 and 6.12)."""
    return None if events is None else events.oom_kill - (events.oom_group_kill or 0)


@dataclass(frozen=True, slots=True)
class LedgerFacts:
    """``killed``: processes by (pod uid, container name); None without a ledger.

    ``originals`` are values from before our first writes in this boot, by inode.
    """

    killed: Mapping[tuple[str, str], int] | None = None
    originals: Mapping[int, Original] = field(default_factory=dict)

    def killed_in(self, identity: Identity) -> int | None:
        """Killed processes of one container; None if not known."""
        if self.killed is None or identity.pod_uid is None or identity.container is None:
            return None
        return self.killed.get((identity.pod_uid, identity.container), 0)


def read_ledger(settings: Settings, troubles: list[str]) -> LedgerFacts:
    """Read the ledger, beside an agent or without one."""
    try:
        reader = LedgerReader(settings.state_dir)
    except NoLedgerError as error:
        troubles.append(f"kills are the kernel's count since each container's start: {error}")
        return LedgerFacts()
    try:
        originals = {original.inode: original for original in reader.originals(boot_id())}
        return LedgerFacts(reader.processes_killed(), originals)
    except NoLedgerError as error:
        troubles.append(str(error))
        return LedgerFacts()
    finally:
        reader.close()


def say(troubles: Iterable[str]) -> None:
    """Each on a line of standard error."""
    for trouble in troubles:
        print(f"oomward: {safe(trouble, MOST_SAID)}", file=sys.stderr)  # noqa: T201


# ------------------------------------------------------------------------------------------------------ finding a pod


@dataclass(frozen=True, slots=True)
class NodePod:
    """A pod of this node, known to the API or not. ``key`` is what its cgroup is called by. ``pod`` None: it is not.

    ``uid`` may be a static pod's config hash then, and the names None. ``ids``: of its containers, now and before, and of its
    sandbox.
    """

    key: str
    uid: str
    namespace: str | None
    name: str | None
    pod: Pod | None
    ids: frozenset[str]

    @property
    def shown(self) -> str:
        return self.uid if self.name is None else f"{self.namespace}/{self.name}"


def find(found: Survey, asked: str) -> NodePod:
    """The pod called ``asked``: name, namespace/name, uid, or at least six characters of a container's id.

    Raises AgentError when there is none, and when there are several: then it names them.
    """
    pods = _node_pods(found)
    text = asked.strip().lower()
    named = [one for one in pods if text in (one.name, one.shown)]
    named = named or [one for one in pods if text.replace("_", "-") in (one.uid, one.key)]
    if len(named) == 1:
        return named[0]
    if named:
        raise AgentError(f"pod {safe(asked, 320)} is in {_list(named)}: say which, as namespace/name")
    bare = text.rpartition("://")[2]
    with_id = [one for one in pods if ID_PREFIX.match(bare) and any(has.startswith(bare) for has in one.ids)]
    if len(with_id) == 1:
        return with_id[0]
    if with_id:
        raise AgentError(f"ids of containers of {_list(with_id)} begin with {bare}: give more of the id")
    raise AgentError(_not_found(found, asked))


def _list(pods: list[NodePod]) -> str:
    names = sorted(f"{safe(one.shown, 320)} (uid {safe(one.uid)})" for one in pods)
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _not_found(found: Survey, asked: str) -> str:
    node = safe(found.settings.node_name, 253)
    if found.registry.listed:
        todo = "see `oomward ps` for those that are, and `kubectl get pods -A -o wide` for the node of each"
    else:
        todo = "the API can't be asked for names, so give its uid or a container's id, as `oomward ps` shows them"
    return f"no pod {safe(asked, 320)} on node {node}: {todo}"


def _node_pods(found: Survey) -> list[NodePod]:
    """Pods of the API, and those that have a cgroup here."""
    ids: dict[str, set[str]] = {}
    places: dict[str, CgroupPlace] = {}
    for cgroup in found.tree.cgroups.values():
        if (key := cgroup.place.pod_key) is not None:
            places.setdefault(key, cgroup.place)
            ids.setdefault(key, set()).update({cgroup.place.container_id or ""} - {""})
    pods = []
    for pod in found.registry.pods.values():
        named = {one for c in pod.containers for one in (c.container_id, c.previous_id) if one is not None}
        own = frozenset(ids.get(pod.cgroup_key, set()) | named)
        pods.append(NodePod(pod.cgroup_key, pod.uid, pod.namespace, pod.name, pod, own))
    for key in places.keys() - {one.key for one in pods}:
        seen = found.registry.remembered(places[key])
        uid, namespace, name = (seen[0].pod_uid, seen[0].namespace, seen[0].pod) if seen else (key, None, None)
        pods.append(NodePod(key, uid, namespace, name, None, frozenset(ids[key])))
    return pods
