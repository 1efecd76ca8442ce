"""Shared by the reading commands: control files, names of cgroups, and the ledger's content.

Takes a Survey and returns values; writes nothing. An error becomes a sentence in a list and a name in ``unread``; a cgroup
that is removed meanwhile raises GoneError, and the caller skips it.
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
    """The cgroup was removed while it was read: not an error."""


class Reads:
    """Values of one cgroup's files. ``unread`` names those that could not be read; ``troubles`` says why."""

    def __init__(self, troubles: list[str]) -> None:
        self.unread: set[str] = set()
        self._troubles = troubles

    def take(self, name: str, read: Callable[[], T | Vanished]) -> T | None:
        """The result of ``read``; None if it raised CgroupError. Raises GoneError."""
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
    """The names of a container's cgroup: from the API, else from the ledger, else from the path.

    ``pod_uid`` may be a static pod's config hash until the API reports the pod.
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
    """The API knows the pod but no container of this id: the pause sandbox, or a container that the kubelet has not reported yet."""
    registry = found.registry
    return registry.pod_of(cgroup.place) is not None and registry.identity(cgroup.place) is None


def knobs(found: Survey, container: Cgroup) -> dict[str, int] | Vanished:
    """memory.oom.group by path, of the container and of crun's cgroup below it. Raises CgroupError.

    Without such a file (cgroup v1) the value is 0: every kill ends one process.
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
    """The mode in force: group if any value is 1 (mem_cgroup_get_oom_group). None: could not be read."""
    if values is None:
        return None
    return Mode.GROUP if any(values.values()) else Mode.SINGLE


def grouped_above(found: Survey, own: Iterable[Cgroup], troubles: list[str]) -> tuple[str, ...]:
    """Cgroups above these with memory.oom.group 1, the highest first; the hierarchy's root has no such file."""
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
    """Processes killed, from the kernel's counters: a group kill counts its first victim twice (measured, 6.1 and 6.12)."""
    return None if events is None else events.oom_kill - (events.oom_group_kill or 0)


@dataclass(frozen=True, slots=True)
class LedgerFacts:
    """The ledger's content. ``killed``: processes by (pod uid, container name); None without a ledger.

    ``originals`` are the values before oomward's first writes in this boot, by inode.
    """

    killed: Mapping[tuple[str, str], int] | None = None
    originals: Mapping[int, Original] = field(default_factory=dict)

    def killed_in(self, identity: Identity) -> int | None:
        """Killed processes of one container; None if not known."""
        if self.killed is None or identity.pod_uid is None or identity.container is None:
            return None
        return self.killed.get((identity.pod_uid, identity.container), 0)


def read_ledger(settings: Settings, troubles: list[str]) -> LedgerFacts:
    """Read the ledger; needs no running agent."""
    try:
        reader = LedgerReader(settings.state_dir)
    except NoLedgerError as error:
        troubles.append(f"kills are counted by the kernel since each container's start: {error}")
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
    """Print each on a line of standard error."""
    for trouble in troubles:
        print(f"oomward: {safe(trouble, MOST_SAID)}", file=sys.stderr)  # noqa: T201


# ------------------------------------------------------------------------------------------------------ finding a pod


@dataclass(frozen=True, slots=True)
class NodePod:
    """A pod of this node. ``key`` is in the name of its cgroup. ``pod`` None: the API does not know it.

    Then ``uid`` may be a static pod's config hash, and the names None. ``ids``: of its containers, present and previous, and
    of its sandbox.
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
    """The pod with this name, namespace/name, uid, or at least the first six characters of a container id.

    Raises AgentError if there is none, or several, which it then names.
    """
    pods = _node_pods(found)
    text = asked.strip().lower()
    named = [one for one in pods if text in (one.name, one.shown)]
    named = named or [one for one in pods if text.replace("_", "-") in (one.uid, one.key)]
    if len(named) == 1:
        return named[0]
    if named:
        raise AgentError(f"several pods are named {safe(asked, 320)}: {_list(named)}. Give namespace/name")
    bare = text.rpartition("://")[2]
    with_id = [one for one in pods if ID_PREFIX.match(bare) and any(has.startswith(bare) for has in one.ids)]
    if len(with_id) == 1:
        return with_id[0]
    if with_id:
        raise AgentError(
            f"several pods have a container id that starts with {bare}: {_list(with_id)}. Give more of the id"
        )
    raise AgentError(_not_found(found, asked))


def _list(pods: list[NodePod]) -> str:
    names = sorted(f"{safe(one.shown, 320)} (uid {safe(one.uid)})" for one in pods)
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _not_found(found: Survey, asked: str) -> str:
    node = safe(found.settings.node_name, 253)
    if found.registry.listed:
        todo = "`oomward ps` lists the pods here, `kubectl get pods -A -o wide` the node of each pod"
    else:
        todo = "the API is not reachable, so give its uid or a container id, as `oomward ps` shows them"
    return f"no pod {safe(asked, 320)} on node {node}: {todo}"


def _node_pods(found: Survey) -> list[NodePod]:
    """Pods of the API, and those with a cgroup here."""
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
