"""The configuration of `oomward recover`: a file for the cluster, and the same names in an annotation of a namespace or pod."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from agent.model.recover import DEFAULT_POLICY, Action, Bounds, Policy, RecoverConfig, Strategy, StrategyEntry
from agent.settings.file import NO_FIT, UNFIT, LikeJson
from agent.settings.problems import SettingsError, shown
from agent.settings.values import duration_s

MOST_ATTEMPTS = 100
MOST_BYTES = 1 << 20
MOST_ANNOTATION = 4096  # characters
POLICY_KEYS = ("enableSmartRecovery", "enableBuildFallback", "maxRecoveryAttempts", "disabledRecoveryActions", "dryRun")
NUMBERS = {  # keys of the file and fields of Bounds
    "namespaceRecoveriesPerHour": "namespace_per_hour",
    "clusterRecoveriesPerHour": "cluster_per_hour",
    "growsPerHour": "grows_per_hour",
    "breakerOwners": "breaker_owners",
}
DURATIONS = {"backOff": "back_off_s", "maxBackOff": "most_back_off_s", "stableFor": "stable_s"}
FILE_KEYS = (*POLICY_KEYS, *NUMBERS, *DURATIONS, "closedNamespaces", "strategies")
STRATEGY_KEYS = ("group", "version", "plural", "kind", "podLabel", "entries")
GROUP = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+\Z")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9./_-]{0,252}\Z")
# What a strategy must never write, as parts of a path. Templates are written by their owners only.
NEVER = re.compile(r"command|args|securitycontext|secret|template|serviceaccount|lifecycle|probe", re.IGNORECASE)
OPERATIONS = ("test", "add", "replace", "remove")


def load_recover(path: Path | None) -> RecoverConfig:
    """The file, or the defaults (dry run) without one. Raises SettingsError, naming the key."""
    if path is None:
        return RecoverConfig()
    try:
        text = path.read_bytes()[: MOST_BYTES + 1]
        if len(text) > MOST_BYTES:
            raise ValueError(f"longer than {MOST_BYTES} bytes")
        found = yaml.load(text, _Strict)
        return _config(_mapping({} if found is None else found, "the file"))
    except OSError as error:
        raise SettingsError([f"{path}: {error.strerror}"]) from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise SettingsError([f"{path}: {error}"]) from error
    except UNFIT as error:
        raise SettingsError([f"{path}: {NO_FIT}: {type(error).__name__}: {error}"]) from error


def parse_policy(text: str) -> Policy:
    """An annotation's JSON. Raises ValueError; what it does not name is not restricted."""
    if len(text) > MOST_ANNOTATION:
        raise ValueError(f"longer than {MOST_ANNOTATION} characters")
    try:
        found = json.loads(text, object_pairs_hook=_each_once)
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no JSON: {error}") from error
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    mapping = _mapping(found, "it")
    _known(mapping, POLICY_KEYS)
    return policy_of(mapping, Policy())


