"""The table of settings: defines flags, environment variables, keys of the file and the reference page."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent.model import Budget, Rules
from agent.settings import values


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
    pressure_events: str
    real_time: bool
    nri: str
    nri_socket: Path
    nri_index: str
    event_budget_pod: Budget
    event_budget_node: Budget
    command_lines: str
    redact_patterns: tuple[str, ...]
    resync_interval_s: float
    kill_retention_days: int
    kill_retention_count: int
    rules: Rules


@dataclass(frozen=True, slots=True)
class Setting:
    """One row: ``name`` is the field of Settings; flag, environment variable and key follow from it unless given.

    ``default``: as a user writes it; None: not set, and ``unset`` says what that means. ``takes`` describes the value.
    """

    name: str
    parse: Callable[[object], object]
    takes: str
    default: str | None
    help: str
    unset: str = "none"
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
        return self.unset if self.default is None else self.default


PATH, WHOLE, TRUE_FALSE, BUDGET = "path", "whole number", "true or false", "number/duration"

SETTINGS: tuple[Setting, ...] = (
    Setting("node_name", values.node_name, "string", None,
            "name of this node in the API", "required", own_variable="NODE_NAME"),
    Setting("kubeconfig", values.path, PATH, None,
            "file with the address and credentials of the API", "the pod's service account", own_variable="KUBECONFIG"),
    Setting("cgroup_mount", values.path, PATH, "/sys/fs/cgroup", "mount point of the node's cgroup file system"),
    Setting("cgroup_roots", values.roots, "paths", None,
            "watch only these kubepods cgroups (relative to the mount, comma-separated)", "all found", own_flag="--cgroup-root"),
    Setting("kmsg", values.path, PATH, "/dev/kmsg",
            "kernel log device; without it kills are counted but processes not named"),
    Setting("state_dir", values.path, PATH, "/var/lib/oomward", "directory of the ledger; must survive restarts"),
    Setting("listen", values.listen, "host:port", "0.0.0.0:9797", "address of /metrics, /healthz and /readyz"),
    Setting("tls_cert", values.path, PATH, None, "certificate (PEM, followed by its chain): all pages use HTTPS only"),
    Setting("tls_key", values.path, PATH, None, "private key of tlsCert (PEM, without a passphrase)"),
    Setting("tls_client_ca", values.path, PATH, None, "CA (PEM): /metrics requires a client certificate from this CA"),
    Setting("basic_auth_file", values.path, PATH, None,
            "file with user:password lines: /metrics requires one of these users"),
    Setting("config", values.path, PATH, None, "YAML file with these keys and with rules"),
    Setting("log_format", values.one_of("json", "text"), "json or text", None,
            "log format", "text on a terminal, else json"),
    Setting("log_level", values.one_of("debug", "info", "warning", "error"), "debug, info, warning or error", "info",
            "lowest level that is logged"),
    Setting("api_lax_ca", values.switch, TRUE_FALSE, "false",
            "accept an API CA without key usage or key identifiers, which Python 3.13 and newer refuse"),
    Setting("mode_applied_events", values.switch, TRUE_FALSE, "true",
            "post an Event OOMModeApplied at each container start"),
    Setting("emulate_group_on_v1", values.switch, TRUE_FALSE, "false",
            "on cgroup v1: after an OOM kill in a container in mode group, kill the rest of the container"),
    Setting("pressure_events", values.pressure_events, "off, requested or all", "requested",
            "post Events MemoryLimitPressure: for no container, for those that ask, or for all; off: nothing is watched for them"),
    Setting("real_time", values.switch, TRUE_FALSE, "true",
            "run the agent with real-time priority, within a CPU budget, so that modes apply in time on busy processors"),
    Setting("nri", values.nri, "auto, off or required", "auto",
            "be asked by the container runtime before it creates a container: auto, if nriSocket is there; required: not ready without it"),
    Setting("nri_socket", values.path, PATH, "/var/run/nri/nri.sock", "the runtime's NRI socket"),
    Setting("nri_index", values.plugin_index, "two digits", "90",
            "order among the runtime's NRI plugins; a late one sees what the others ask for"),
    Setting("event_budget_pod", values.budget, BUDGET, "10/1m",
            "limit of Events per pod: number at once / interval of one more; the rest is counted in later Events"),
    Setting("event_budget_node", values.budget, BUDGET, "50/0.2s",
            "limit of Events for the whole node: number at once / interval of one more"),
    Setting("command_lines", values.command_lines, "off, names, history, log or events", "history",
            "what is read and shown of a killed process and its parents: names; with arguments (secrets redacted) in history and explain; "
            "in the log too; in Events too"),
    Setting("redact_patterns", values.patterns, "globs", None,
            "more arguments and names of options that are secrets in command lines (comma-separated)", "only the built-in ones"),
    Setting("resync_interval_s", values.duration_s, "duration", "20m", "interval of the full resync"),
    Setting("kill_retention_days", values.count, WHOLE, "30", "days to keep a kill in the ledger"),
    Setting("kill_retention_count", values.count, WHOLE, "100000", "maximum number of kills in the ledger"),
)  # fmt: skip


# Those of the settings that the controller has, which is on no node.
OF_CONTROLLER = frozenset(
    (
        "kubeconfig",
        "listen",
        "tls_cert",
        "tls_key",
        "tls_client_ca",
        "basic_auth_file",
        "config",
        "log_format",
        "log_level",
        "api_lax_ca",
    )
)


def add_arguments(parser: argparse._ActionsContainer, shown: frozenset[str] | None = None) -> None:
    """A flag per setting; None if not given. ``shown``: those that the help has, None: all."""
    for setting in SETTINGS:
        text = f"{setting.help} [{setting.variable}; {setting.default_text}]".replace("%", "%%")
        text = text if shown is None or setting.name in shown else argparse.SUPPRESS
        parser.add_argument(setting.flag, dest=setting.name, metavar=_metavar(setting.takes), default=None, help=text)


def _metavar(takes: str) -> str:
    """``json|text`` where one of some words is taken, else ``WHOLE-NUMBER``."""
    words = re.split(r", | or ", takes)
    return "|".join(words) if len(words) > 1 else takes.upper().replace(" ", "-")
