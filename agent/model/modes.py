"""What labels, annotations and rules may ask for: modes and tolerances."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from agent.model.pressure import StallPolicy

MODE_LABEL = "oomward.dev/mode"
MODE_ANNOTATION_PREFIX = "mode.oomward.dev/"
TOLERATE_ANNOTATION = "oomward.dev/tolerate"
TOLERATE_ANNOTATION_PREFIX = "tolerate.oomward.dev/"
ON_EXCEEDED_ANNOTATION = "oomward.dev/on-exceeded"
TOLERATE_SCOPE_ANNOTATION = "oomward.dev/tolerate-scope"


class Mode(StrEnum):
    """How much an OOM kill ends. The words are KEP-5507's."""

    SINGLE = "single"
    GROUP = "group"

    @property
    def oom_group(self) -> int:
        """The value of memory.oom.group for this mode (cgroup-v2.rst, since 4.19)."""
        return 1 if self is Mode.GROUP else 0


class Source(StrEnum):
    """Where a mode comes from; in order of precedence."""

    ANNOTATION = "annotation"
    LABEL = "label"
    RULE = "rule"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Decision:
    """The mode of one container; None: leave it alone. ``rule`` names the annotation, label or rule."""

    mode: Mode | None
    source: Source
    rule: str
    why: str


class OnExceeded(StrEnum):
    """What happens to a container when its tolerance is exceeded."""

    ARM = "arm"  # memory.oom.group becomes 1: the next OOM kill ends the whole container
    RESTART = "restart"  # its processes are killed at once


@dataclass(frozen=True, slots=True)
class Tolerance:
    """At most ``kills`` OOM-killed processes of one instance of a container within ``window_s`` seconds.

    ``any_scope``: also kills at a limit above the pod (scope kubepods, node). ``said_by`` names the annotation or rule.
    """

    kills: int
    window_s: float
    on_exceeded: OnExceeded = OnExceeded.ARM
    any_scope: bool = False
    said_by: str = ""


@dataclass(frozen=True, slots=True)
class InvalidSetting:
    """A label or annotation with a value that is not valid. ``value`` is as the user wrote it, not safe to print.

    ``unknown_container``: its value doesn't matter, since the pod has no such container.
    """

    source: Source
    key: str
    value: str
    container: str | None
    why: str
    unknown_container: bool = False


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
    """All requirements must match; none matches every pod. As in Kubernetes, NotIn also matches where the key is absent."""

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
    stall: StallPolicy | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """The configured rules. In namespaces that match ``ignore_labels_in`` labels and annotations don't count."""

    rules: tuple[Rule, ...] = ()
    ignore_labels_in: tuple[str, ...] = ()
