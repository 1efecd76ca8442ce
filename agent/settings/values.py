"""Parsers of settings: a flag's text or a YAML value becomes the checked value.

Each raises ValueError with the problem and the expected form; the caller adds the place.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from pathlib import Path

from agent.model import Budget, OnStall, Tolerance
from agent.settings.problems import shown

ADDRESS = re.compile(
    r"(?:\[(?P<ipv6>[^]]*)\]|(?P<host>[A-Za-z0-9](?:[-A-Za-z0-9.]{0,251}[A-Za-z0-9])?)?):(?P<port>0*[0-9]{1,5})\Z"
)
NODE = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?\Z")
WHOLE = re.compile(r"[0-9]+\Z")  # int() and float() would take 1_0, +5 and digits of other scripts, too
TIME = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)([smh]?)\Z")
UNITS_S = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
LONGEST_S = 7 * 86400.0
SHORTEST_STALL_S = 10.0
LARGEST_COUNT = 10**9
MOST_PATTERNS, LONGEST_PATTERN = 50, 100


def text(value: object) -> str:
    """A string that is not empty and has no NUL."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError(f"must be a string, not {shown(value)}")
    return value


def scalar(value: object) -> str:
    """A plain value as a string. Lists and mappings are refused: with aliases they may be endless."""
    if not isinstance(value, str | int | float):
        raise ValueError(f"must be a single value, not {shown(value)}")
    return str(value)


def node_name(value: object) -> str:
    """A node's name: a DNS subdomain (the API's validation of nodes)."""
    name = text(value)
    if not NODE.match(name):
        raise ValueError(f"{shown(name)} is not a valid node name: lower-case letters, digits, - and . only")
    return name


def path(value: object) -> Path:
    """A path, not checked."""
    return Path(text(value))


def listen(value: object) -> tuple[str, int]:
    """``host:port``; IPv6 in brackets; no host means all IPv4 addresses; port 0 any free one."""
    given = text(value)
    found = ADDRESS.match(given)
    try:
        if found is None or int(found["port"]) > 65535:
            raise ValueError
        if found["ipv6"] is not None:
            ipaddress.IPv6Address(found["ipv6"])
    except ValueError:
        message = f"{shown(given)} is not an address: write host:port, e.g. 0.0.0.0:9797 or [::]:9797"
        raise ValueError(message) from None
    return found["ipv6"] or found["host"] or "0.0.0.0", int(found["port"])


def one_of(*words: str) -> Callable[[object], str]:
    """A parser for one of some words, case-insensitive."""

    def parse(value: object) -> str:
        word = scalar(value).lower()
        if word not in words:
            raise ValueError(f"{shown(value)} is not one of {', '.join(words)}")
        return word

    return parse


def nri(value: object) -> str:
    """``auto``, ``off`` or ``required``. Without quotation marks, YAML 1.1 reads off as false."""
    return "off" if value is False else one_of("auto", "off", "required")(value)


def command_lines(value: object) -> str:
    """How far command lines are shown; each word includes those before it. Without quotation marks, YAML 1.1 reads off as false."""
    return "off" if value is False else one_of("off", "names", "history", "log", "events")(value)


def patterns(value: object) -> tuple[str, ...]:
    """A list of globs, or a string that is split at commas; none may be so wide that it matches everything, or very long."""
    found = globs([item.strip() for item in value.split(",")] if isinstance(value, str) else value)
    for item in found:
        if not item.strip("*?"):
            raise ValueError(f"{shown(item)} matches every argument: set commandLines to names instead")
        if len(item) > LONGEST_PATTERN:
            raise ValueError(f"{shown(item)} is longer than {LONGEST_PATTERN} characters")
    if len(found) > MOST_PATTERNS:
        raise ValueError(f"has {len(found)} patterns: at most {MOST_PATTERNS} are allowed")
    return found


def plugin_index(value: object) -> str:
    """Two digits, as NRI orders its plugins (pkg/api/plugin.go, CheckPluginIndex)."""
    index = scalar(value)
    if len(index) != 2 or not (index.isascii() and index.isdigit()):
        raise ValueError(f"{shown(value)} is not two digits, e.g. 90")
    return index


