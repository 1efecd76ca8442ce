"""The node's state for one command: its cgroups, and its pods from the API or else from the ledger.

Takes settings and returns a Survey; writes nothing. Errors go to ``troubles``, and the rest goes on.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from agent import __version__
from agent.cgroup.files import CgroupFiles
from agent.cgroup.layout import RUNTIME_CHILD, Hierarchy, find_hierarchy
from agent.cgroup.tree import Tree
from agent.kube.api import ApiError, connect
from agent.ledger import LedgerReader, NoLedgerError
from agent.model import Cgroup, CgroupKind, KeptDecision, Vanished
from agent.modes.desired import DesiredMode, desired_mode, oom_group_values
from agent.pods.list import list_pods
from agent.pods.registry import Registry
from agent.settings import Settings


@dataclass(frozen=True, slots=True)
class Survey:
    """``registry.listed`` False: the API did not answer, see ``troubles``."""

    settings: Settings
    hierarchy: Hierarchy
    files: CgroupFiles
    tree: Tree
    registry: Registry
    troubles: tuple[str, ...]

    def containers(self) -> list[Cgroup]:
        """Cgroups of containers and pause sandboxes, by path."""
        found = (c for c in self.tree.cgroups.values() if c.place.kind is CgroupKind.CONTAINER)
        return sorted(found, key=lambda cgroup: cgroup.path)

    def child(self, container: Cgroup) -> Cgroup | None:
        """crun's own cgroup below the container's, or None."""
        return self.tree.cgroups.get(f"{container.path}/{RUNTIME_CHILD}")

    def limit_bytes(self, cgroup: Cgroup) -> int | Vanished | None:
        """Its memory limit, or that of crun's cgroup below, where crun may set it; None: no limit. Raises CgroupError."""
        limit = self.files.limit_bytes(cgroup)
        child = self.child(cgroup)
        return self.files.limit_bytes(child) if limit is None and child is not None else limit

    def wish(self, container: Cgroup) -> DesiredMode:
        """The container's desired mode, and why. Raises CgroupError."""

        def limit_bytes() -> int | None:
            limit = self.limit_bytes(container)
            return None if isinstance(limit, Vanished) else limit

        def runs(container_id: str) -> bool:
            others = (c for c in self.containers() if c.place.container_id == container_id)
            return any(self.files.populated(c) is True for c in others)

        return desired_mode(container, self.registry, self.settings.rules, limit_bytes, runs)

    def knobs(self, container: Cgroup, wish: DesiredMode) -> dict[Cgroup, int]:
        """memory.oom.group by cgroup for this mode; empty without a desired mode."""
        mode = wish.decision.mode
        return {} if mode is None else oom_group_values(container, self.child(container), mode)


@contextmanager
def survey(settings: Settings) -> Iterator[Survey]:
    """Read the node's state. Raises NoMemoryHierarchyError, NotACgroupMountError, NoInotifyError."""
    hierarchy = find_hierarchy(settings.cgroup_mount)
    files = CgroupFiles(hierarchy.memory_mount, hierarchy.version)
    tree = Tree(files, root_override=settings.cgroup_roots)
    try:
        tree.scan(time.monotonic())
        registry, troubles = _registry(settings)
        yield Survey(settings, hierarchy, files, tree, registry, tuple(troubles))
    finally:
        tree.close()
        files.close()


def _registry(settings: Settings) -> tuple[Registry, list[str]]:
    troubles: list[str] = []
    registry = Registry(_remembered(settings, troubles))
    try:
        api = connect(settings.kubeconfig, user_agent=f"oomward/{__version__}", lax_ca=settings.api_lax_ca)
        listed = list_pods(api, settings.node_name, lambda skipped: troubles.append(f"{skipped.what}: {skipped.why}"))
    except ApiError as error:
        troubles.append(f"the API is not reachable, so pods are as the agent knew them last: {error}")
        return registry, troubles
    registry.replace(listed.pods, listed.skipped, time.monotonic())
    for pod in listed.pods:
        registry.forget_remembered(pod.cgroup_key)
    if not listed.pods:
        troubles.append(
            f"the API has no pod on node {settings.node_name!r}: is this the node's name in `kubectl get nodes` "
            "(--node-name, NODE_NAME)?"
        )
    return registry, troubles


def _remembered(settings: Settings, troubles: list[str]) -> tuple[KeptDecision, ...]:
    try:
        reader = LedgerReader(settings.state_dir)
    except NoLedgerError:
        return ()  # no agent has run here: not an error
    try:
        return reader.kept_decisions()
    except NoLedgerError as error:
        troubles.append(str(error))
        return ()
    finally:
        reader.close()
