"""``oomward diagnose [POD | --all]``: why containers of this node fail, what Kubernetes will do, and what to do.

Reads only; needs no running agent. Needs the API, since it reads the pods' statuses.
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
    """Print the problems of one pod, named as for ``explain``, or of all pods of this node (None).

    Raises AgentError if the API is not reachable, or if no pod on this node matches, or several do.
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
        f"No problems found in the statuses of the pods of node {safe(found.settings.node_name, 253)}.",
    )


def _one(found: Survey, asked: str, troubles: list[str]) -> tuple[tuple[Diagnosis, ...], str]:
    _need_api(found)
    node_pod = find(found, asked)
    if node_pod.pod is None:
        raise AgentError(
            f"the API does not know pod {safe(node_pod.shown, 320)} (any more), so it has no status to diagnose"
        )
    rows = diagnose_pod(found, node_pod.pod, troubles)
    return rows, f"No problems found in the status of pod {safe(node_pod.shown, 320)}."


def _need_api(found: Survey) -> None:
    if not found.registry.listed:
        raise AgentError(
            "the API is not reachable, and a diagnosis needs the pods' statuses. Make the API reachable from here "
            "(--kubeconfig, `oomward check`); `oomward history` lists the OOM kills without it"
        )
