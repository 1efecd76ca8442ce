"""``oomward oom-policy``: install, remove or show the drop-in with which systemd does not stop a container after an OOM kill.

Needs neither a running agent nor the API; writes below the node's /run/systemd/system only.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from typing import TextIO

from agent.cgroup.files import CgroupFiles
from agent.cgroup.layout import find_hierarchy
from agent.cgroup.tree import Tree
from agent.commands import EXIT_FAILED, EXIT_OK
from agent.commands.output.streams import say
from agent.commands.output.table import Output, show_rows
from agent.look.view import NAME_LIMIT, Column, Listing, plain, styled
from agent.model import AgentError, CgroupKind
from agent.runtime.drop_in import PREFIXES, DropIn, DropIns, State, reload_systemd
from agent.runtime.oom_policy import OomPolicies
from agent.settings import Settings
from agent.wording.text import safe

RELOAD_S = 30.0  # how long systemd may need to read its unit files
POLL_S = 0.1
BY_HAND = "run systemctl daemon-reload on the node"


def oom_policy(
    settings: Settings,
    action: str,
    output: Output,
    file: TextIO,
    *,
    policies: OomPolicies | None = None,
    reload: Callable[[], bool] = reload_systemd,
    wait: Callable[[float], object] = time.sleep,
) -> int:
    """Do ``action`` (install, remove or show), and print the drop-ins. Returns 1 if systemd has not read the change.

    Raises NoSystemdError without systemd, DropInError when a file can't be written or removed or is not ours.
    """
    drop_ins = DropIns(policies or OomPolicies.of_node())
    prefixes = prefixes_of(settings)
    if action != "install":
        prefixes = sorted({*prefixes, *drop_ins.installed()})
    changed = False
    if action != "show":
        changed = (drop_ins.install if action == "install" else drop_ins.remove)(prefixes)
    read = not changed or _reloaded(drop_ins.policies, reload, wait)
    show_rows(DROP_INS, drop_ins.show(prefixes), output, file)
    if not read:
        say([f"systemd has not read the change yet: {BY_HAND}"])
    return EXIT_OK if read else EXIT_FAILED


def prefixes_of(settings: Settings) -> list[str]:
    """Prefixes of the scopes of pods' containers that run here; without any, those of containerd and CRI-O."""
    found = set()
    try:
        hierarchy = find_hierarchy(settings.cgroup_mount)
        with (
            closing(CgroupFiles(hierarchy.memory_mount, hierarchy.version)) as files,
            closing(Tree(files, root_override=settings.cgroup_roots)) as tree,
        ):
            tree.scan(time.monotonic())
            names = [c.path.rpartition("/")[2] for c in tree.cgroups.values() if c.place.kind is CgroupKind.CONTAINER]
            found = {name.rpartition("-")[0] for name in names if name.endswith(".scope") and "-" in name}
    except (AgentError, OSError) as error:
        say([f"the containers of this node can't be read, so their runtime is not known: {error}"])
    return sorted(found or PREFIXES)


def _reloaded(policies: OomPolicies, reload: Callable[[], bool], wait: Callable[[float], object]) -> bool:
    """Whether systemd has read its files since now; without a sign of that: whether it was asked to."""
    before_ns = policies.loaded_ns()
    if not reload():
        return False
    for _ in range(int(RELOAD_S / POLL_S) if before_ns is not None else 0):
        if policies.loaded_ns() != before_ns:
            return True
        wait(POLL_S)
    return before_ns is None


STATES = {
    State.INSTALLED: "installed",
    State.UNREAD: f"installed, but systemd has not read it: {BY_HAND}",
    State.ABSENT: "not installed",
    State.FOREIGN: "not oomward's: left alone",
}
COLUMNS: tuple[Column[DropIn], ...] = (
    Column("SCOPES", lambda one: plain(f"{one.prefix}-*.scope")),
    Column("STATE", lambda one: styled(STATES[one.state]), prose=True),
    Column("FILE", lambda one: styled(safe(one.path, NAME_LIMIT * 4))),
)
DROP_INS = Listing("drop_ins", COLUMNS, asdict, "No runtime's scopes.")
