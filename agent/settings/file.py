"""The configuration file as YAML nodes with marks, so that every problem has its line; knows no key.

Raises nothing. A hostile file (huge, deeply nested, full of aliases) is a problem like any other.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from agent.settings.problems import shown

T = TypeVar("T")
NULL = "tag:yaml.org,2002:null"
TIMESTAMP = "tag:yaml.org,2002:timestamp"
NO_FIT = "the value does not fit its YAML tag"
LARGEST_BYTES = 1 << 20  # a ConfigMap's own limit
MOST_MERGED = 10_000  # keys of a mapping with those that it takes over (<<); aliases can make them endless

# Raised by PyYAML's constructors for a value that does not fit its tag: `!!int ""`, `!!bool maybe`, `&a {<<: *a}`.
UNFIT = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError, yaml.YAMLError)


class LikeJson(yaml.SafeLoader):
    """Times stay texts, as in JSON. A value that does not fit its tag is a YAMLError with its place."""

    yaml_implicit_resolvers = {  # noqa: RUF012  # PyYAML's own
        first: [one for one in found if one[0] != TIMESTAMP]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except yaml.YAMLError:
            raise
        except UNFIT as error:
            if not isinstance(node, yaml.ScalarNode):
                raise
            raise yaml.constructor.ConstructorError(None, None, NO_FIT, node.start_mark) from error


class _Bounded(yaml.SafeLoader):
    """What mappings take over from others has a limit."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        own = len(node.value)
        super().flatten_mapping(node)
        if len(node.value) > max(own, MOST_MERGED):
            raise yaml.constructor.ConstructorError(None, None, "it takes over too many keys (<<)", node.start_mark)


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of a mapping in the file, with its place (``file:line``)."""

    key: str
    node: yaml.Node
    where: str

    @property
    def empty(self) -> bool:
        """``key:`` without a value."""
        return self.node.tag == NULL


class ConfigFile:
    """A parsed file: its top-level ``entries`` and the ``problems`` found so far. ``raw``: its content; None reads it."""

    def __init__(self, path: Path, raw: bytes | None = None) -> None:
        self.path = path
        self.problems: list[str] = []
        self.entries: dict[str, Entry] = {}
        root = self._compose(raw)
        if root is not None and root.tag != NULL:
            self.entries = self.mapping(root, "the file")

    def _compose(self, raw: bytes | None) -> yaml.Node | None:
        try:
            if raw is None:
                with self.path.open("rb") as stream:
                    raw = stream.read(LARGEST_BYTES + 1)
            if len(raw) > LARGEST_BYTES:
                raise ValueError(f"larger than {LARGEST_BYTES} bytes")
            return yaml.compose(raw.decode("utf-8-sig"), Loader=yaml.SafeLoader)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            self.problems.append(f"{self.path}: cannot be read: {why}; give a YAML file in UTF-8 (--config)")
        except RecursionError:
            self.problems.append(f"{self.path}: nested too deeply")
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = f":{mark.line + 1}" if mark is not None else ""
            self.problems.append(f"{self.path}{line}: not valid YAML: {error.problem or error.context}")
        except yaml.YAMLError as error:
            self.problems.append(f"{self.path}: not valid YAML: {' '.join(str(error).split())}")
        return None

    def where(self, node: yaml.Node) -> str:
        """``file:line`` of a node."""
        return f"{self.path}:{node.start_mark.line + 1}"

    def mapping(self, node: yaml.Node, what: str) -> dict[str, Entry]:
        """The keys of a mapping node; a duplicate key, or another type of node, is a problem."""
        if not isinstance(node, yaml.MappingNode):
            self.problems.append(f"{self.where(node)}: {what} must be a mapping of keys to values")
            return {}
        found: dict[str, Entry] = {}
        for key_node, value in node.value:
            where = self.where(key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append(f"{where}: a key of {what} must be a string")
            elif (key := str(key_node.value)) in found:
                self.problems.append(f"{where}: {key} is given twice (first at {found[key].where}); remove one")
            else:
                found[key] = Entry(key, value, where)
        return found

    def check_known(self, entries: Mapping[str, Entry], known: Iterable[str]) -> None:
        """Report every unknown key, with the nearest known one."""
        names = sorted(known)
        for entry in entries.values():
            if entry.key not in names:
                folded = {name.lower(): name for name in names}
                near = difflib.get_close_matches(entry.key.lower().replace("_", "").replace("-", ""), folded, n=1)
                hint = f"did you mean {folded[near[0]]}?" if near else f"known keys: {', '.join(names)}"
                self.problems.append(f"{entry.where}: unknown key {shown(entry.key)}; {hint}")

    def read(self, entry: Entry, parse: Callable[[object], T]) -> T | None:
        """Parse an entry. An error becomes a problem with its place, and the result None."""
        if entry.empty:
            self.problems.append(f"{entry.where}: {entry.key} has no value; give one or remove the key")
            return None
        before = len(self.problems)
        self._check_twice(entry.node, set())
        if len(self.problems) > before:
            return None
        try:
            return parse(plain(entry.node))
        except ValueError as error:
            self.problems.append(f"{entry.where}: {entry.key}: {error}")
            return None

    def _check_twice(self, node: yaml.Node, seen: set[int]) -> None:
        """Report duplicate keys at any depth; PyYAML silently takes the last."""
        if id(node) in seen or isinstance(node, yaml.ScalarNode):
            return
        seen.add(id(node))
        inner = node.value
        if isinstance(node, yaml.MappingNode):
            inner = [entry.node for entry in self.mapping(node, "this").values()]
        for item in inner:
            self._check_twice(item, seen)


def plain(node: yaml.Node) -> object:
    """The value of a node, as from yaml.safe_load. Raises ValueError."""
    loader = _Bounded("")
    try:
        return loader.construct_document(node)
    except UNFIT as error:
        why = error.problem if isinstance(error, yaml.MarkedYAMLError) else NO_FIT
        raise ValueError(f"cannot be read: {why}") from error
    finally:
        loader.dispose()
