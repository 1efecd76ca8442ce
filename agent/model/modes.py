"""What a workload may ask of an OOM kill, who asked, and what is configured: modes, tolerances, rules."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

MODE_LABEL = "oomward.dev/mode"
MODE_ANNOTATION_PREFIX = "mode.oomward.dev/"
TOLERATE_ANNOTATION = "oomward.dev/tolerate"
TOLERATE_ANNOTATION_PREFIX = "tolerate.oomward.dev/"
ON_EXCEEDED_ANNOTATION = "oomward.dev/on-exceeded"
TOLERATE_SCOPE_ANNOTATION = "oomward.dev/tolerate-scope"


class Mode(StrEnum):
    """What a workload asks of an OOM kill. The words are KEP-5507's."""

    SINGLE = "single"
    GROUP = "group"

    @property
    def oom_group(self) -> int:
        """The value of memory.oom.group that this mode means: 0 or 1 (cgroup-v2.rst, memory.oom.group, since 4.19)."""
        return 1 if self is Mode.GROUP else 0


class Source(StrEnum):
    """Which kind of statement decided a mode; in order of precedence."""

    ANNOTATION = "annotation"
    LABEL = "label"
    RULE = "rule"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Decision:
    """What policy says of one container: ``mode`` None means leave it alone. ``rule`` names the annotation, label or rule."""

    mode: Mode | None
    source: Source
    rule: str
    why: str


class OnExceeded(StrEnum):
    """What becomes of a container when more was killed than is tolerated."""

    ARM = "arm"  # memory.oom.group becomes 1: the next OOM kill takes the whole container
    RESTART = "restart"  # its processes are killed at once


@dataclass(frozen=True, slots=True)
class Tolerance:
    """At most ``kills`` OOM-killed processes of one instance of a container within ``window_s`` seconds.

    ``any_scope``: also those that were not the container's own doing (scope kubepods, node). ``said_by`` names the
    annotation or rule.
    """

    kills: int
    window_s: float
    on_exceeded: OnExceeded = OnExceeded.ARM
    any_scope: bool = False
    said_by: str = ""


@dataclass(frozen=True, slots=True)
class BadWish:
    """A label or annotation that asks for something that can't be. ``value`` is as the user wrote it, not made safe."""

    source: Source
    key: str
    value: str
    container: str | None
    why: str


class Operator(StrEnum):
    """Kubernetes' set-based selector operators (labels.Requirement; ``=`` and ``==`` are In with one value, ``!=`` NotIn)."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


@dataclass(frozen=True, slots=True)
class Requirement:
    key: str
    operator: Operator
    values: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """All requirements must hold; none at all matches every pod. As in Kubernetes, NotIn also matches where the key is absent."""

    requirements: tuple[Requirement, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """One configured rule; first match wins. Globs are shell-style (``*``, ``?``, ``[…]``); an empty tuple matches everything."""

    name: str
    mode: Mode | None  # None: "leave alone", which also ends the search
    namespaces: tuple[str, ...] = ()
    pods: LabelSelector = LabelSelector()
    containers: tuple[str, ...] = ()
    tolerance: Tolerance | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """What the platform team configured. In namespaces that match ``disobeyed_namespaces`` labels and annotations don't count."""

    rules: tuple[Rule, ...] = ()
    disobeyed_namespaces: tuple[str, ...] = ()
