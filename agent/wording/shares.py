"""Places that all pods share: beyond their number the oldest records of the namespace and pod with the most give way, reported once."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, MutableMapping
from typing import Generic, TypeVar

from agent.wording.logs import Once, log
from agent.wording.text import safe

logger = logging.getLogger("oomward")

K = TypeVar("K")
T = TypeVar("T")
Owner = tuple[str, str]  # of a record: its namespace and pod, by whichever name; "" where it has none
REPORTED_S = 86_400.0
FEW = 1000  # that many are counted at each new one


class Shares(Generic[K, T]):
    """``what`` are the records, for the line in the log; ``owner`` gives a record's namespace and pod."""

    def __init__(self, what: str, owner: Callable[[K, T], Owner]) -> None:
        self._what = what
        self._owner = owner
        self._reported = Once(REPORTED_S)

    def trim(self, oldest_first: MutableMapping[K, T], most: int) -> list[T]:
        """Remove, and return, what is beyond ``most``."""
        keys = beyond(oldest_first, most, self._owner, spare=0 if most <= FEW else most // 100)
        if keys and self._reported.due("") is not None:
            largest = "/".join(filter(None, map(safe, self._owner(keys[0], oldest_first[keys[0]])))) or "the node"
            log(
                logger,
                logging.WARNING,
                f"more than {most} {self._what}: of those with the most, such as {largest}, the oldest are dropped",
            )
        return [oldest_first.pop(key) for key in keys]


def beyond(oldest_first: Mapping[K, T], most: int, owner: Callable[[K, T], Owner], spare: int | None = None) -> list[K]:
    """Keys of the records that are beyond ``most``, and of ``spare`` more (None: a hundredth), so that it isn't asked for each: the
    oldest of the owners with the most.
    """
    if len(oldest_first) <= most:
        return []
    pods = Counter(owner(key, record) for key, record in oldest_first.items())
    namespaces: Counter[str] = Counter()
    for (namespace, _), number in pods.items():
        namespaces[namespace] += number
    fewer: Counter[Owner] = Counter()
    for _ in range(len(oldest_first) - most + (most // 100 if spare is None else spare)):
        namespace = max(namespaces, key=namespaces.__getitem__)
        pod = max((one for one in pods if one[0] == namespace), key=pods.__getitem__)
        namespaces[namespace] -= 1
        pods[pod] -= 1
        fewer[pod] += 1
    chosen = []
    for key, record in oldest_first.items():
        if fewer[owner(key, record)] > 0:
            fewer[owner(key, record)] -= 1
            chosen.append(key)
    return chosen
