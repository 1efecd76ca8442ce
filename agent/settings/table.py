"""The table of settings, and the one function that makes a Settings of flags, environment, file and defaults."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from agent.model import Rules
from agent.settings.rules import RULES_KEYS, ConfigFile, SettingsError, text_list

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
    """One row: ``name`` is Settings' field; flag, environment variable and key of the file follow from it unless given."""

    name: str
    parse: Callable[[object], object]
    default: object
    help: str
    environment: str = ""
    shown_default: str = ""

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return self.environment or "OOMWARD_" + self.name.upper()

    @property
    def key(self) -> str:
        """camelCase, as in Kubernetes' own configuration files."""
        head, *tail = self.name.removesuffix("_s").split("_")
        return head + "".join(word.capitalize() for word in tail)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"must be a text, not {value!r}")
    return value


def _path(value: object) -> Path:
    return Path(_text(value))


def _listen(value: object) -> tuple[str, int]:
    host, colon, port = _text(value).rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{value!r} is no address: write host:port, e.g. 0.0.0.0:9797 or [::]:9797")
    return host.strip("[]"), int(port)


def _one_of(*words: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        if str(value).lower() not in words:
            raise ValueError(f"{value!r} is none of {', '.join(words)}")
        return str(value).lower()

    return parse


def _switch(value: object) -> bool:
    if isinstance(value, bool):
        return value
    return _one_of("true", "false")(value) == "true"


def _count(value: object) -> int:
    try:
        number = int(str(value))
    except ValueError:
        raise ValueError(f"{value!r} is no whole number") from None
    if number < 1:
        raise ValueError(f"must be at least 1, not {number}")
    return number


UNITS_S = {"s": 1, "m": 60, "h": 3600}


def _duration_s(value: object) -> float:
    text = str(value).strip()
    unit = UNITS_S.get(text[-1:])
    try:
        seconds = float(text[:-1]) * unit if unit else float(text)
    except ValueError:
        raise ValueError(f"{value!r} is no duration: write e.g. 30s, 20m or 1h") from None
    if not seconds > 0:
        raise ValueError(f"must be more than 0, not {value!r}")
    return seconds


def _roots(value: object) -> tuple[str, ...]:
    return text_list(value.split(",") if isinstance(value, str) else value)


SETTINGS: tuple[Setting, ...] = (
    Setting(
        "node_name",
        _text,
        None,
        "name of the node this agent runs on, as the API knows it",
        "NODE_NAME",
        "none: required",
    ),
    Setting("kubeconfig", _path, None, "file with the API's address and credentials", "KUBECONFIG", "in-cluster"),
    Setting("cgroup_mount", _path, Path("/sys/fs/cgroup"), "where the node's cgroup file system is mounted"),
    Setting(
        "cgroup_roots",
        _roots,
        (),
        "look only at these kubepods roots (comma-separated paths below the mount)",
        "",
        "all found",
    ),
    Setting(
        "kmsg", _path, Path("/dev/kmsg"), "the kernel's log; without it kills are counted but their victims not named"
    ),
    Setting("state_dir", _path, Path("/var/lib/oomward"), "folder of the ledger, kept over restarts"),
    Setting("listen", _listen, ("0.0.0.0", 9797), "address of /metrics, /healthz and /readyz", "", "0.0.0.0:9797"),
    Setting("config", _path, None, "YAML file with any of these keys, and with rules", "", "none"),
    Setting("log_format", _one_of("json", "text"), None, "json or text", "", "text on a terminal, else json"),
    Setting("log_level", _one_of(*LEVELS), "info", "debug, info, warning or error"),
    Setting("api_lax_ca", _switch, False, "accept an API CA that Python 3.13's strict checks refuse (true or false)"),
    Setting(
        "mode_applied_events",
        _switch,
        True,
        "post an Event OOMModeApplied at each start of a container (true or false)",
    ),
    Setting(
        "resync_interval_s", _duration_s, 1200.0, "how often everything is looked at anew, as a safety net", "", "20m"
    ),
    Setting("kill_retention_days", _count, 30, "how long the ledger keeps kills, in days"),
    Setting("kill_retention_count", _count, 100_000, "how many kills the ledger keeps at the most"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A flag for each setting."""
    for setting in SETTINGS:
        default = setting.shown_default or str(setting.default).lower()
        text = f"{setting.help} [{setting.variable}; {default}]"
        parser.add_argument(setting.flag, dest=setting.name, metavar="…", default=None, help=text)


def load(flags: Mapping[str, object], environ: Mapping[str, str]) -> Settings:
    """Settings from flags, environment, file and defaults, in this order. Raises SettingsError with all problems at once."""
    problems: list[str] = []
    config = _config_path(flags, environ)
    file = ConfigFile(config) if config is not None else None
    if file is not None:
        known = tuple(setting.key for setting in SETTINGS if setting.name != "config")
        file.check_known(file.entries, (*known, *RULES_KEYS))
    rules = file.rules() if file is not None else Rules()
    values = {setting.name: _value(setting, flags, environ, file, problems) for setting in SETTINGS}
    if values["node_name"] is None:
        problems.append(
            "no node name: set --node-name or NODE_NAME (in a DaemonSet by the downward API: fieldRef spec.nodeName)"
        )
    problems = [*(file.problems if file is not None else ()), *problems]
    if problems:
        raise SettingsError(problems)
    known_fields = {field.name for field in fields(Settings)}
    return Settings(**{name: value for name, value in values.items() if name in known_fields}, rules=rules)  # type: ignore[arg-type]


def _config_path(flags: Mapping[str, object], environ: Mapping[str, str]) -> Path | None:
    given = flags.get("config") or environ.get("OOMWARD_CONFIG")
    return Path(str(given)) if given else None


def _value(
    setting: Setting,
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    file: ConfigFile | None,
    problems: list[str],
) -> object:
    if flags.get(setting.name) is not None:
        return _parsed(setting, flags[setting.name], setting.flag, problems)
    if environ.get(setting.variable):
        return _parsed(setting, environ[setting.variable], setting.variable, problems)
    entry = file.entries.get(setting.key) if file is not None else None
    if file is not None and entry is not None:
        return file.read(entry, setting.parse)
    return setting.default


def _parsed(setting: Setting, value: object, where: str, problems: list[str]) -> object:
    try:
        return setting.parse(value)
    except ValueError as error:
        problems.append(f"{where}: {error}")
        return None
