"""The table of settings, and the one function that makes Settings of flags, environment, file and defaults.

Flags, environment variables, the file's keys and the reference page all follow from SETTINGS. Reads the configuration
file and nothing else of the system.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.model import Rules
from agent.settings import values
from agent.settings.file import ConfigFile
from agent.settings.problems import SettingsError
from agent.settings.rules import RULES_KEYS, read_rules

LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the agent was told. None: for ``kubeconfig`` in-cluster, for ``config`` no file, for ``log_format`` by terminal."""

    node_name: str
    kubeconfig: Path | None
    cgroup_mount: Path
    cgroup_roots: tuple[str, ...]
    kmsg: Path
    state_dir: Path
    listen: tuple[str, int]
    config: Path | None
    log_format: str | None
    log_level: str
    api_lax_ca: bool
    mode_applied_events: bool
    resync_interval_s: float
    kill_retention_days: int
    kill_retention_count: int
    rules: Rules


@dataclass(frozen=True, slots=True)
class Setting:
    """One row: ``name`` is Settings' field; flag, environment variable and key of the file follow from it unless given.

    ``takes`` is the value's form in words, ``shown_default`` the default where its plain text would not do.
    """

    name: str
    parse: Callable[[object], object]
    default: object
    takes: str
    help: str
    shown_default: str = ""
    own_flag: str = ""
    own_variable: str = ""

    @property
    def flag(self) -> str:
        return self.own_flag or "--" + self.name.removesuffix("_s").replace("_", "-")

    @property
    def variable(self) -> str:
        return self.own_variable or "OOMWARD_" + self.name.removesuffix("_s").upper()

    @property
    def key(self) -> str:
        """camelCase, as in Kubernetes' own configuration files."""
        head, *tail = self.name.removesuffix("_s").split("_")
        return head + "".join(word.capitalize() for word in tail)

    @property
    def default_text(self) -> str:
        """The default as help and reference show it."""
        return self.shown_default or (
            str(self.default).lower() if isinstance(self.default, bool) else str(self.default)
        )


PATH, WHOLE, TRUE_FALSE, DURATION = "path", "whole number", "true or false", "duration"

SETTINGS: tuple[Setting, ...] = (
    Setting(
        "node_name",
        values.node_name,
        None,
        "text",
        "name of the node this agent runs on, as the API knows it",
        "required",
        own_variable="NODE_NAME",
    ),
    Setting(
        "kubeconfig",
        values.path,
        None,
        PATH,
        "file with the API's address and credentials",
        "the pod's service account",
        own_variable="KUBECONFIG",
    ),
    Setting(
        "cgroup_mount", values.path, Path("/sys/fs/cgroup"), PATH, "where the node's cgroup file system is mounted"
    ),
    Setting(
        "cgroup_roots",
        values.roots,
        (),
        "paths",
        "look only below these kubepods cgroups (relative to the mount; comma-separated)",
        "all found",
        own_flag="--cgroup-root",
    ),
    Setting(
        "kmsg",
        values.path,
        Path("/dev/kmsg"),
        PATH,
        "the kernel's log; without it kills are counted but victims not named",
    ),
    Setting("state_dir", values.path, Path("/var/lib/oomward"), PATH, "folder of the ledger, kept over restarts"),
    Setting(
        "listen",
        values.listen,
        ("0.0.0.0", 9797),
        "host:port",
        "address of /metrics, /healthz and /readyz",
        "0.0.0.0:9797",
    ),
    Setting("config", values.path, None, PATH, "YAML file with any of these keys, and with rules", "none"),
    Setting(
        "log_format",
        values.one_of("json", "text"),
        None,
        "json or text",
        "form of the log",
        "text on a terminal, else json",
    ),
    Setting(
        "log_level",
        values.one_of(*LEVELS),
        "info",
        ", ".join(LEVELS[:-1]) + " or " + LEVELS[-1],
        "least level that is logged",
    ),
    Setting(
        "api_lax_ca",
        values.switch,
        False,
        TRUE_FALSE,
        "accept an API CA without key usage or key identifiers, which Python 3.13 and later refuse",
    ),
    Setting(
        "mode_applied_events",
        values.switch,
        True,
        TRUE_FALSE,
        "post an Event OOMModeApplied at each start of a container",
    ),
    Setting(
        "resync_interval_s",
        values.duration_s,
        1200.0,
        DURATION,
        "how often everything is looked at anew, as a safety net",
        "20m",
    ),
    Setting("kill_retention_days", values.count, 30, WHOLE, "how many days the ledger keeps a kill"),
    Setting("kill_retention_count", values.count, 100_000, WHOLE, "how many kills the ledger keeps at the most"),
)

FILE_SETTINGS = tuple(setting for setting in SETTINGS if setting.name != "config")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A flag for each setting; not given, it stays None."""
    for setting in SETTINGS:
        text = f"{setting.help} [{setting.variable}; {setting.default_text}]".replace("%", "%%")
        metavar = setting.takes.upper().replace(" ", "-")
        parser.add_argument(setting.flag, dest=setting.name, metavar=metavar, default=None, help=text)


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
