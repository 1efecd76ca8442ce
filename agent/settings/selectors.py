"""Kubernetes label selectors, as a string or a structure, become a LabelSelector.

Pure. Syntax and validation follow k8s.io/apimachinery (pkg/labels, Parse; pkg/util/validation); errors name the character.
The caller adds file and line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from agent.model import LabelSelector, Operator, Requirement
from agent.settings.problems import shown

NAME = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?\Z")
DOMAIN = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*\Z")
BLANK = " \t\r\n"
TOKEN = re.compile(rf"[{BLANK}]*(?:(==|!=|[=!,()<>])|([^{BLANK}=!,()<>]+))")


class SelectorError(ValueError):
    """Not a valid selector; says where, and what was expected."""


def parse_selector(text: str) -> LabelSelector:
    """``app in (a, b), tier!=db, canary, !legacy``. Empty text selects everything.

    As in labels.Parse: ``x in ()`` means the empty value, and ``in`` and ``notin`` are valid keys and values. ``>`` and ``<``
    are refused, since the API's LabelSelector has no such operator. Raises SelectorError.
    """
    return LabelSelector(_Parser(text).requirements())


def from_structure(value: Mapping[object, object]) -> LabelSelector:
    """``{matchLabels: {…}, matchExpressions: [{key, operator, values}]}`` (meta/v1 LabelSelector). Raises SelectorError."""
    _known_fields(value, "a selector", ("matchLabels", "matchExpressions"))
    labels, expressions = value.get("matchLabels"), value.get("matchExpressions")
    if labels is not None and not isinstance(labels, Mapping):
        raise SelectorError("matchLabels must be a mapping of label keys to values")
    if expressions is not None and not isinstance(expressions, list):
        raise SelectorError("matchExpressions must be a list")
    equal = (requirement(_text(k), Operator.IN, [_text(v)]) for k, v in (labels or {}).items())
    return LabelSelector((*equal, *(_expression(e) for e in expressions or [])))


def _expression(value: object) -> Requirement:
    if not isinstance(value, Mapping) or "key" not in value or "operator" not in value:
        raise SelectorError("each item of matchExpressions needs key, operator and, for In and NotIn, values")
    _known_fields(value, "an item of matchExpressions", ("key", "operator", "values"))
    try:
        operator = Operator(_text(value["operator"]))
    except ValueError:
        raise SelectorError(f"operator {shown(value['operator'])} is not one of {', '.join(Operator)}") from None
    values = value.get("values")
    if values is not None and not isinstance(values, list):
        raise SelectorError("values must be a list")
    return requirement(_text(value["key"]), operator, [_text(v) for v in values or []])


def _known_fields(value: Mapping[object, object], what: str, known: tuple[str, ...]) -> None:
    for key in value:
        if key not in known:
            raise SelectorError(f"unknown field {shown(key)}: {what} has {', '.join(known)}")


def _text(value: object) -> str:
    # YAML does not read true, 1.10 and null as strings; the API refuses them too.
    if not isinstance(value, str):
        raise SelectorError(f"{shown(value)} is not a string: put it in quotes")
    return value


def requirement(key: str, operator: Operator, values: list[str]) -> Requirement:
    """A checked requirement (labels.NewRequirement). Raises SelectorError."""
    check_key(key)
    takes_values = operator in (Operator.IN, Operator.NOT_IN)
    if takes_values != bool(values):
        raise SelectorError(f"{operator} of {key} {'needs at least one value' if takes_values else 'takes no values'}")
    for value in values:
        check_value(value)
    return Requirement(key, operator, frozenset(values))


def check_key(key: str) -> None:
    """Raise SelectorError unless ``key`` is a label key: an optional DNS subdomain and slash, a name of at most 63."""
    domain, slash, name = key.rpartition("/")
    if not NAME.match(name) or (slash and (len(domain) > 253 or not DOMAIN.match(domain))):
        raise SelectorError(
            f"{shown(key)} is not a valid label key: [DNS subdomain and /] and at most 63 of letters, digits, - _ ., "
            "with a letter or digit at both ends"
        )


def check_value(value: str) -> None:
    """Raise SelectorError unless ``value`` can be a label's value; the empty one can."""
    if value and not NAME.match(value):
        raise SelectorError(
            f"{shown(value)} is not a valid label value: at most 63 of letters, digits, - _ ., "
            "with a letter or digit at both ends"
        )


class _Token(NamedTuple):
    text: str
    at: int
    symbol: bool


class _Parser:
    """Recursive descent over the tokens; the last token means the end."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[_Token] = []
        at, end = 0, len(text.rstrip(BLANK))
        while at < end and (match := TOKEN.match(text, at)) is not None:
            group = 1 if match[1] else 2
            self._tokens.append(_Token(match[group], match.start(group), symbol=group == 1))
            at = match.end()
        self._tokens.append(_Token("", len(text), symbol=True))
        self._next = 0

    @property
    def _here(self) -> _Token:
        return self._tokens[self._next]

    def _at_symbol(self, *symbols: str) -> bool:
        return self._here.symbol and self._here.text in symbols

    def _take(self) -> _Token:
        self._next += 1
        return self._tokens[self._next - 1]

    def _wrong(self, why: str, at: int) -> SelectorError:
        return SelectorError(f"character {at + 1} of selector {shown(self._text)}: {why}")

    def _unexpected(self, expected: str) -> SelectorError:
        found = repr(self._here.text) if self._here.text else "the end"
        return self._wrong(f"expected {expected} but found {found}", self._here.at)

    def _word(self, what: str) -> _Token:
        if self._here.symbol:
            raise self._unexpected(what)
        return self._take()

    def _key(self) -> str:
        token = self._word("a label key")
        try:
            check_key(token.text)
        except SelectorError as error:
            raise self._wrong(str(error), token.at) from None
        return token.text

    def _value(self, *ends: str) -> str:
        """A value, or the empty one where one of ``ends`` follows."""
        if self._at_symbol(*ends):
            return ""
        token = self._word("a value")
        try:
            check_value(token.text)
        except SelectorError as error:
            raise self._wrong(str(error), token.at) from None
        return token.text

    def requirements(self) -> tuple[Requirement, ...]:
        found: list[Requirement] = []
        while not self._at_symbol("") or found:
            found.append(self._requirement())
            if self._at_symbol(""):
                break
            if not self._at_symbol(","):
                raise self._unexpected("a comma or the end")
            self._take()
        return tuple(found)

    def _requirement(self) -> Requirement:
        if self._at_symbol("!"):
            self._take()
            return requirement(self._key(), Operator.DOES_NOT_EXIST, [])
        key = self._key()
        if self._at_symbol("", ","):
            return requirement(key, Operator.EXISTS, [])
        if self._at_symbol("=", "=="):
            self._take()
            return requirement(key, Operator.IN, [self._value("", ",")])
        if self._at_symbol("!="):
            self._take()
            return requirement(key, Operator.NOT_IN, [self._value("", ",")])
        if self._here.text in ("in", "notin"):
            operator = Operator.IN if self._take().text == "in" else Operator.NOT_IN
            return requirement(key, operator, self._set())
        raise self._unexpected("=, !=, in, notin or a comma")

    def _set(self) -> list[str]:
        if not self._at_symbol("("):
            raise self._unexpected("'('")
        values: list[str] = []
        while not values or self._at_symbol(","):
            self._take()
            values.append(self._value(",", ")"))
        if not self._at_symbol(")"):
            raise self._unexpected("a comma or ')'")
        self._take()
        return values
