"""What a pod asks for by its annotations. Pure; a mistake in any of them means that nothing is done."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from agent.model import GROW_ON_PRESSURE_ANNOTATION
from agent.model.recover import (
    GROW_ANNOTATION,
    GROW_ANNOTATION_PREFIX,
    IMAGES_ANNOTATION_PREFIX,
    OPTIONAL_INIT_ANNOTATION,
    POLICY_ANNOTATION,
    RECOVER_ANNOTATION,
    Action,
    Policy,
)
from agent.pods.parse import parse_quantity
from agent.settings.recover import parse_policy

MIB = 1 << 20
MOST_IMAGES = 10
MOST_VALUE = 8192  # characters: ten images, each as long as it may be, fit in
PERCENT = re.compile(r"([1-9][0-9]{0,2})%\Z")
IMAGE = re.compile(r"[a-z0-9][A-Za-z0-9._:/@-]{0,511}\Z")


class AskError(ValueError):
    """An annotation that can't be read: which, and why."""


@dataclass(frozen=True, slots=True)
class Grow:
    """``percent`` or else ``step_bytes``; up to ``most_bytes``."""

    most_bytes: int
    percent: int = 0
    step_bytes: int = 0

    def after(self, limit_bytes: int) -> int:
        """The next limit in bytes, whole MiB but for the maximum; ``limit_bytes`` itself at the maximum."""
        step = self.step_bytes or -(-limit_bytes * self.percent // 100)
        wanted = -(-(limit_bytes + step) // MIB) * MIB
        return max(limit_bytes, min(wanted, self.most_bytes))


def actions_asked(annotations: Mapping[str, str]) -> frozenset[Action]:
    """None asked for: empty. Raises AskError."""
    value = annotations.get(RECOVER_ANNOTATION, "").strip()
    if value in ("", "false"):
        return frozenset()
    if value == "true":
        return frozenset(Action)
    try:
        return frozenset(Action(word.strip()) for word in _words(value))
    except ValueError:
        raise AskError(
            f"{RECOVER_ANNOTATION}: {value!r:.80} is neither true nor a list of {', '.join(Action)}"
        ) from None


def policy_asked(annotations: Mapping[str, str], where: str = "") -> Policy:
    """Of a namespace or pod; ``where`` names a namespace in the error. Raises AskError."""
    text = annotations.get(POLICY_ANNOTATION)
    try:
        return Policy() if text is None else parse_policy(text)
    except ValueError as error:
        raise AskError(f"{POLICY_ANNOTATION}{where}: {error}") from error


def grow_asked(annotations: Mapping[str, str], container: str) -> Grow | None:
    """For one container; None: not asked for. Raises AskError."""
    for key in (GROW_ANNOTATION_PREFIX + container, GROW_ANNOTATION):
        if (text := annotations.get(key)) is not None:
            return _grow(key, text)
    return None


def _grow(key: str, text: str) -> Grow:
    step, slash, most = text.strip().partition("/")
    try:
        if not slash or (most_bytes := parse_quantity(most.strip())) <= 0:
            raise ValueError("no maximum")
        if percent := PERCENT.match(step.strip()):
            return Grow(most_bytes, percent=int(percent[1]))
        if (step_bytes := parse_quantity(step.strip())) <= 0:
            raise ValueError("no step")
    except ValueError:
        raise AskError(
            f"{key}: {text!r:.80} is no step (up to 999%) and maximum, such as 25%/4Gi or 512Mi/4Gi"
        ) from None
    return Grow(most_bytes, step_bytes=step_bytes)


def grows_on_pressure(annotations: Mapping[str, str]) -> bool:
    return annotations.get(GROW_ON_PRESSURE_ANNOTATION, "") == "true"


def images_asked(annotations: Mapping[str, str], container: str) -> tuple[str, ...]:
    """The next images of a container, in order, those with a digest first. Raises AskError."""
    key = IMAGES_ANNOTATION_PREFIX + container
    found = _words(annotations.get(key, ""))
    if len(found) > MOST_IMAGES:
        raise AskError(f"{key}: {len(found)} images, but at most {MOST_IMAGES} are tried")
    if (wrong := next((one for one in found if not IMAGE.match(one)), None)) is not None:
        raise AskError(f"{key}: {wrong!r:.80} is no image; images are separated by commas")
    return tuple(sorted(found, key=lambda image: "@" not in image))


def optional_inits(annotations: Mapping[str, str]) -> frozenset[str]:
    return frozenset(_words(annotations.get(OPTIONAL_INIT_ANNOTATION, "")))


def _words(text: str) -> tuple[str, ...]:
    """Raises AskError: a part of a long list would be something else."""
    if len(text) > MOST_VALUE:
        raise AskError(f"{text[:40]!r}… is longer than {MOST_VALUE} characters")
    return tuple(word for one in text.split(",") if (word := one.strip()))
