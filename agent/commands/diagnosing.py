"""Shared by ``diagnose`` and ``explain``: a pod's status from the API, its kills from the ledger, its cgroups, its diagnoses.

Takes a Survey and returns Diagnoses; writes nothing. Errors become sentences in a list.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence

from agent import __version__
from agent.commands.looking import GoneError, Reads, who_is
from agent.commands.survey import Survey
from agent.diagnose import diagnose
from agent.kube.api import Api, ApiError, connect
from agent.ledger import LedgerReader, NoLedgerError
from agent.model import Cgroup, OomKill, Pod
from agent.model.status import ContainerFacts, Diagnosis, NodeFacts, PodStatus
from agent.pods.parse import UnreadablePodError
from agent.pods.statuses import list_statuses, read_status
from agent.settings import Settings

KILLS_BACK_S = 24 * 3600.0
MOST_KILLS = 10_000


def diagnose_pod(found: Survey, pod: Pod | None, troubles: list[str]) -> tuple[Diagnosis, ...]:
    """Of one pod; none if the API does not know it or is not reachable (then ``troubles`` says so)."""
    if pod is None or not found.registry.listed:
        return ()
    try:
        status = read_status(_api(found.settings), pod.namespace, pod.name)
    except (ApiError, UnreadablePodError) as error:
        troubles.append(f"no diagnosis, since the pod's status could not be read: {error}")
        return ()
    if status is None or status.uid != pod.uid:
        return ()  # deleted meanwhile, or another pod of the same name
    kills = _kills(found.settings, troubles, pod.namespace, pod.name)
    return diagnose(status, kills, NodeFacts(time.time(), dict(_facts(found, pod, troubles))))


def diagnose_all(found: Survey, troubles: list[str]) -> tuple[Diagnosis, ...]:
    """Of all pods of this node, by namespace and name. Raises ApiError."""
    statuses = list_statuses(_api(found.settings), found.settings.node_name, troubles.append)
    kills = _by_pod(_kills(found.settings, troubles))
    return tuple(
        one
        for status in sorted(statuses, key=lambda status: (status.namespace, status.name))
        for one in _diagnosed(found, status, kills.get(status.uid, ()), troubles)
    )


def _diagnosed(
    found: Survey, status: PodStatus, kills: Sequence[OomKill], troubles: list[str]
) -> tuple[Diagnosis, ...]:
    pod = found.registry.pods.get(status.uid)
    facts = dict(_facts(found, pod, troubles)) if pod is not None else {}
    return diagnose(status, kills, NodeFacts(time.time(), facts))


def _api(settings: Settings) -> Api:
    return connect(settings.kubeconfig, user_agent=f"oomward/{__version__}", lax_ca=settings.api_lax_ca)


def _kills(
    settings: Settings, troubles: list[str], namespace: str | None = None, pod: str | None = None
) -> Sequence[OomKill]:
    """Of the last day."""
    since = time.time() - KILLS_BACK_S
    try:
        reader = LedgerReader(settings.state_dir)
    except NoLedgerError as error:
        troubles.append(f"OOM kills are taken from the pods' statuses only: {error}")
        return ()
    try:
        return reader.kills(since_unix_s=since, namespace=namespace, pod=pod, limit=MOST_KILLS)
    except NoLedgerError as error:
        troubles.append(str(error))
        return ()
    finally:
        reader.close()


def _by_pod(kills: Sequence[OomKill]) -> Mapping[str | None, Sequence[OomKill]]:
    found: dict[str | None, list[OomKill]] = {}
    for kill in kills:
        found.setdefault(kill.pod_uid, []).append(kill)
    return found


def _facts(found: Survey, pod: Pod, troubles: list[str]) -> Iterator[tuple[str, ContainerFacts]]:
    """By name, of the pod's containers that have a cgroup."""
    for cgroup in found.containers():
        name = who_is(found, cgroup).container if cgroup.place.pod_key == pod.cgroup_key else None
        if name is None:
            continue
        try:
            yield name, _sizes(found, cgroup, Reads(troubles))
        except GoneError:
            continue


def _sizes(found: Survey, cgroup: Cgroup, reads: Reads) -> ContainerFacts:
    """Raises GoneError."""
    limit = reads.take("limit_bytes", lambda: found.limit_bytes(cgroup))
    return ContainerFacts(limit, reads.take("peak_bytes", lambda: found.files.peak_bytes(cgroup)))
