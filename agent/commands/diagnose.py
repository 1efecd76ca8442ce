"""``oomward diagnose [POD | --all]``: why containers of this node aren't well, what comes by itself, and what to do.

Reads only, beside a running agent or without one. Needs the API: only a pod's status says how it fares.
"""

from __future__ import annotations

from typing import TextIO

from agent.commands import EXIT_OK
from agent.commands.diagnosing import diagnose_all, diagnose_pod
from agent.commands.looking import find, say
from agent.commands.output.diagnoses import show_diagnoses, show_pod_diagnoses
from agent.commands.output.table import Output
from agent.commands.survey import Survey, survey
from agent.model import AgentError
from agent.model.diagnosis import Diagnosis
from agent.settings import Settings
from agent.wording.kills import safe


def diagnose(settings: Settings, pod: str | None, output: Output, file: TextIO) -> int:
    """Print what is wrong with one pod, called as for ``explain``, or with all of this node (None).

    Raises AgentError when the API can't be asked, or when there is no such pod on this node, or several.
    """
    with survey(settings) as found:
        troubles = list(found.troubles)
        try:
            rows, nothing = _all(found, troubles) if pod is None else _one(found, pod, troubles)
        except AgentError:
            say(troubles)
            raise
    show = show_diagnoses if pod is None else show_pod_diagnoses
    show(rows, nothing, output, file)
    say(troubles)
    return EXIT_OK


def _all(found: Survey, troubles: list[str]) -> tuple[tuple[Diagnosis, ...], str]:
    _need_api(found)
    rows = diagnose_all(found, troubles)
    return (
        rows,
        f"Nothing is wrong with the pods of node {safe(found.settings.node_name, 253)}, as far as their statuses tell.",
    )


def _one(found: Survey, asked: str, troubles: list[str]) -> tuple[tuple[Diagnosis, ...], str]:
    _need_api(found)
    node_pod = find(found, asked)
    if node_pod.pod is None:
        raise AgentError(
            f"pod {safe(node_pod.shown, 320)} is not (or no longer) known to the API: there is no status to diagnose"
        )
    rows = diagnose_pod(found, node_pod.pod, troubles)
    return rows, f"Nothing is wrong with pod {safe(node_pod.shown, 320)}, as far as its status tells."


def _need_api(found: Survey) -> None:
    if not found.registry.listed:
        raise AgentError(
            "no diagnosis without the API: how pods fare only their statuses tell. Make the API reachable from here "
            "(--kubeconfig, `oomward check`); `oomward history` has the OOM kills without it"
        )