class _Strict(LikeJson):
    """Takes no key twice, where YAML would take the last one, and none that is a list or mapping: with aliases it may be endless."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key must be a string", key.start_mark)
        pairs = [(self.construct_object(key, deep=True), value) for key, value in node.value]
        _each_once([(str(key), value) for key, value in pairs])
        return super().construct_mapping(node, deep)


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Raises ValueError for a key that is there twice: one of them would not count."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key in found if sum(key == one for one, _ in pairs) > 1)
        raise ValueError(f"{twice[:80]} is given twice")
    return found


def policy_of(found: Mapping[str, Any], default: Policy) -> Policy:
    """The policy among these keys. Raises ValueError."""
    names = _list(found.get("disabledRecoveryActions", []), "disabledRecoveryActions")
    return Policy(
        enabled=_switch(found, "enableSmartRecovery", default.enabled),
        build_fallback=_switch(found, "enableBuildFallback", default.build_fallback),
        most_attempts=_number(found, "maxRecoveryAttempts", default.most_attempts, least=0),
        disabled=default.disabled | frozenset(_action(one) for one in names),
        dry_run=_switch(found, "dryRun", default.dry_run),
    )


def _config(found: Mapping[str, Any]) -> RecoverConfig:
    _known(found, FILE_KEYS)
    values: dict[str, Any] = {}
    for key, field in NUMBERS.items():
        if (number := _number(found, key, None, least=1)) is not None:
            values[field] = number
    for key, field in DURATIONS.items():
        if key in found:
            values[field] = _duration(found, key)
    bounds = Bounds(**values)
    if bounds.most_back_off_s < bounds.back_off_s:
        raise ValueError(f"maxBackOff ({bounds.most_back_off_s:g} s) is less than backOff ({bounds.back_off_s:g} s)")
    closed = _list(found.get("closedNamespaces", []), "closedNamespaces")
    strategies = _list(found.get("strategies", []), "strategies")
    return RecoverConfig(
        policy=policy_of(found, DEFAULT_POLICY),
        bounds=bounds,
        strategies=tuple(_strategy(one, f"strategies[{i}]") for i, one in enumerate(strategies)),
        closed=frozenset(_text(one, "closedNamespaces") for one in closed),
    )


def _strategy(item: object, where: str) -> Strategy:
    found = _mapping(item, where)
    _known(found, STRATEGY_KEYS, f"{where}.")
    group = _text(found.get("group"), f"{where}.group")
    if not GROUP.match(group) or group.endswith(".k8s.io"):
        raise ValueError(f"{where}.group: {group!r} is not the API group of a custom resource")
    entries = _list(found.get("entries"), f"{where}.entries")
    read = tuple(_entry(one, f"{where}.entries[{i}]", first=i == 0) for i, one in enumerate(entries))
    if len(read) < 2 or len({one.name for one in read}) < len(read):
        raise ValueError(f"{where}.entries: at least two are needed, each with a name of its own")
    label = found.get("podLabel", "")
    return Strategy(
        group,
        version=_text(found.get("version"), f"{where}.version"),
        plural=_text(found.get("plural"), f"{where}.plural"),
        kind=_text(found.get("kind"), f"{where}.kind"),
        label=_text(label, f"{where}.podLabel") if label else "",
        entries=read,
    )


def _entry(item: object, where: str, *, first: bool) -> StrategyEntry:
    found = _mapping(item, where)
    _known(found, ("name", "patch"), f"{where}.")
    patch = [_mapping(one, f"{where}.patch") for one in _list(found.get("patch", []), f"{where}.patch")]
    for one in patch:
        _operation(one, f"{where}.patch")
    kinds = {one["op"] for one in patch}
    if not first and not ("test" in kinds and kinds > {"test"}):
        raise ValueError(f"{where}.patch: a change and at least one `test` of when it applies are needed")
    if first and patch:
        raise ValueError(f"{where}.patch: the first entry is what the resource begins with, so it has no patch")
    return StrategyEntry(_text(found.get("name"), f"{where}.name"), tuple(patch))


def _operation(one: Mapping[str, Any], where: str) -> None:
    _known(one, ("op", "path", "value"), f"{where}.")
    op, path = one.get("op"), one.get("path")
    if op not in OPERATIONS or not isinstance(path, str) or not path.startswith("/spec/"):
        raise ValueError(f"{where}: op must be one of {', '.join(OPERATIONS)}, and path begin with /spec/")
    if op != "remove" and "value" not in one:
        raise ValueError(f"{where}: {op} {path} needs a value")
    written = path + _json(one.get("value"), f"{where}: {op} {path}: the value")
    if op != "test" and NEVER.search(written):
        raise ValueError(
            f"{where}: {path} is, or contains, what recovery never changes: commands, security, secrets, templates"
        )


def _json(value: object, where: str) -> str:
    """A value as JSON. Raises ValueError if JSON has no such value, or it is too long: with aliases it may be endless."""
    text = ""
    try:
        for part in json.JSONEncoder(allow_nan=False).iterencode(value):
            text += part
            if len(text) > MOST_BYTES:
                raise ValueError(f"longer than {MOST_BYTES} bytes")
    except UNFIT as error:
        raise ValueError(f"{where} can't be sent to the API: {error}") from error
    return text


def _known(found: Mapping[str, Any], keys: tuple[str, ...], where: str = "") -> None:
    for key in found:
        if key not in keys:
            raise ValueError(f"{where}{str(key)[:80]} is not one of {', '.join(keys)}")


def _mapping(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{where} is not a mapping")
    return value


def _list(value: object, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{where} is not a list")
    return value


def _text(value: object, where: str) -> str:
    if not isinstance(value, str) or not NAME.match(value):
        raise ValueError(f"{where}: {shown(value)} is not a name")
    return value


def _switch(found: Mapping[str, Any], key: str, default: bool) -> bool:
    value = found.get(key, default)
    if not isinstance(value, bool):
        raise ValueError(f"{key}: {shown(value)} is not true or false")
    return value


def _number(found: Mapping[str, Any], key: str, default: int | None, *, least: int) -> int | None:
    if key not in found:
        return default
    value = found[key]
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= MOST_ATTEMPTS * 100:
        raise ValueError(f"{key}: {shown(value)} is not a number from {least} to {MOST_ATTEMPTS * 100}")
    return value


def _action(value: object) -> Action:
    try:
        return Action(_text(value, "disabledRecoveryActions"))
    except ValueError:
        known = ", ".join(Action)
        raise ValueError(f"disabledRecoveryActions: {shown(value)} is not one of {known}") from None


def _duration(found: Mapping[str, Any], key: str) -> float:
    try:
        return duration_s(found[key])
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from error
