"""Kubernetes label selectors, as a string or a structure, become a LabelSelector.

Syntax and validation follow k8s.io/apimachinery (pkg/labels, Parse; pkg/util/validation). Errors are ValueErrors that name
the character; the caller adds file and line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from agent.model import LabelSelector, Operator, Requirement
from agent.settings.problems import shown

NAME = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?\Z")
NAME_WORDS = "at most 63 of letters, digits, - _ ., with a letter or digit at both ends"
DOMAIN = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*\Z")
BLANK = " \t\r\n"
TOKEN = re.compile(rf"[{BLANK}]*(?:(==|!=|[=!,()<>])|([^{BLANK}=!,()<>]+))")


def parse_selector(text: str) -> LabelSelector:
    """``app in (a, b), tier!=db, canary, !legacy``. Empty text selects everything.

    As in labels.Parse: ``x in ()`` means the empty value, and ``in`` and ``notin`` are valid keys and values. ``>`` and ``<``
    are refused, since the API's LabelSelector has no such operator.
    """
    return LabelSelector(_Parser(text).requirements())


def from_structure(value: Mapping[object, object]) -> LabelSelector:
    """``{matchLabels: {…}, matchExpressions: [{key, operator, values}]}`` (meta/v1 LabelSelector)."""
    _known_fields(value, "a selector", ("matchLabels", "matchExpressions"))
    labels, expressions = value.get("matchLabels"), value.get("matchExpressions")
    if not isinstance(labels, Mapping | None):
        raise ValueError("matchLabels must be a mapping of label keys to values")
    if not isinstance(expressions, list | None):
        raise ValueError("matchExpressions must be a list")
    equal = (requirement(_text(k), Operator.IN, [_text(v)]) for k, v in (labels or {}).items())
    return LabelSelector((*equal, *(_expression(e) for e in expressions or [])))


def _expression(value: object) -> Requirement:
    if not isinstance(value, Mapping) or "key" not in value or "operator" not in value:
        raise ValueError("each item of matchExpressions needs key, operator and, for In and NotIn, values")
    _known_fields(value, "an item of matchExpressions", ("key", "operator", "values"))
    try:
        operator = Operator(_text(value["operator"]))
    except ValueError:
        raise ValueError(f"operator {shown(value['operator'])} is not one of {', '.join(Operator)}") from None
    values = value.get("values")
    if not isinstance(values, list | None):
        raise ValueError("values must be a list")
    return requirement(_text(value["key"]), operator, [_text(v) for v in values or []])


def _known_fields(value: Mapping[object, object], what: str, known: tuple[str, ...]) -> None:
    for key in value:
        if key not in known:
            raise ValueError(f"unknown field {shown(key)}: {what} has {', '.join(known)}")


def _text(value: object) -> str:
    # YAML does not read true, 1.10 and null as strings; the API refuses them too.
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is not a string: put it in quotes")
    return value


def requirement(key: str, operator: Operator, values: list[str]) -> Requirement:
    """A checked requirement (labels.NewRequirement)."""
    check_key(key)
    takes_values = operator in (Operator.IN, Operator.NOT_IN)
    if takes_values != bool(values):
        raise ValueError(f"{operator} of {key} {'needs at least one value' if takes_values else 'takes no values'}")
    for value in values:
        check_value(value)
    return Requirement(key, operator, frozenset(values))


def check_key(key: str) -> None:
    """Raise ValueError unless ``key`` is a label key."""
    domain, slash, name = key.rpartition("/")
    if not NAME.match(name) or (slash and (len(domain) > 253 or not DOMAIN.match(domain))):
        raise ValueError(f"{shown(key)} is not a valid label key: [DNS subdomain and /] and {NAME_WORDS}")


def check_value(value: str) -> None:
    """Raise ValueError unless ``value`` can be a label's value; the empty one can."""
    if value and not NAME.match(value):
        raise ValueError(f"{shown(value)} is not a valid label value: {NAME_WORDS}")


class _Token(NamedTuple):
    text: str
    at: int
    symbol: bool


class _Parser:
    """Recursive descent over the tokens; the last token, a symbol without text, is the end."""

    def __init__(self, text: str) -> None:
        self._text = text
        found = TOKEN.finditer(text.rstrip(BLANK))
        self._tokens = [_Token(one[1] or one[2], one.end() - len(one[1] or one[2]), bool(one[1])) for one in found]
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

    def _accept(self, *symbols: str) -> str:
        """Take one of these symbols and return it; "" if another token is next."""
        return self._take().text if self._at_symbol(*symbols) else ""

    def _wrong(self, why: str, at: int) -> ValueError:
        return ValueError(f"character {at + 1} of selector {shown(self._text)}: {why}")

    def _unexpected(self, expected: str) -> ValueError:
        found = repr(self._here.text) if self._here.text else "the end"
        return self._wrong(f"expected {expected} but found {found}", self._here.at)

    def _word(self, what: str, check: Callable[[str], None]) -> str:
        if self._here.symbol:
            raise self._unexpected(what)
        token = self._take()
        try:
            check(token.text)
        except ValueError as error:
            raise self._wrong(str(error), token.at) from None
        return token.text

    def _value(self, *ends: str) -> str:
        """A value, or the empty one where one of ``ends`` follows."""
        return "" if self._at_symbol(*ends) else self._word("a value", check_value)

    def requirements(self) -> tuple[Requirement, ...]:
        if self._at_symbol(""):
            return ()
        found = [self._requirement()]
        while self._accept(","):
            found.append(self._requirement())
        if not self._at_symbol(""):
            raise self._unexpected("a comma or the end")
        return tuple(found)

    def _requirement(self) -> Requirement:
        if self._accept("!"):
            return requirement(self._word("a label key", check_key), Operator.DOES_NOT_EXIST, [])
        key = self._word("a label key", check_key)
        if self._at_symbol("", ","):
            return requirement(key, Operator.EXISTS, [])
        if sign := self._accept("=", "==", "!="):
            operator = Operator.NOT_IN if sign == "!=" else Operator.IN
            return requirement(key, operator, [self._value("", ",")])
        if self._here.text in ("in", "notin"):
            operator = Operator.IN if self._take().text == "in" else Operator.NOT_IN
            return requirement(key, operator, self._set())
        raise self._unexpected("=, !=, in, notin or a comma")

    def _set(self) -> list[str]:
        if not self._accept("("):
            raise self._unexpected("'('")
        values = [self._value(",", ")")]
        while self._accept(","):
            values.append(self._value(",", ")"))
        if not self._accept(")"):
            raise self._unexpected("a comma or ')'")
        return values
