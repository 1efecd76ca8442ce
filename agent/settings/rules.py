"""The configured rules: the keys ``rules`` and ``ignoreLabelsIn`` of the file become Rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import yaml

from agent.model import STALL_AFTER_S, LabelSelector, Mode, OnExceeded, Rule, Rules, StallPolicy, Tolerance
from agent.settings.file import ConfigFile
from agent.settings.problems import shown
from agent.settings.selectors import from_structure, parse_selector
from agent.settings.values import globs, on_stall, one_of, scalar, some_globs, stall_after_s, text, tolerated

LEAVE = "leave"
RULES_KEYS = {
    "rules": "list of rules; the first that matches a container applies, unless an annotation or label sets its mode",
    "ignoreLabelsIn": "namespaces (globs) in which labels and annotations are ignored: only rules apply",
}


def rule_mode(value: object) -> Mode | None:
    """``single``, ``group`` or ``leave`` (None), case-insensitive. Raises ValueError."""
    word = scalar(value).lower()
    if word == LEAVE:
        return None
    try:
        return Mode(word)
    except ValueError:
        raise ValueError(f"{shown(value)} is not a mode: write single, group or {LEAVE}") from None


def rule_selector(value: object) -> LabelSelector:
    """A selector as text or as Kubernetes' structure. Raises ValueError."""
    if isinstance(value, str):
        return parse_selector(value)
    if isinstance(value, Mapping):
        return from_structure(value)
    raise ValueError(f"must be a string like 'app in (a, b)' or a mapping with matchLabels, not {shown(value)}")


RULE_KEYS: dict[str, tuple[Callable[[object], object], str]] = {
    "name": (text, "its name in messages, `explain` and Events; default: `rule-1`, `rule-2`, …"),
    "mode": (rule_mode, "`single`, `group` or `leave` (no mode, and no later rule applies); required"),
    "namespaces": (some_globs, "globs (`*`, `?`, `[…]`) of namespaces; default: all"),
    "selector": (rule_selector, "label selector of pods, as a string or with matchLabels and matchExpressions; default: all"),
    "containers": (some_globs, "globs of container names; default: all"),
    "tolerate": (tolerated,
        "number of OOM-killed processes per container and time that is tolerated, e.g. `5/10m`; default: any number"),
    "onExceeded": (one_of(*OnExceeded),
        "with `tolerate`: `arm` (the next OOM kill ends the whole container) or `restart` (end it at once); default: `arm`"),
    "tolerateScope": (one_of("own", "any"),
        "with `tolerate`: count only kills at the container's or pod's `own` limit, or `any` kill; default: `own`"),
    "onStall": (on_stall,
        "when a container stalls at its own limit: `kill-largest` (end its largest process), `group` (end all) or `off`; default: `off`"),
    "stallAfter": (stall_after_s, "with `onStall`: how long the stall must last, at least `10s`; default: `60s`"),
}  # fmt: skip


def read_rules(file: ConfigFile) -> Rules:
    """The rules of a file; problems go to its ``problems``, and a rule with a problem is left out."""
    rules: dict[str, Rule] = {}
    places: dict[str, str] = {}
    for index, node in enumerate(_rule_nodes(file)):
        rule = _read_rule(file, node, index + 1)
        if rule is None:
            continue
        where = file.where(node)
        if rule.name in rules:
            first = places[rule.name]
            file.problems.append(f"{where}: the rule at {first} is also called {shown(rule.name)}; rename one")
        rules[rule.name], places[rule.name] = rule, where
    ignored = file.entries.get("ignoreLabelsIn")
    ignore_labels_in = file.read(ignored, globs) if ignored is not None and not ignored.empty else None
    return Rules(tuple(rules.values()), ignore_labels_in or ())


def _rule_nodes(file: ConfigFile) -> list[yaml.Node]:
    entry = file.entries.get("rules")
    if entry is None or entry.empty:
        return []
    if not isinstance(entry.node, yaml.SequenceNode):
        file.problems.append(f"{entry.where}: rules must be a list: start each rule with a dash")
        return []
    return list(entry.node.value)


def _read_rule(file: ConfigFile, node: yaml.Node, number: int) -> Rule | None:
    before = len(file.problems)
    entries = file.mapping(node, f"rule {number}")
    file.check_known(entries, RULE_KEYS)
    if "mode" not in entries and isinstance(node, yaml.MappingNode):
        file.problems.append(f"{file.where(node)}: rule {number} has no mode: add single, group or {LEAVE}")
    values: dict[str, Any] = {k: file.read(entry, RULE_KEYS[k][0]) for k, entry in entries.items() if k in RULE_KEYS}
    for key in ("onExceeded", "tolerateScope"):
        if key in entries and "tolerate" not in entries:
            file.problems.append(
                f"{entries[key].where}: {key} has no effect without tolerate: add it, e.g. tolerate: 5/10m"
            )
    if "stallAfter" in entries and "onStall" not in entries:
        file.problems.append(f"{entries['stallAfter'].where}: stallAfter has no effect without onStall: add it")
    if len(file.problems) > before:
        return None
    name = values.get("name", f"rule-{number}")
    tolerance: Tolerance | None = values.get("tolerate")
    if tolerance is not None:
        tolerance = replace(
            tolerance,
            on_exceeded=OnExceeded(values.get("onExceeded", OnExceeded.ARM)),
            any_scope=values.get("tolerateScope") == "any",
            said_by=f"configured rule {name}",
        )
    return Rule(
        name=name,
        mode=values["mode"],
        namespaces=values.get("namespaces", ()),
        pods=values.get("selector", LabelSelector()),
        containers=values.get("containers", ()),
        tolerance=tolerance,
        stall=_stall(values, name),
    )


def _stall(values: Mapping[str, Any], name: str) -> StallPolicy | None:
    if "onStall" not in values:
        return None
    return StallPolicy(values["onStall"], values.get("stallAfter", STALL_AFTER_S), f"configured rule {name}")
