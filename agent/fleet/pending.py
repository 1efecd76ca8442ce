"""Why pods have no node: no agent knows these, so they are diagnosed here, by their status alone."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import asdict

from agent.diagnose import diagnose
from agent.fleet.answers import Row
from agent.fleet.api import Json
from agent.model.diagnosis import NodeFacts
from agent.pods.parse import UnreadablePodError, parse_pod


def rows(pods: Iterable[Json], troubles: list[str]) -> list[Row]:
    """As the agents' ``diagnose`` has them, with ``node`` None. What can't be read goes to ``troubles``."""
    found: list[Row] = []
    for document in pods:
        try:
            pod = parse_pod(document)
        except UnreadablePodError as error:
            troubles.append(f"a pod without a node cannot be read: {error}")
            continue
        found += [{"node": None, **asdict(one)} for one in diagnose(pod, (), NodeFacts(time.time()))]
    return found
