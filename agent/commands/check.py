"""``oomward check``: every prerequisite on this node, its state, and what to do about it.

Needs no running agent and no API. Changes nothing except an empty cgroup that it creates and removes. A probe that raises
becomes a failed check; the others still run.
"""

from __future__ import annotations

from typing import TextIO

from agent.cgroup.layout import find_hierarchy
from agent.cgroup.watches import NoInotifyError
from agent.commands import EXIT_FAILED, EXIT_OK
from agent.commands.output.table import Output
from agent.commands.probes import api, cgroups, containers, inotify, kernel, ledger
from agent.commands.probes.checks import ERRORS, Check, Status, explained, failed, guarded, show_checks
from agent.commands.survey import Survey, survey
from agent.model import AgentError
from agent.settings import Settings


def check(settings: Settings, output: Output, file: TextIO) -> int:
    """Print every check. Returns 1 if one failed; warnings do not count."""
    checks = checks_of(settings)
    show_checks(checks, output, file)
    return EXIT_FAILED if any(one.status is Status.FAIL for one in checks) else EXIT_OK


def checks_of(settings: Settings) -> list[Check]:
    """All checks, from the kernel up."""
    access = guarded("API", api.access, settings)
    return [
        *guarded("kernel", kernel.release),
        *_of_hierarchy(settings),
        *_of_survey(settings, api_answers=all(one.status is not Status.FAIL for one in access if one.name == "API")),
        *guarded("scheduling", kernel.real_time, settings.real_time),
        *guarded("kernel log", kernel.log, settings.kmsg),
        *guarded("ledger", ledger.ledger, settings.state_dir),
        *access,
    ]


def _of_hierarchy(settings: Settings) -> list[Check]:
    try:
        hierarchy = find_hierarchy(settings.cgroup_mount)
    except (AgentError, OSError) as error:
        return [failed("cgroup version", *explained(error))]
    return [
        *guarded("cgroup version", cgroups.version, hierarchy),
        *guarded(cgroups.FILE, cgroups.oom_group, hierarchy),
    ]


def _of_survey(settings: Settings, *, api_answers: bool) -> list[Check]:
    try:
        with survey(settings) as found:
            return _surveyed(found, api_answers=api_answers)
    except NoInotifyError:  # nothing else can be checked without an instance; nodes run out of them first
        return guarded("inotify instances", inotify.no_instance)
    except ERRORS as error:
        what, advice = explained(error)
        return [failed("containers", f"cannot read the containers of this node: {what}", advice)]


def _surveyed(found: Survey, *, api_answers: bool) -> list[Check]:
    return [
        *guarded("kubepods roots", cgroups.roots, found),
        *guarded("memory controller", cgroups.memory_controller, found),
        *guarded("runtimes", containers.runtimes, found),
        *(guarded("pods", api.pods, found) if api_answers else ()),
        *guarded("containers", containers.all_found, found),
        *guarded("kubelet", containers.kubelet, found),
        *guarded("ancestors", containers.ancestors, found),
        *guarded("pids", containers.pids, found),
        *guarded("inotify", inotify.limits, found),
    ]
