"""Settings from flags, environment, file and defaults; and the mounted file, checked again for rules that change while the agent runs."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path

from agent.model import Rules
from agent.settings.file import ConfigFile
from agent.settings.problems import SettingsError
from agent.settings.rules import RULES_KEYS, read_rules
from agent.settings.table import SETTINGS, Settings

BY_NAME = {setting.name: setting for setting in SETTINGS}
FILE_SETTINGS = tuple(setting for setting in SETTINGS if setting.name != "config")
NEEDS = (("tls_cert", "tls_key"), ("tls_key", "tls_cert"), ("tls_client_ca", "tls_cert"))  # the first needs the second
DOWNWARD_API = " (in a DaemonSet, from the downward API: env valueFrom fieldRef fieldPath spec.nodeName)"


def load(
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    *,
    required: Collection[str] = ("node_name",),
    in_file: list[str] | None = None,
) -> Settings:
    """Settings from defaults < file < environment < flags. ``flags`` by field of Settings; None or absent: not given.

    An empty environment variable counts as not set. ``required`` fields must be set; a command that needs no node name leaves
    it out and gets "". Raises SettingsError with all problems; those of the file go to ``in_file`` if that is given, and what can
    be read of the file counts.
    """
    given, problems = _from_flags(flags, environ)
    of_file = problems if in_file is None else in_file
    rules = Rules()
    if isinstance(config := given.get("config"), Path):
        file, rules, from_file = _check_file(config)
        given = {name: value for name, value in from_file.items() if value is not None} | given
        of_file[:0] = file.problems
    problems += [f"{BY_NAME[name].key} is not set: {_how_to_set(name)}" for name in required if name not in given]
    defaults = {one.name: None if one.default is None else one.parse(one.default) for one in SETTINGS}
    found = defaults | given
    of_file += [
        f"{BY_NAME[one].key} is set without {BY_NAME[other].key}: {_how_to_set(other)}"
        for one, other in NEEDS
        if found[one] is not None and other not in given
    ]
    if problems:
        raise SettingsError(problems)
    found["node_name"] = found["node_name"] or ""
    found["cgroup_roots"] = found["cgroup_roots"] or ()
    found["redact_patterns"] = found["redact_patterns"] or ()
    return Settings(**found, rules=rules)  # type: ignore[arg-type]


def _from_flags(flags: Mapping[str, object], environ: Mapping[str, str]) -> tuple[dict[str, object], list[str]]:
    """The parsed values of flags and environment, None for one with a problem; the problems name the flag or variable."""
    found: dict[str, object] = {}
    problems: list[str] = []
    for setting in SETTINGS:
        value, where = flags.get(setting.name), setting.flag
        if value is None:
            value, where = environ.get(setting.variable) or None, f"environment variable {setting.variable}"
        if value is None:
            continue
        try:
            found[setting.name] = setting.parse(value)
        except ValueError as error:
            found[setting.name] = None
            problems.append(f"{where}: {error}")
    return found, problems


def _how_to_set(name: str) -> str:
    text = f"give {BY_NAME[name].flag} or set {BY_NAME[name].variable}"
    return text + DOWNWARD_API if name == "node_name" else text


def _check_file(path: Path) -> tuple[ConfigFile, Rules, dict[str, object]]:
    """The whole file: with its problems, its rules, and its values by field of Settings."""
    file = ConfigFile(path)
    file.check_known(file.entries, [*(setting.key for setting in FILE_SETTINGS), *RULES_KEYS])
    given: dict[str, object] = {}
    for setting in FILE_SETTINGS:
        if (entry := file.entries.get(setting.key)) is not None:
            given[setting.name] = file.read(entry, setting.parse)
    return file, read_rules(file), given


# --------------------------------------------------------------------------------------------------------------- while it runs


def load_rules(path: Path) -> Rules:
    """The rules of a configuration file. Raises SettingsError with every problem of the whole file, not only of the rules.

    Other keys take effect at a restart; a mistake in one is reported now.
    """
    file, rules, _ = _check_file(path)
    if file.problems:
        raise SettingsError(file.problems)
    return rules


def fingerprint(path: Path) -> tuple[int, int, int, int] | None:
    """Changes when the file or its content changes; None: no such file."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


class RulesFile:
    """A file that others change: in place, by rename, or, as the kubelet does for a ConfigMap, by swapping the link ``..data``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = fingerprint(path)
        self._at_start = {} if self._seen is None else _check_file(path)[2]
        self.waiting: tuple[str, ...] = ()

    def changed(self) -> bool:
        """Whether it has changed since the last call: one stat. A missing file is no change: it may be in the middle of a swap."""
        now = fingerprint(self._path)
        if now is None or now == self._seen:
            return False
        self._seen = now
        return True

    def load(self) -> Rules:
        """Its current rules; raises SettingsError with every problem. ``waiting`` then has the other keys that have changed since the
        start: they take effect at a restart."""
        file, rules, given = _check_file(self._path)
        if file.problems:
            raise SettingsError(file.problems)
        self.waiting = tuple(
            setting.key for setting in FILE_SETTINGS if given.get(setting.name) != self._at_start.get(setting.name)
        )
        return rules
