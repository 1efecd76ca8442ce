"""The node's state for one command: its cgroups, its pods, and the ledger's content. Writes nothing.

An error goes to ``troubles``, and the rest continues. Cgroups and pods are the running agent's (serve/answers.py), or read from the node
and the API (commands/survey.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import TypeVar

from agent.cgroup.files import CgroupFiles
from agent.cgroup.layout import RUNTIME_CHILD, Hierarchy, classify
from agent.kernel.kmsg import boot_id
from agent.ledger import LedgerReader, NoLedgerError
from agent.model import VANISHED, Cgroup, CgroupKind, Identity, Original, ScopePolicy, Vanished
from agent.modes.desired import DesiredMode, desired_mode
from agent.pods.registry import Registry
from agent.runtime.oom_policy import OomPolicies
from agent.settings import Settings

D = TypeVar("D")
T = TypeVar("T")


@dataclass(slots=True)
class Survey:
    """``cgroups``: the live ones, by path. ``registry.listed`` False: the API did not answer, see ``troubles``."""

    settings: Settings
    hierarchy: Hierarchy
    files: CgroupFiles
    cgroups: Mapping[str, Cgroup]
    registry: Registry = field(default_factory=Registry)
    policies: OomPolicies = field(default_factory=OomPolicies.of_node)
    troubles: list[str] = field(default_factory=list)

    def containers(self) -> list[Cgroup]:
        """Cgroups of containers and pause sandboxes, by path."""
        found = (c for c in self.cgroups.values() if c.place.kind is CgroupKind.CONTAINER)
        return sorted(found, key=lambda cgroup: cgroup.path)

    def child(self, container: Cgroup) -> Cgroup | None:
        """crun's own cgroup below the container's, or None."""
        return self.cgroups.get(f"{container.path}/{RUNTIME_CHILD}")

    def limit_bytes(self, cgroup: Cgroup) -> int | Vanished | None:
        """Its memory limit, or that of crun's cgroup below, where crun may set it; None: no limit. Raises CgroupError."""
        limit = self.files.limit_bytes(cgroup)
        child = self.child(cgroup)
        return self.files.limit_bytes(child) if limit is None and child is not None else limit

    def desired(self, container: Cgroup) -> DesiredMode:
        """The container's desired mode, and why. Raises CgroupError."""

        def limit_bytes() -> int | None:
            limit = self.limit_bytes(container)
            return None if isinstance(limit, Vanished) else limit

        def runs(container_id: str) -> bool:
            others = (c for c in self.containers() if c.place.container_id == container_id)
            return any(self.files.populated(c) is True for c in others)

        return desired_mode(container, self.registry, self.settings.rules, limit_bytes, runs)

    def identity(self, cgroup: Cgroup) -> Identity:
        """The names of a container's cgroup: from the API, else from the ledger, else from the path.

        ``pod_uid`` may be a static pod's config hash until the API reports the pod.
        """
        place = cgroup.place
        if (named := self.registry.identity(place)) is not None:
            return named
        if (pod := self.registry.pod_of(place)) is not None:
            return Identity(pod.namespace, pod.name, pod.uid)
        if remembered := self.registry.remembered(place):
            return Identity(remembered[0].namespace, remembered[0].pod, remembered[0].pod_uid)
        return Identity(pod_uid=place.pod_key)

    def is_sandbox(self, cgroup: Cgroup) -> bool:
        """The API knows the pod but no container of this id: the pause sandbox, or a container not reported yet."""
        return self.registry.pod_of(cgroup.place) is not None and self.registry.identity(cgroup.place) is None

    def oom_groups(self, container: Cgroup) -> dict[str, int] | Vanished:
        """memory.oom.group by path, of the container and of crun's cgroup below it. Raises CgroupError.

        Without such a file (cgroup v1) the value is 0: every kill ends one process.
        """
        values = {}
        for cgroup in filter(None, (container, self.child(container))):
            value = self.files.read_oom_group(cgroup)
            if not isinstance(value, Vanished):
                values[cgroup.path] = value
        return values if container.path in values else VANISHED

    def scope_policy(self, container: Cgroup) -> ScopePolicy | None:
        """The OOMPolicy of the container's systemd scope; None: no scope, none visible, or cgroup v1, where systemd does nothing."""
        return self.policies.of_cgroup(container.path) if self.hierarchy.version == "v2" else None

    def at(self, path: str) -> Cgroup | None:
        """The cgroup at this path, which need not be of a pod; None if there is none. Raises CgroupError."""
        inode = self.files.inode(path)
        return None if isinstance(inode, Vanished) else Cgroup(classify(path), inode)

    def originals(self) -> dict[int, Original]:
        """The values before oomward's first writes in this boot, by inode."""
        return {one.inode: one for one in self.recorded(lambda reader: reader.originals(boot_id()), ())}

    def recorded(self, read: Callable[[LedgerReader], T], otherwise: D, without: str = "") -> T | D:
        """From the ledger, or ``otherwise``. ``without`` says what is shown without a ledger; "": that is no error."""
        try:
            reader = LedgerReader(self.settings.state_dir)
        except NoLedgerError as error:
            if without:
                self.trouble(f"{without}: {error}")
            return otherwise
        with closing(reader):
            try:
                return read(reader)
            except NoLedgerError as error:
                self.trouble(error)
                return otherwise

    def trouble(self, error: object) -> None:
        """Keep what was wrong, each once."""
        if str(error) not in self.troubles:
            self.troubles.append(str(error))
