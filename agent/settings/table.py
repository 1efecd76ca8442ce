"""The table of settings: defines flags, environment variables, keys of the file and the reference page."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent.model import Budget, Rules
from agent.settings import values

LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True, slots=True)
class Settings:
    """The agent's settings. None: ``kubeconfig`` in-cluster, ``log_format`` by terminal, other paths no file."""

    node_name: str
    kubeconfig: Path | None
    cgroup_mount: Path
    cgroup_roots: tuple[str, ...]
    kmsg: Path
    state_dir: Path
    listen: tuple[str, int]
    tls_cert: Path | None
    tls_key: Path | None
    tls_client_ca: Path | None
    basic_auth_file: Path | None
    config: Path | None
    log_format: str | None
    log_level: str
    api_lax_ca: bool
    mode_applied_events: bool
    emulate_group_on_v1: bool
    real_time: bool
    event_budget_pod: Budget
    event_budget_node: Budget
    resync_interval_s: float
    kill_retention_days: int
    kill_retention_count: int
    rules: Rules


@dataclass(frozen=True, slots=True)
class Setting:
    """One row: ``name`` is the field of Settings; flag, environment variable and key follow from it unless given.

    ``takes`` describes the value, ``shown_default`` the default if its plain text is not clear.
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
        """The default in help and reference."""
        return self.shown_default or (
            str(self.default).lower() if isinstance(self.default, bool) else str(self.default)
        )


PATH, WHOLE, TRUE_FALSE, DURATION = "path", "whole number", "true or false", "duration"
BUDGET = "number/duration"

SETTINGS: tuple[Setting, ...] = (
    Setting(
        "node_name",
        values.node_name,
        None,
        "string",
        "name of this node in the API",
        "required",
        own_variable="NODE_NAME",
    ),
    Setting(
        "kubeconfig",
        values.path,
        None,
        PATH,
        "file with the address and credentials of the API",
        "the pod's service account",
        own_variable="KUBECONFIG",
    ),
    Setting("cgroup_mount", values.path, Path("/sys/fs/cgroup"), PATH, "mount point of the node's cgroup file system"),
    Setting(
        "cgroup_roots",
        values.roots,
        (),
        "paths",
        "watch only these kubepods cgroups (relative to the mount, comma-separated)",
        "all found",
        own_flag="--cgroup-root",
    ),
    Setting(
        "kmsg",
        values.path,
        Path("/dev/kmsg"),
        PATH,
        "kernel log device; without it kills are counted but processes not named",
    ),
    Setting("state_dir", values.path, Path("/var/lib/oomward"), PATH, "directory of the ledger; must survive restarts"),
    Setting(
        "listen",
        values.listen,
        ("0.0.0.0", 9797),
        "host:port",
        "address of /metrics, /healthz and /readyz",
        "0.0.0.0:9797",
    ),
    Setting(
        "tls_cert",
        values.path,
        None,
        PATH,
        "certificate (PEM, followed by its chain): all pages use HTTPS only",
        "none",
    ),
    Setting("tls_key", values.path, None, PATH, "private key of tlsCert (PEM, without a passphrase)", "none"),
    Setting(
        "tls_client_ca",
        values.path,
        None,
        PATH,
        "CA (PEM): /metrics requires a client certificate from this CA",
        "none",
    ),
    Setting(
        "basic_auth_file",
        values.path,
        None,
        PATH,
        "file with user:password lines: /metrics requires one of these users",
        "none",
    ),
    Setting("config", values.path, None, PATH, "YAML file with these keys and with rules", "none"),
    Setting(
        "log_format",
        values.one_of("json", "text"),
        None,
        "json or text",
        "log format",
        "text on a terminal, else json",
    ),
    Setting(
        "log_level",
        values.one_of(*LEVELS),
        "info",
        ", ".join(LEVELS[:-1]) + " or " + LEVELS[-1],
        "lowest level that is logged",
    ),
    Setting(
        "api_lax_ca",
        values.switch,
        False,
        TRUE_FALSE,
        "accept an API CA without key usage or key identifiers, which Python 3.13 and newer refuse",
    ),
    Setting(
        "mode_applied_events",
        values.switch,
        True,
        TRUE_FALSE,
        "post an Event OOMModeApplied at each container start",
    ),
    Setting(
        "emulate_group_on_v1",
        values.switch,
        False,
        TRUE_FALSE,
        "on cgroup v1: after an OOM kill in a container in mode group, kill the rest of the container",
    ),
    Setting(
        "real_time",
        values.switch,
        True,
        TRUE_FALSE,
        "run the agent with real-time priority, within a CPU budget, so that modes apply in time on busy processors",
    ),
    Setting(
        "event_budget_pod",
        values.budget,
        Budget(10, 60.0),
        BUDGET,
        "limit of Events per pod: number at once / interval of one more; the rest is counted in later Events",
        "10/1m",
    ),
    Setting(
        "event_budget_node",
        values.budget,
        Budget(50, 1.0),
        BUDGET,
        "limit of Events for the whole node: number at once / interval of one more",
        "50/1s",
    ),
    Setting(
        "resync_interval_s",
        values.duration_s,
        1200.0,
        DURATION,
        "interval of the full resync",
        "20m",
    ),
    Setting("kill_retention_days", values.count, 30, WHOLE, "days to keep a kill in the ledger"),
    Setting("kill_retention_count", values.count, 100_000, WHOLE, "maximum number of kills in the ledger"),
)

FILE_SETTINGS = tuple(setting for setting in SETTINGS if setting.name != "config")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A flag per setting; None if not given."""
    for setting in SETTINGS:
        text = f"{setting.help} [{setting.variable}; {setting.default_text}]".replace("%", "%%")
        metavar = setting.takes.upper().replace(" ", "-")
        parser.add_argument(setting.flag, dest=setting.name, metavar=metavar, default=None, help=text)
