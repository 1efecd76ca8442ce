"""Whether a record's values are of the types that its fields say: a row of a damaged file may have anything."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from functools import cache
from math import isfinite
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from agent.wording.times import YEAR_10000_UNIX_S

Check = Callable[[Any], bool]
MOST = 1 << 64  # counters and sizes of the kernel have 64 bits
NEGATIVE = ("oom_score_adj",)


def fits(record: Any) -> bool:
    """Also the records in its fields. A number is finite and has at most 64 bits; a time (``…_unix_s``) is from 1970 to 9999. Whole
    numbers are not negative, but for those of NEGATIVE.
    """
    for name, right, check in _fields(record.__class__):
        value = getattr(record, name)
        if type(value) not in right and not check(value):
            return False
    return True


@cache
def _fields(kind: Any) -> tuple[tuple[str, frozenset[type], Check], ...]:
    """Name, types of which any value is right, and what to ask about others."""
    hints = get_type_hints(kind)
    return tuple((name, _right(hints[name]), _check(hints[name], name)) for name in kind.__dataclass_fields__)


def _arms(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _right(hint: Any) -> frozenset[type]:
    return frozenset(one for one in _arms(hint) if one in (str, bool, NoneType) or _is(one, Enum))


def _is(hint: Any, kind: type) -> bool:
    return isinstance(hint, type) and issubclass(hint, kind)


def _check(hint: Any, name: str) -> Check:
    arms = [_check_arm(one, name) for one in _arms(hint)]
    return arms[0] if len(arms) == 1 else lambda value: any(check(value) for check in arms)


def _check_arm(hint: Any, name: str) -> Check:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (tuple, frozenset) and arguments[1:] in ((), (...,)):
        item = _check(arguments[0], name)
        return lambda value: type(value) is origin and all(map(item, value))
    if hint is float:
        return _time if name.endswith("_unix_s") else _number
    if hint is int:
        return _integer if name in NEGATIVE else _whole
    if hasattr(hint, "__dataclass_fields__"):
        return lambda value: type(value) is hint and fits(value)
    return lambda value: type(value) is hint


def _integer(value: Any) -> bool:
    return type(value) is int and -MOST <= value <= MOST


def _whole(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MOST


def _number(value: Any) -> bool:
    return _integer(value) or (type(value) is float and isfinite(value))


def _time(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < YEAR_10000_UNIX_S
