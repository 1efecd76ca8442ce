"""The node's state read by a command itself: its cgroups, and its pods from the API or else from the ledger. Needs no running agent."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TextIO

from agent import __version__
from agent.cgroup.files import CgroupFiles
from agent.cgroup.layout import find_hierarchy
from agent.cgroup.tree import Tree
from agent.commands import EXIT_OK
from agent.commands.output.streams import say
from agent.commands.output.table import Output, show
from agent.commands.watching import wait_beside, watch
from agent.kube.api import ApiError, connect
from agent.ledger import LedgerReader
from agent.look.survey import Survey
from agent.model import AgentError
from agent.modes.kept import decided_again
from agent.pods.list import list_pods
from agent.pods.registry import Registry
from agent.settings import Settings
from agent.wording.view import Shown


@dataclass(slots=True)
class OwnSurvey(Survey):
    """``tree`` was scanned once."""

    tree: Tree = field(kw_only=True)

    def list_pods(self) -> None:
        """Ask the API for this node's pods."""
        settings = self.settings
        try:
            api = connect(settings.kubeconfig, user_agent=f"oomward/{__version__}", lax_ca=settings.api_lax_ca)
            listed = list_pods(api, settings.node_name, lambda skipped: self.trouble(f"{skipped.what}: {skipped.why}"))
        except ApiError as error:
            self.trouble(f"the API is not reachable, so pods are as the agent knew them last: {error}")
            return
        self.registry.replace(listed.pods, listed.skipped, time.monotonic())
        for pod in listed.pods:
            self.registry.forget_remembered(pod.cgroup_key)
        if not listed.pods:
            self.trouble(
                f"the API has no pod on node {settings.node_name!r}: is this the node's name in `kubectl get nodes` "
                "(--node-name, NODE_NAME)?"
            )


@contextmanager
def survey(settings: Settings) -> Iterator[OwnSurvey]:
    """Read the node's state. Raises NoMemoryHierarchyError, NotACgroupMountError, NoInotifyError."""
    hierarchy = find_hierarchy(settings.cgroup_mount)
    with (
        closing(CgroupFiles(hierarchy.memory_mount, hierarchy.version)) as files,
        closing(Tree(files, root_override=settings.cgroup_roots)) as tree,
    ):
        tree.scan(time.monotonic())
        found = OwnSurvey(settings, hierarchy, files, tree.cgroups, tree=tree)
        found.registry = Registry(found.recorded(LedgerReader.kept_decisions, ()))
        found.registry.decide_again(partial(decided_again, rules=settings.rules))
        found.list_pods()
        yield found


def looked(settings: Settings, look: Callable[[OwnSurvey], Shown]) -> Shown:
    """What ``look`` makes of the node's state. If it raises AgentError, what else was wrong is said before."""
    with survey(settings) as found:
        try:
            return look(found)
        except AgentError:
            say(found.troubles)
            raise


def show_looked(
    settings: Settings,
    look: Callable[[OwnSurvey], Shown],
    output: Output,
    file: TextIO,
    watch_s: float | None = None,
    wait: Callable[[float], object] | None = None,
) -> int:
    """Print it, once or every ``watch_s`` seconds until Ctrl-C. Errors go to standard error."""
    if watch_s is not None:
        return watch(lambda: looked(settings, look), output, file, watch_s, wait or wait_beside(file))
    shown = looked(settings, look)
    show(shown, output, file)
    say(shown.troubles)
    return EXIT_OK
