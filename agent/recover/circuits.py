"""The circuit breaker: many owners that fail for one reason, or at one registry, are an outage, not theirs to be recovered from. Pure.

A namespace with that many has a circuit of its own. For that of all namespaces, one counts for at most a third: no tenant opens it alone.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from agent.model.diagnosis import Category, Diagnosis
from agent.recover.subject import Subject

SHARE = 3  # a namespace counts for at most one of that many parts
HOLD_S = 600.0  # it stays open for that long after it would have closed
OF_IMAGES = (Category.ERR_IMAGE_PULL, Category.IMAGE_PULL_BACK_OFF)


@dataclass(frozen=True, slots=True)
class Failure:
    """One owner fails for this reason; ``registry`` "" if no image is at fault."""

    owner: str
    namespace: str
    reason: str
    registry: str

    @property
    def causes(self) -> tuple[str, ...]:
        """What it may be an outage of."""
        return (f"reason {self.reason}", *([f"registry {self.registry}"] if self.registry else []))

    def of_namespace(self, cause: str) -> str:
        """The same, of its namespace only."""
        return f"{cause} in namespace {self.namespace}"


@dataclass(frozen=True, slots=True)
class Circuits:
    """The open ones: cause, and until when at least."""

    open: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

    def against(self, failure: Failure) -> str | None:
        """The cause that forbids a step against this failure; None: none does."""
        causes = (one for cause in failure.causes for one in (cause, failure.of_namespace(cause)))
        return next((cause for cause in causes if cause in self.open), None)

    def after(self, failures: Iterable[Failure], most_owners: int, now_unix_s: float) -> Circuits:
        """Opened by what fails now, and closed some time after it has become better."""
        owners: dict[tuple[str, str], set[str]] = defaultdict(set)
        for failure in failures:
            for cause in failure.causes:
                owners[cause, failure.of_namespace(cause)].add(failure.owner)
        many: Counter[str] = Counter()
        for (cause, of_namespace), who in owners.items():
            many[cause] += min(len(who), -(-most_owners // SHARE))
            many[of_namespace] = len(who)
        still = {cause: until for cause, until in self.open.items() if until > now_unix_s}
        found = {cause: now_unix_s + HOLD_S for cause, number in many.items() if number >= most_owners}
        return Circuits(MappingProxyType(still | found))


def failure_of(subject: Subject, diagnosis: Diagnosis) -> Failure:
    """By the rule, and by the host of the image that can't be pulled."""
    found = subject.pod.container(diagnosis.container or "")
    image = found.status.image if found is not None and diagnosis.category in OF_IMAGES else ""
    return Failure(subject.key, subject.pod.namespace, diagnosis.rule, registry_of(image))


def registry_of(image: str) -> str:
    """The registry's host by an image's name; Docker Hub where it has none; "" for no image."""
    host, slash, _ = image.partition("/")
    is_host = bool(slash) and ("." in host or ":" in host or host == "localhost")
    return "" if not image else host if is_host else "docker.io"
