"""Settings from flags, environment, file and defaults. Reports all problems at once."""

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
)  # the first needs the second


def check_file(path: Path) -> tuple[ConfigFile, Rules, dict[str, object]]:
    """The whole file: with its problems, its rules, and its values by field of Settings."""
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
    """Settings from defaults < file < environment < flags. ``flags`` by field of Settings; None or absent: not given.

    An empty environment variable counts as not set. ``required`` fields must be set; a command that needs no node name leaves
    it out and gets "". Raises SettingsError with all problems.
    """
    problems: list[str] = []
    chosen = _from_flags(flags, environ, problems)
    given: dict[str, object] = {}
    rules = Rules()
    if isinstance(config := chosen.get("config"), Path):
        file, rules, given = check_file(config)
        problems = [*file.problems, *problems]
    found: dict[str, object] = {setting.name: setting.default for setting in SETTINGS} | given | chosen
    unset = [s for s in SETTINGS if s.name in required and found[s.name] is None]
    problems += [_missing(setting) for setting in unset if setting.name not in given and setting.name not in chosen]
    problems += _alone(found, given.keys() | chosen.keys())
    if problems:
        raise SettingsError(problems)
    found["node_name"] = found["node_name"] or ""
    return Settings(**found, rules=rules)  # type: ignore[arg-type]


def _from_flags(flags: Mapping[str, object], environ: Mapping[str, str], problems: list[str]) -> dict[str, object]:
    """The parsed values of flags and environment. Problems name the flag or variable."""
    found: dict[str, object] = {}
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
    return found


def _missing(setting: Setting) -> str:
    text = f"{setting.key} is not set: give {setting.flag} or set {setting.variable}"
    if setting.name == "node_name":
        text += " (in a DaemonSet, from the downward API: env valueFrom fieldRef fieldPath spec.nodeName)"
    return text


def _alone(found: Mapping[str, object], given: Set[str]) -> list[str]:
    """Problems of settings without the setting that they need."""
    by_name = {setting.name: setting for setting in SETTINGS}
    return [
        f"{by_name[one].key} is set without {by_name[other].key}: give {by_name[other].flag} or set {by_name[other].variable}"
        for one, other in NEEDS
        if found[one] is not None and other not in given
    ]
