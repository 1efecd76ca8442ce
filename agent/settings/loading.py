"""Settings of flags, environment, file and defaults: the one function that makes them, and what it says when they are wrong.

Follows the table, reads the configuration file and nothing else of the system; tells all problems at once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Set
from pathlib import Path

from agent.model import Rules
from agent.settings.file import ConfigFile
from agent.settings.problems import SettingsError
from agent.settings.rules import RULES_KEYS, read_rules
from agent.settings.table import FILE_SETTINGS, SETTINGS, Setting, Settings

NEEDS = (
    ("tls_cert", "tls_key"),
    ("tls_key", "tls_cert"),
    ("tls_client_ca", "tls_cert"),
)  # the first is nothing without


def check_file(path: Path) -> tuple[ConfigFile, Rules, dict[str, object]]:
    """The whole file: itself with its problems, its rules, and the values that it sets by Settings' field."""
    file = ConfigFile(path)
    file.check_known(file.entries, [*(setting.key for setting in FILE_SETTINGS), *RULES_KEYS])
    given = {}
    for setting in FILE_SETTINGS:
        if (entry := file.entries.get(setting.key)) is not None:
            given[setting.name] = file.read(entry, setting.parse)
    return file, read_rules(file), given


def load(
    flags: Mapping[str, object], environ: Mapping[str, str], *, required: Collection[str] = ("node_name",)
) -> Settings:
    """Settings from defaults < file < environment < flags. ``flags`` by Settings' field, None or absent: not given.

    An empty environment variable counts as not set. ``required`` fields must come from somewhere; a command that can do
    without the node's name leaves it out, and gets "". Raises SettingsError with all problems at once.
    """
    problems: list[str] = []
    spoken = _spoken(flags, environ, problems)
    given: dict[str, object] = {}
    rules = Rules()
    if isinstance(config := spoken.get("config"), Path):
        file, rules, given = check_file(config)
        problems = [*file.problems, *problems]
    found: dict[str, object] = {setting.name: setting.default for setting in SETTINGS} | given | spoken
    unset = [s for s in SETTINGS if s.name in required and found[s.name] is None]
    problems += [_missing(setting) for setting in unset if setting.name not in given and setting.name not in spoken]
    problems += _alone(found, given.keys() | spoken.keys())
    if problems:
        raise SettingsError(problems)
    found["node_name"] = found["node_name"] or ""
    return Settings(**found, rules=rules)  # type: ignore[arg-type]


def _spoken(flags: Mapping[str, object], environ: Mapping[str, str], problems: list[str]) -> dict[str, object]:
    """What flags and environment set, parsed. What is wrong is named after where it was said."""
    said: dict[str, object] = {}
    for setting in SETTINGS:
        value, where = flags.get(setting.name), setting.flag
        if value is None:
            value, where = environ.get(setting.variable) or None, f"environment variable {setting.variable}"
        if value is None:
            continue
        try:
            said[setting.name] = setting.parse(value)
        except ValueError as error:
            said[setting.name] = None
            problems.append(f"{where}: {error}")
    return said


def _missing(setting: Setting) -> str:
    text = f"{setting.key} is not set: give {setting.flag} or set {setting.variable}"
    if setting.name == "node_name":
        text += " (in a DaemonSet by the downward API: env valueFrom fieldRef fieldPath spec.nodeName)"
    return text


def _alone(found: Mapping[str, object], said: Set[str]) -> list[str]:
    """What is set without the other that it needs."""
    by_name = {setting.name: setting for setting in SETTINGS}
    return [
        f"{by_name[one].key} is set without {by_name[other].key}: give {by_name[other].flag} or set {by_name[other].variable}"
        for one, other in NEEDS
        if found[one] is not None and other not in said
    ]
