"""The table of settings: flags, environment variables, the file's keys and the reference page all follow from it.

Owns what each setting is called, takes and defaults to, and Settings, which they make. Reads nothing: loading.py does.
"""

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
    """What the agent was told. None: for ``kubeconfig`` in-cluster, for ``log_format`` by terminal, for other paths no file."""

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
BUDGET = "number/duration"

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
    Setting(
        "tls_cert", values.path, None, PATH, "certificate (PEM, its chain below it): all pages by https only", "none"
    ),
    Setting("tls_key", values.path, None, PATH, "private key of tlsCert (PEM, without a passphrase)", "none"),
    Setting(
        "tls_client_ca",
        values.path,
        None,
        PATH,
        "CA (PEM): /metrics only for clients with a certificate of it",
        "none",
    ),
    Setting(
        "basic_auth_file",
        values.path,
        None,
        PATH,
        "file with user:password lines: /metrics only for them",
        "none",
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
        "emulate_group_on_v1",
        values.switch,
        False,
        TRUE_FALSE,
        "on cgroup v1 kill the rest of a container in mode group after an OOM kill in it, which its kernel can't",
    ),
    Setting(
        "real_time",
        values.switch,
        True,
        TRUE_FALSE,
        "come before the node's workloads by real-time scheduling, within a budget, so that no mode comes late on busy processors",
    ),
    Setting(
        "event_budget_pod",
        values.budget,
        Budget(10, 60.0),
        BUDGET,
        "how many Events of one pod: so many at once, then one every so often; the rest is summed up",
        "10/1m",
    ),
    Setting(
        "event_budget_node",
        values.budget,
        Budget(50, 1.0),
        BUDGET,
        "how many Events of this node in all: so many at once, then one every so often",
        "50/1s",
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
