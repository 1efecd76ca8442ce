"""The configuration file: YAML with marks, so that every complaint names line and mend; its rules, and their reloading."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import yaml

from agent.model import LabelSelector, Mode, Rule, Rules
from agent.settings.selectors import SelectorError, from_structure, parse_selector

T = TypeVar("T")
RULE_KEYS = ("name", "mode", "namespaces", "selector", "containers")
RULES_KEYS = ("rules", "ignoreLabelsIn")
LEAVE = "leave"


class SettingsError(ValueError):
    """Everything that is wrong with the settings, a line each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of a mapping in the file, with where it stands (``file:line``)."""

    key: str
    node: yaml.Node
    where: str


class ConfigFile:
    """A parsed file. ``problems`` collects; nothing is raised until all were found."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[str] = []
        self.entries: dict[str, Entry] = {}
        try:
            text = path.read_text(encoding="utf-8")
            root = yaml.compose(text, Loader=yaml.SafeLoader)
        except (OSError, UnicodeDecodeError) as error:
            self.problems.append(f"{path}: can't be read: {error}")
            return
        except yaml.YAMLError as error:
            self.problems.append(f"{path}: no YAML: {' '.join(str(error).split())}")
            return
        if root is not None:
            self.entries = self.mapping(root, "the file")

    def mapping(self, node: yaml.Node, what: str) -> dict[str, Entry]:
        """The keys of a mapping node; a key given twice is a problem, as is a node that is no mapping."""
        if not isinstance(node, yaml.MappingNode):
            self.problems.append(f"{self.where(node)}: {what} must be a mapping of keys to values")
            return {}
        found: dict[str, Entry] = {}
        for key_node, value in node.value:
            key = str(key_node.value)
            if key in found:
                self.problems.append(
                    f"{self.where(key_node)}: {key} is given twice; the first is at {found[key].where}"
                )
                continue
            found[key] = Entry(key, value, self.where(key_node))
        return found

    def where(self, node: yaml.Node) -> str:
        """``file:line`` of a node."""
        return f"{self.path}:{node.start_mark.line + 1}"

    def check_known(self, entries: Mapping[str, Entry], known: tuple[str, ...]) -> None:
        """Name every key that isn't known, with the nearest that is."""
        for entry in entries.values():
            if entry.key not in known:
                near = difflib.get_close_matches(entry.key, known, n=1)
                mend = f"did you mean {near[0]}?" if near else f"known are: {', '.join(known)}"
                self.problems.append(f"{entry.where}: unknown key {entry.key}; {mend}")

    def read(self, entry: Entry, parse: Callable[[object], T]) -> T | None:
        """Parse an entry; ValueErrors become problems with the place in front, and give None."""
        try:
            return parse(plain(entry.node))
        except ValueError as error:
            self.problems.append(f"{entry.where}: {entry.key}: {error}")
            return None

    def rules(self) -> Rules:
        """The keys ``rules`` and ``ignoreLabelsIn``."""
        rules: list[Rule] = []
        if (entry := self.entries.get("rules")) is not None:
            if isinstance(entry.node, yaml.SequenceNode):
                rules = [rule for i, node in enumerate(entry.node.value) if (rule := self._rule(node, i)) is not None]
            else:
                self.problems.append(f"{entry.where}: rules must be a list")
        ignored = self.entries.get("ignoreLabelsIn")
        globs = self.read(ignored, text_list) if ignored is not None else ()
        return Rules(tuple(rules), globs or ())

    def _rule(self, node: yaml.Node, index: int) -> Rule | None:
        before = len(self.problems)
        entries = self.mapping(node, f"rule {index + 1}")
        self.check_known(entries, RULE_KEYS)
        if "mode" not in entries and entries:
            self.problems.append(f"{self.where(node)}: rule {index + 1} has no mode: single, group or {LEAVE}")
        values = {key: self.read(entry, RULE_PARSERS[key]) for key, entry in entries.items() if key in RULE_PARSERS}
        if len(self.problems) > before or not entries:
            return None
        mode = values["mode"]
        selector = values.get("selector")
        return Rule(
            name=str(values.get("name") or f"rule-{index + 1}"),
            mode=mode if isinstance(mode, Mode) else None,
            namespaces=_texts(values.get("namespaces")),
            pods=selector if isinstance(selector, LabelSelector) else LabelSelector(),
            containers=_texts(values.get("containers")),
        )


def plain(node: yaml.Node) -> object:
    """The plain value of a node: what yaml.safe_load would have given for it."""
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    finally:
        loader.dispose()


def _texts(value: object) -> tuple[str, ...]:
    return tuple(str(v) for v in value) if isinstance(value, tuple) else ()


def text_list(value: object) -> tuple[str, ...]:
    """A list of texts, or one text. Raises ValueError."""
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list) or not all(isinstance(item, str) and item for item in items):
        raise ValueError(f"must be a text or a list of texts, not {value!r}")
    for item in items:
        if item.count("[") != item.count("]"):
            raise ValueError(f"{item!r} is no glob: a [ without its ]")
    return tuple(items)


def rule_mode(value: object) -> Mode | str:
    """``single``, ``group`` or ``leave``, in any case. Raises ValueError."""
    text = str(value).lower()
    if text == LEAVE:
        return LEAVE
    try:
        return Mode(text)
    except ValueError:
        raise ValueError(f"{value!r} is no mode: single, group or {LEAVE}") from None


def rule_selector(value: object) -> LabelSelector:
    """A selector as text or as Kubernetes' structure. Raises ValueError (SelectorError with the position)."""
    if isinstance(value, str):
        return parse_selector(value)
    if isinstance(value, Mapping):
        return from_structure(value)
    raise SelectorError(f"must be a text like 'app in (a, b)' or a mapping with matchLabels, not {value!r}")


def rule_name(value: object) -> str:
    """A rule's name, for messages. Raises ValueError."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"must be a text, not {value!r}")
    return value


RULE_PARSERS: dict[str, Callable[[object], object]] = {
    "name": rule_name,
    "mode": rule_mode,
    "namespaces": text_list,
    "selector": rule_selector,
    "containers": text_list,
}


class RulesFile:
    """The mounted configuration file, looked at now and then. A ConfigMap changes by a swap of its ``..data`` link."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = self._fingerprint()

    def _fingerprint(self) -> tuple[int, int, int] | None:
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def changed(self) -> bool:
        """Whether it is another file, or another text, than at the last call; a missing one is not a change."""
        now = self._fingerprint()
        if now is None or now == self._seen:
            return False
        self._seen = now
        return True

    def load(self) -> Rules:
        """Its rules; raises SettingsError with every problem."""
        file = ConfigFile(self._path)
        rules = file.rules()
        if file.problems:
            raise SettingsError(file.problems)
        return rules
