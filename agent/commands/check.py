"""``oomward check``: every prerequisite on this node, its state, and what to do about it.

Needs no running agent and no API. Changes nothing except an empty cgroup that it creates and removes. A probe that raises
becomes a failed check; the others still run.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from agent.cgroup.watches import NoInotifyError
from agent.commands import EXIT_FAILED, EXIT_OK
from agent.commands.output.table import Output
from agent.commands.probes import api, cgroups, containers, kernel, ledger, runtime, systemd
from agent.commands.probes.checks import ERRORS, Check, Status, explained, failed, guarded, passed, show_checks
from agent.commands.survey import survey
from agent.settings import Settings, SettingsError, load_rules


def check(settings: Settings, output: Output, file: TextIO) -> int:
    """Print every check. Returns 1 if one failed; warnings do not count."""
    checks = checks_of(settings)
    show_checks(checks, output, file)
    return EXIT_FAILED if any(one.status is Status.FAIL for one in checks) else EXIT_OK


def checks_of(settings: Settings) -> list[Check]:
    """All checks, from the kernel up."""
    access = guarded("API", api.access, settings)
    api_answers = not any(one.name == "API" and one.status is Status.FAIL for one in access)
    return [
        *guarded("configuration", configuration, settings.config),
        *guarded("kernel", kernel.release),
        *guarded("cgroup version", cgroups.hierarchy, settings.cgroup_mount),
        *_of_survey(settings, api_answers=api_answers),
        *guarded("scheduling", kernel.real_time, settings.real_time),
        *guarded("NRI", runtime.nri, settings.nri, settings.nri_socket),
        *guarded("kernel log", kernel.log, settings.kmsg),
        *guarded("ledger", ledger.ledger, settings.state_dir),
        *access,
    ]


def configuration(path: Path | None) -> Iterator[Check]:
    """The configuration file as the agent would read it now."""
    if path is None:
        return
    try:
        load_rules(path)
    except SettingsError as error:
        mistakes = "; ".join(error.problems)
        refused = "a running agent keeps the rules that it has, and does not start again with this file"
        yield failed("configuration", f"{mistakes}: {refused}", "Correct the file (in Kubernetes the ConfigMap).")
    else:
        yield passed("configuration", f"{path} can be read")


def _of_survey(settings: Settings, *, api_answers: bool) -> Iterator[Check]:
    try:
        with survey(settings) as found:
            yield from guarded("kubepods roots", cgroups.roots, found)
            yield from guarded("memory controller", cgroups.memory_controller, found)
            yield from guarded("runtimes", containers.runtimes, found)
            yield from guarded("pods", api.pods, found) if api_answers else ()
            yield from guarded("containers", containers.all_found, found)
            yield from guarded("kubelet", containers.kubelet, found)
            yield from guarded("OOMPolicy", systemd.oom_policy, found)
            yield from guarded("ancestors", containers.ancestors, found)
            yield from guarded("pids", containers.pids, found)
            yield from guarded("inotify", kernel.inotify, found)
    except NoInotifyError:  # nothing else can be checked without an instance; nodes run out of them first
        yield from guarded("inotify instances", kernel.no_inotify)
    except ERRORS as error:
        what, advice = explained(error)
        yield failed("containers", f"cannot read the containers of this node: {what}", advice)
