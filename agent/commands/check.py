"""``oomward check``: can this node do it? Every prerequisite, how it is, and what to do about it.

Needs no running agent and no API, and may run beside one. Nothing is changed but an empty cgroup of its own, made and
removed. One probe's trouble is its own failed check: the others go on.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TextIO

from agent.cgroup.layout import find_hierarchy
from agent.cgroup.watches import NoInotifyError
from agent.commands import EXIT_FAILED, EXIT_OK
from agent.commands.output.checklist import Check, Status, show_checks
from agent.commands.output.table import Output
from agent.commands.probes import api, cgroups, containers, inotify, kernel, ledger, modes
from agent.commands.probes.answers import explained, failed, guarded
from agent.commands.survey import survey
from agent.model import AgentError
from agent.settings import Settings


def check(settings: Settings, output: Output, file: TextIO) -> int:
    """Print every check. 1 when one failed; a warning is no failure."""
    checks = checks_of(settings)
    show_checks(checks, output, file)
    return EXIT_FAILED if any(one.status is Status.FAIL for one in checks) else EXIT_OK


def checks_of(settings: Settings) -> tuple[Check, ...]:
    """All checks, what is nearest to the kernel first."""
    told = guarded("API", lambda: api.access(settings))
    return (
        *guarded("kernel", kernel.release),
        *_of_hierarchy(settings),
        *_of_survey(settings, api_answers=all(one.status is not Status.FAIL for one in told if one.name == "API")),
        *guarded("scheduling", lambda: kernel.real_time(wanted=settings.real_time)),
        *guarded("kernel log", lambda: kernel.log(settings.kmsg)),
        *guarded("ledger", lambda: ledger.ledger(settings.state_dir)),
        *told,
    )


def _of_hierarchy(settings: Settings) -> list[Check]:
    try:
        hierarchy = find_hierarchy(settings.cgroup_mount)
    except (AgentError, OSError) as error:
        return [failed("cgroup version", *explained(error))]
    return [
        *guarded("cgroup version", lambda: cgroups.version(hierarchy)),
        *guarded("knob", lambda: cgroups.knob(hierarchy)),
    ]


def _of_survey(settings: Settings, *, api_answers: bool) -> list[Check]:
    with ExitStack() as stack:
        try:
            found = stack.enter_context(survey(settings))
        except (AgentError, OSError, ValueError) as error:
            return _no_survey(error)
        return [
            *guarded("kubepods roots", lambda: cgroups.roots(found)),
            *guarded("memory controller", lambda: cgroups.memory_controller(found)),
            *guarded("runtimes", lambda: containers.runtimes(found)),
            *(guarded("pods", lambda: api.pods(found)) if api_answers else ()),
            *guarded("containers", lambda: containers.all_found(found)),
            *guarded("kubelet", lambda: modes.kubelet(found)),
            *guarded("ancestors", lambda: modes.ancestors(found)),
            *guarded("pids", lambda: containers.pids(found)),
            *guarded("inotify", lambda: inotify.limits(found)),
        ]


def _no_survey(error: Exception) -> list[Check]:
    """inotify is what a look at the tree begins with, and the first thing that a node has none left of."""
    if isinstance(error, NoInotifyError):
        return guarded("inotify instances", inotify.no_instance)
    found, mend = explained(error)
    return [failed("containers", f"this node's containers can't be looked at: {found}", mend)]
