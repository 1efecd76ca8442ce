"""``oomward diagnose -f FILE``: the same diagnosis for statuses from anywhere, without node, agent or cluster."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from agent.commands import EXIT_OK
from agent.commands.output.streams import say
from agent.commands.output.table import Output, show
from agent.diagnose import diagnose
from agent.look.diagnoses import DIAGNOSES, all_shown, pod_shown
from agent.look.which import ANY, Which
from agent.model import AgentError, Pod
from agent.model.diagnosis import NodeFacts
from agent.pods.parse import UnreadablePodError, parse_pod
from agent.wording.text import is_object_name, safe
from agent.wording.times import unix_s

STDIN = "-"
PIPED = "`kubectl get pod POD -o json | oomward diagnose -f -`"
MOST_CHARS = 256 << 20  # of a file: some 10,000 pods
DAY_S, LATER_S = 24 * 3600.0, 600.0
LISTS = ("List", "PodList")
DEFAULTS = {"namespace": "default", "uid": "unknown"}  # what a shortened status may lack


def diagnose_file(name: str, output: Output, file: TextIO, which: Which = ANY) -> int:
    """Print the problems of the pods in a file, or in standard input (``-``): JSON or YAML, one Pod or a list of them.

    Only the status is known: no kills, no cgroups. Raises AgentError if it can't be read or has no pod.
    """
    troubles: list[str] = []
    pods = list(_pods(name, troubles))
    if not pods:
        raise AgentError("; ".join(troubles) or f"{_shown(name)} has no pod")
    pods = [(pod, now_unix_s) for pod, now_unix_s in pods if which.pod(pod)]
    rows = [one for pod, now_unix_s in pods for one in diagnose(pod, (), NodeFacts(now_unix_s))]
    rows = DIAGNOSES.ordered(rows, which.sort_by)
    if len(pods) == 1:
        pod = pods[0][0]
        nothing = f"No problems found in the status of pod {safe(pod.namespace)}/{safe(pod.name)}."
        shown = pod_shown(rows, nothing, troubles)
    else:
        shown = all_shown(rows, f"No problems found in the statuses of {len(pods)} pods{which.where}.", troubles)
    show(shown, output, file)
    say(shown.troubles)
    return EXIT_OK


def _pods(name: str, troubles: list[str]) -> Iterator[tuple[Pod, float]]:
    """Each with the time at which it is looked at. What is wrong with one goes to ``troubles``."""
    for obj in _objects(_parsed(name, _read(name)), name):
        kind = obj.get("kind", "Pod")
        if kind != "Pod":
            troubles.append(
                f"{_shown(name)} has a {_word(kind)}, which is no Pod: `kubectl get pod POD -o json` prints one"
            )
            continue
        metadata = obj.get("metadata") or {}
        pod = {**obj, "metadata": {**DEFAULTS, **metadata} if isinstance(metadata, dict) else metadata}
        try:
            yield _named(parse_pod(pod)), _looked_at(obj.get("status"))
        except UnreadablePodError as error:
            troubles.append(f"a pod in {_shown(name)} cannot be read: {error}")


def _named(pod: Pod) -> Pod:
    """With names as the API has them: advice has commands, and a file may be made to harm. Raises UnreadablePodError."""
    for name in (pod.name, pod.namespace, *(one.name for one in pod.containers)):
        if not is_object_name(name):
            raise UnreadablePodError(f"{safe(name)!r} is no name of a pod, namespace or container")
    return pod


def _read(name: str) -> str:
    try:
        if name == STDIN:
            if sys.stdin is None:
                raise AgentError(f"{_shown(name)} is closed: {PIPED}")
            return sys.stdin.read(MOST_CHARS + 1)
        with Path(name).open(encoding="utf-8") as file:
            return file.read(MOST_CHARS + 1)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise AgentError(f"{_shown(name)} cannot be read: {why}") from error


def _parsed(name: str, text: str) -> list[Any]:
    """The documents of the text."""
    if len(text) > MOST_CHARS:
        raise AgentError(
            f"{_shown(name)} has more than {MOST_CHARS >> 20} million characters; give fewer pods at a time"
        )
    if not text.strip():
        raise AgentError(f"{_shown(name)} is empty: {PIPED}")
    try:
        return [json.loads(text)]
    except (ValueError, RecursionError) as not_json:
        return _of_yaml(name, text, not_json)


def _of_yaml(name: str, text: str, not_json: Exception) -> list[Any]:
    import yaml  # noqa: PLC0415  # slow to import, and seldom needed

    from agent.settings.file import UNFIT, LikeJson  # noqa: PLC0415

    class Loader(LikeJson):
        def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
            if self.check_event(yaml.AliasEvent):  # they may be endless
                raise AgentError(f"{_shown(name)} has YAML aliases (*name), which are not read: kubectl writes none")
            return super().compose_node(parent, index)

    try:
        return list(yaml.load_all(text, Loader))  # it is a SafeLoader
    except UNFIT as not_yaml:
        why = not_json if text.lstrip()[:1] in "{[" else not_yaml
        raise AgentError(f"{_shown(name)} is neither JSON nor YAML: {safe(' '.join(str(why).split()), 300)}") from why


def _objects(documents: list[Any], name: str) -> Iterator[Mapping[str, Any]]:
    """The objects of lists too."""
    for document in documents:
        if isinstance(document, dict) and (document.get("kind") in LISTS or "items" in document):
            items = document.get("items")
            yield from _objects(items if isinstance(items, list) else [], name)
        elif isinstance(document, dict):
            yield document
        elif isinstance(document, list):
            yield from _objects(document, name)
        elif document is not None:
            raise AgentError(f"{_shown(name)} has {type(document).__name__} where a Pod should be: {_word(document)}")


def _looked_at(status: object) -> float:
    """Now; for a status that is older than a day, ten minutes after the newest time in it."""
    newest, now = max(_times(status), default=None), time.time()
    return now if newest is None or now - newest < DAY_S else newest + LATER_S


def _times(value: object) -> Iterator[float]:
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            if (found := unix_s(item)) is not None:
                yield found
        elif isinstance(item, dict | list):
            pending.extend(item.values() if isinstance(item, dict) else item)


def _word(value: object) -> str:
    """A value for a message; its type for one that can't be written."""
    try:
        return safe(str(value), 60)
    except (ValueError, RecursionError):  # Python writes no integer of more than 4300 digits
        return type(value).__name__


def _shown(name: str) -> str:
    return "standard input" if name == STDIN else safe(name, 200)
