"""Field and label selectors, as the API server reads them in a query.

Takes the two query parameters, gives a Selector; a selector that the server would refuse is a BadSelectorError (400).
Pod fields: pkg/apis/core/v1/conversion.go. Label syntax: apimachinery's labels.Parse. Knows nothing of HTTP.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
FIELDS = (
    "metadata.name",
    "metadata.namespace",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "status.phase",
    "status.podIP",
)
KEY = r"[A-Za-z0-9](?:[-A-Za-z0-9_./]*[A-Za-z0-9])?"
VALUE = r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?)?"
SET = re.compile(rf"({KEY})\s+(in|notin)\s*\(([^()]*)\)\Z")
EQUAL = re.compile(rf"({KEY})\s*(==|=|!=)\s*({VALUE})\Z")
EXISTS = re.compile(rf"(!?)\s*({KEY})\Z")


class BadSelectorError(ValueError):
    """The server answers 400."""


@dataclass(frozen=True, slots=True)
class Term:
    """One condition: the value at ``key`` is (or, negated, is not) among ``values``; None: the key is there at all."""

    key: str
    values: tuple[str, ...] | None
    negated: bool

    def holds(self, value: str | None) -> bool:
        """Whether it holds for a value; None: there is none."""
        found = value is not None if self.values is None else value in self.values
        return found is not self.negated


@dataclass(frozen=True, slots=True)
class Selector:
    """Conditions on fields and on labels, all of which must hold."""

    fields: tuple[Term, ...]
    labels: tuple[Term, ...]

    def matches(self, obj: Json | None) -> bool:
        """Whether an object is selected; None, no object, never is."""
        if obj is None:
            return False
        labels = obj["metadata"].get("labels") or {}
        return all(term.holds(_value(obj, term.key)) for term in self.fields) and all(
            term.holds(labels.get(term.key)) for term in self.labels
        )


def parse(fields: str, labels: str) -> Selector:
    """A Selector of the query parameters fieldSelector and labelSelector. Raises BadSelectorError."""
    return Selector(
        tuple(_field(part) for part in fields.split(",") if part),
        tuple(_label(part.strip()) for part in re.split(r",(?![^(]*\))", labels) if part.strip()),
    )


def _value(obj: Json, path: str) -> str:
    value: Any = obj
    for name in path.split("."):
        value = value.get(name, "") if isinstance(value, dict) else ""
    return str(value)


def _field(part: str) -> Term:
    negated = "!=" in part
    key, sign, wanted = part.partition("!=" if negated else "=")
    if not sign:
        raise BadSelectorError(f"invalid selector: '{part}'; can't understand '{part}'")
    if key not in FIELDS:
        raise BadSelectorError(f"field label not supported: {key}")
    return Term(key, (wanted.removeprefix("="),), negated)


def _label(part: str) -> Term:
    if (match := SET.match(part)) is not None:
        return Term(match[1], tuple(value.strip() for value in match[3].split(",")), match[2] == "notin")
    if (match := EQUAL.match(part)) is not None:
        return Term(match[1], (match[3],), match[2] == "!=")
    if (match := EXISTS.match(part)) is not None:
        return Term(match[2], None, match[1] == "!")
    raise BadSelectorError(f"unable to parse requirement: {part!r}")