def switch(value: object) -> bool:
    """``true`` or ``false``."""
    return value if isinstance(value, bool) else one_of("true", "false")(value) == "true"


def count(value: object) -> int:
    """A whole number of at least 1."""
    given = scalar(value)
    if not WHOLE.match(given):
        raise ValueError(f"{shown(value)} is not a whole number")
    digits = given.lstrip("0")
    number = int(digits or 0) if len(digits) <= len(str(LARGEST_COUNT)) else LARGEST_COUNT + 1
    if not 1 <= number <= LARGEST_COUNT:
        raise ValueError(f"must be from 1 to {LARGEST_COUNT}, not {shown(value)}")
    return number


def duration_s(value: object) -> float:
    """Seconds of ``30s``, ``20m``, ``1h`` or a plain number of seconds; up to 7 days."""
    found = TIME.match(scalar(value).strip())
    if found is None:
        raise ValueError(f"{shown(value)} is not a duration: write e.g. 30s, 20m or 1h")
    seconds = float(found[1]) * UNITS_S[found[2]]
    if not 0 < seconds <= LONGEST_S:
        raise ValueError(f"must be more than 0 and at most 168h, not {shown(value)}")
    return seconds


def on_stall(value: object) -> OnStall:
    """``kill-largest``, ``group`` or ``off``. Without quotation marks, YAML 1.1 reads off as false."""
    return OnStall.OFF if value is False else OnStall(one_of(*OnStall)(value))


def stall_after_s(value: object) -> float:
    """Seconds, from SHORTEST_STALL_S: a shorter stall may end by itself."""
    seconds = duration_s(value)
    if seconds < SHORTEST_STALL_S:
        raise ValueError(f"must be at least {SHORTEST_STALL_S:g}s, not {shown(value)}")
    return seconds


def pressure_events(value: object) -> str:
    """``off``, ``requested`` or ``all``. Without quotation marks, YAML 1.1 reads off as false."""
    return "off" if value is False else one_of("off", "requested", "all")(value)


def budget(value: object) -> Budget:
    """``10/1m``: ten at once, then one per minute."""
    return Budget(*_number_and_time(value, "budget: write number/interval, e.g. 10/1m"))


def tolerated(value: object) -> Tolerance:
    """``5/10m``: at most five in ten minutes."""
    return Tolerance(*_number_and_time(value, "tolerance: write number/time, e.g. 5/10m"))


def _number_and_time(value: object, what: str) -> tuple[int, float]:
    number, slash, time = scalar(value).partition("/")
    if not slash:
        raise ValueError(f"{shown(value)} is not a {what}")
    return count(number.strip()), duration_s(time)


def roots(value: object) -> tuple[str, ...]:
    """Cgroup paths below the mount, without outer slashes; a string is split at commas."""
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list) or not items:
        raise ValueError(f"must be a path or a list of paths, not {shown(value)}")
    paths = tuple(text(item).strip().strip("/") for item in items)
    for found in paths:
        if not {"", ".", ".."}.isdisjoint(found.split("/")):
            example = "kubelet.slice/kubelet-kubepods.slice"
            raise ValueError(f"{shown(found)} is not a path below the cgroup mount: write e.g. {example}")
    return paths


def globs(value: object) -> tuple[str, ...]:
    """A list of shell-style globs, or one; may be empty. A ``[`` needs its ``]``."""
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list) or not all(isinstance(item, str) and item for item in items):
        raise ValueError(f"must be a string or a list of strings, not {shown(value)}")
    for item in items:
        if (at := _unclosed(item)) is not None:
            raise ValueError(f"{shown(item)} is not a glob: the [ at character {at} has no ]")
    return tuple(items)


def _unclosed(glob: str) -> int | None:
    """The number of the character that is a [ without its ]. As in fnmatch: a ] directly after [ or [! belongs to the set."""
    end = -1
    while (begin := glob.find("[", end + 1)) >= 0:
        first = begin + 1 + glob.startswith("!", begin + 1)
        end = glob.find("]", first + 1)
        if end < 0:
            return begin + 1
    return None


def some_globs(value: object) -> tuple[str, ...]:
    """Like globs, but refuses an empty list: in a rule it would match everything."""
    found = globs(value)
    if not found:
        raise ValueError("is an empty list: remove the key to match everything, or list what should match")
    return found
