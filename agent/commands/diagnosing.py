"""Shared by ``diagnose`` and ``explain``: a pod's status from the API, its kills from the ledger, its cgroups, its diagnoses.

Takes a Survey and returns Diagnoses; writes nothing. Errors become sentences in a list.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence

from agent.commands.looking import GoneError, Reads, identity_of
from agent.commands.survey import Survey
from agent.diagnose import diagnose
from agent.ledger import LedgerReader, NoLedgerError
from agent.model import Cgroup, OomKill, Pod
from agent.model.diagnosis import ContainerFacts, Diagnosis, NodeFacts
from agent.settings import Settings

KILLS_BACK_S = 24 * 3600.0
MOST_KILLS = 10_000


def diagnose_pod(found: Survey, pod: Pod | None, troubles: list[str]) -> tuple[Diagnosis, ...]:
    """Of one pod; none if the API does not know it or is not reachable."""
    if pod is None or not found.registry.listed:
        return ()
    return _diagnosed(found, pod, _kills(found.settings, troubles, pod.namespace, pod.name), troubles)


def diagnose_all(found: Survey, troubles: list[str]) -> tuple[Diagnosis, ...]:
    """Of all pods of this node, by namespace and name."""
    kills = _by_pod(_kills(found.settings, troubles))
    return tuple(
        one
        for pod in sorted(found.registry.pods.values(), key=lambda pod: (pod.namespace, pod.name))
        for one in _diagnosed(found, pod, kills.get(pod.uid, ()), troubles)
    )


def _diagnosed(found: Survey, pod: Pod, kills: Sequence[OomKill], troubles: list[str]) -> tuple[Diagnosis, ...]:
    return diagnose(pod, kills, NodeFacts(time.time(), dict(_facts(found, pod, troubles))))


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
        name = identity_of(found, cgroup).container if cgroup.place.pod_key == pod.cgroup_key else None
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
