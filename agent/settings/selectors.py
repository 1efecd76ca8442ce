"""Label selectors as Kubernetes writes them, string or structure, become LabelSelector. Pure; errors name the position."""

from __future__ import annotations

import re
from collections.abc import Mapping

from agent.model import LabelSelector, Operator, Requirement

NAME = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?\Z")
DOMAIN = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*\Z")
TOKEN = re.compile(r"\s*(?:(==|!=|=|!|,|\(|\))|([^\s=!,()]+))")


class SelectorError(ValueError):
    """The text is no selector; says where and what was expected."""


def parse_selector(text: str) -> LabelSelector:
    """``app in (a, b), tier!=db, canary, !legacy`` (k8s.io/apimachinery/pkg/labels, Parse). Empty text selects everything."""
    return LabelSelector(_Parser(text).requirements())


def from_structure(value: Mapping[object, object]) -> LabelSelector:
    """``{matchLabels: {…}, matchExpressions: [{key, operator, values}]}`` (meta/v1 LabelSelector)."""
    unknown = sorted(str(key) for key in value if key not in ("matchLabels", "matchExpressions"))
    if unknown:
        raise SelectorError(f"unknown field {unknown[0]}: a selector has matchLabels and matchExpressions")
    labels, expressions = value.get("matchLabels") or {}, value.get("matchExpressions") or []
    if not isinstance(labels, Mapping) or not isinstance(expressions, list):
        raise SelectorError("matchLabels is a mapping and matchExpressions a list")
    equal = [_requirement(str(k), Operator.IN, [str(v)]) for k, v in labels.items()]
    return LabelSelector((*equal, *(_expression(e) for e in expressions)))


def _expression(value: object) -> Requirement:
    if not isinstance(value, Mapping) or "key" not in value or "operator" not in value:
        raise SelectorError("each of matchExpressions has key, operator and, for In and NotIn, values")
    try:
        operator = Operator(str(value["operator"]))
    except ValueError:
        raise SelectorError(f"operator {value['operator']!r} is none of {', '.join(Operator)}") from None
    values = value.get("values") or []
    if not isinstance(values, list):
        raise SelectorError("values is a list")
    return _requirement(str(value["key"]), operator, [str(v) for v in values])


def _requirement(key: str, operator: Operator, values: list[str]) -> Requirement:
    check_key(key)
    takes_values = operator in (Operator.IN, Operator.NOT_IN)
    if takes_values != bool(values):
        raise SelectorError(f"{operator} of {key} {'needs at least one value' if takes_values else 'takes no values'}")
    for value in values:
        if value and not NAME.match(value):
            raise SelectorError(
                f"{value!r} can be no label's value: at most 63 of letters, digits, - _ . with a letter or digit at both ends"
            )
    return Requirement(key, operator, frozenset(values))


def check_key(key: str) -> None:
    """Raise SelectorError unless ``key`` is a label key (optional DNS prefix and slash, then a name of at most 63)."""
    domain, slash, name = key.rpartition("/")
    if not NAME.match(name) or (slash and (len(domain) > 253 or not DOMAIN.match(domain))):
        raise SelectorError(f"{key!r} can be no label's key")


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[tuple[str, int]] = []
        at = 0
        while at < len(text.rstrip()):
            match = TOKEN.match(text, at)
            if match is None:
                raise SelectorError(f"unexpected {text[at]!r} at character {at + 1} of selector {text!r}")
            self._tokens.append((match[1] or match[2], match.start(1 if match[1] else 2)))
            at = match.end()
        self._at = 0

    def _peek(self) -> str:
        return self._tokens[self._at][0] if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        self._at += 1
        return token

    def _fail(self, expected: str) -> SelectorError:
        found, at = self._tokens[self._at] if self._at < len(self._tokens) else ("the end", len(self._text))
        return SelectorError(f"expected {expected} but found {found} at character {at + 1} of selector {self._text!r}")

    def _expect(self, token: str) -> None:
        if self._peek() != token:
            raise self._fail(repr(token))
        self._at += 1

    def _word(self, what: str) -> str:
        if self._peek() in ("", "=", "==", "!=", "!", ",", "(", ")"):
            raise self._fail(what)
        return self._next()

    def requirements(self) -> tuple[Requirement, ...]:
        found: list[Requirement] = []
        while self._at < len(self._tokens):
            if found:
                self._expect(",")
            found.append(self._one())
        return tuple(found)

    def _one(self) -> Requirement:
        if self._peek() == "!":
            self._next()
            return _requirement(self._word("a label key"), Operator.DOES_NOT_EXIST, [])
        key = self._word("a label key")
        match self._peek():
            case "" | ",":
                return _requirement(key, Operator.EXISTS, [])
            case "=" | "==" | "!=" as sign:
                self._next()
                empty = self._peek() in ("", ",")
                value = "" if empty else self._word("a value")
                return _requirement(key, Operator.NOT_IN if sign == "!=" else Operator.IN, [value])
            case "in" | "notin" as word:
                self._next()
                return _requirement(key, Operator.IN if word == "in" else Operator.NOT_IN, self._set())
        raise self._fail("=, !=, in, notin or a comma")

    def _set(self) -> list[str]:
        self._expect("(")
        values = []
        while True:
            values.append("" if self._peek() in (",", ")") else self._word("a value"))
            if self._peek() != ",":
                break
            self._next()
        self._expect(")")
        return values
