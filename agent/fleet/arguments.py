"""What the user types, as kubectl's users type it: an Ask, and the flags that are kubectl's."""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

from agent import __version__
from agent.commands.arguments import LONGEST_SINCE_S, MOST_WATCH_S, duration_s, positive, since_unix_s
from agent.commands.arguments import SORT_KEYS as OF_NODE

OUTPUTS = ("table", "wide", "json", "yaml", "name")
OF_DOCUMENT = ("table", "json", "yaml")  # no rows
LEAST_WATCH_S = 2.0
WATCH_S = 5.0
TIMEOUT_S, CHECK_TIMEOUT_S = 10.0, 30.0
MOST_TIMEOUT_S = 86400.0
NAME = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?\Z")  # of any object that is named here
EPILOG = (
    "Exit codes: 0 success, 1 a node did not answer or a check failed, 2 wrong arguments, 130 Ctrl-C. "
    "Flags of kubectl that choose cluster and user (--context, --kubeconfig, --as …) are taken as well."
)
COMMANDS = {
    "ps": "list the containers: desired and actual mode, memory limit, usage, peak, OOM kills",
    "top": "list the containers by how near they are to their memory limit",
    "history": "list the OOM kills, newest first, including those of deleted pods",
    "explain": "show one pod's OOM modes, why they apply, its memory limits and its recent OOM kills",
    "diagnose": "show why containers fail, what Kubernetes will do, and what you can do",
    "advise": "show each workload's memory limits, peaks and OOM kills, and the next limit where kills ask for one",
    "check": "check every prerequisite on each node: a line per node, or all checks of one node",
    "events": "list oomward's Events, oldest first",
    "report": "write one HTML page: OOM kills, what filled the limits, containers near their limit, advice, nodes without an answer",
}
# About the plugin itself: they ask no cluster.
VERSION, HELP = "version", "help"
TALK = {
    "completion": "print the program that lets kubectl complete `kubectl oomward`",
    VERSION: "print the version",
    HELP: "print the help of kubectl oomward or of one command",
}
POSITIONALS = {"explain": "POD", "diagnose": "[POD]", "check": "[NODE ...]", "report": "--html FILE", HELP: "[COMMAND]"}
# Names of columns, as in commands/arguments.py; tables.py has the order.
SORT_KEYS = {
    "ps": ("node", *OF_NODE["ps"]),
    "top": ("node", "pod", "container", "used", "usage", "limit", "peak", "kills"),
    "history": ("time", "node", *OF_NODE["history"][1:]),
    "diagnose": ("node", *OF_NODE["diagnose"]),
    "advise": OF_NODE["advise"],
    "check": ("node", "fail", "warn", "pass"),
    "events": ("time", "reason", "object", "count", "node"),
}
TAKES_TEXT = {
    "context": "the kubeconfig's context to use",
    "kubeconfig": "path of the kubeconfig",
    "cluster": "the kubeconfig's cluster to use",
    "user": "the kubeconfig's user to use",
    "as": "user to impersonate",
    "as-uid": "uid to impersonate",
    "server": "address of the API server",
    "token": "bearer token",
    "certificate-authority": "file with the certificate authority's certificate",
    "client-certificate": "file with the client's certificate",
    "client-key": "file with the client's key",
    "tls-server-name": "name in the server's certificate",
}


@dataclass(frozen=True, slots=True)
class Ask:
    """``namespace`` None: the context's, unless ``all_namespaces``. ``nodes``: only these; none: all. ``watch_s`` None: once.

    ``labels``: a label selector of pods. ``flags``: for kubectl. ``html``: where a page is written, "" for another command.
    """

    command: str
    output: str
    namespace: str | None
    all_namespaces: bool
    labels: str | None
    pod: str | None
    nodes: tuple[str, ...]
    since_unix_s: float | None
    limit: int
    sort_by: str | None
    watch_s: float | None
    timeout_s: float
    agent_namespace: str | None
    flags: tuple[str, ...]
    html: str = ""

    def since_words(self) -> list[str]:
        """For the agents' own command: a duration, because their clocks may differ from ours. The longest that they take has all kills."""
        if self.since_unix_s is None:
            return []
        return ["--since", f"{min(LONGEST_SINCE_S, max(1.0, time.time() - self.since_unix_s)):.0f}s"]


def parser(prog: str) -> argparse.ArgumentParser:
    """All commands and their arguments."""
    text = "The OOM kills, OOM modes and memory limits of a whole cluster: asks oomward's agents by kubectl, with your rights."
    top = argparse.ArgumentParser(prog=prog, description=text, epilog=EPILOG, allow_abbrev=False)
    top.add_argument("--version", action="version", version=f"oomward {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, about in (COMMANDS | TALK).items():
        command = commands.add_parser(
            name,
            help=about,
            description=about[0].upper() + about[1:] + ".",
            usage=" ".join(filter(None, (prog, name, POSITIONALS.get(name, ""), "[OPTIONS]"))),
            epilog=EPILOG if name in COMMANDS else None,
            allow_abbrev=False,
        )
        if name in COMMANDS:
            _add(name, command)
        elif name == VERSION:
            _add_output(command, OF_DOCUMENT)
        elif name == HELP:
            topics = (*COMMANDS, *TALK)
            command.add_argument("topic", metavar="COMMAND", nargs="?", choices=topics, help="the command")
    return top


def _add(name: str, command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    if name == "explain":
        add("pod", metavar="POD", type=_pod, help="name, or namespace/name")
    if name == "diagnose":
        add("pod", metavar="POD", type=_pod, nargs="?", help="only this pod: name, or namespace/name")
    if name == "check":
        add("node_names", metavar="NODE", nargs="*", type=_name, help="all checks of these nodes")
    _add_which(name, command)
    if name == "report":
        add("--html", metavar="FILE", required=True, help="where to write the page (- for standard output)")
    else:
        _add_output(command, outputs_of(name))
    if name in SORT_KEYS:
        keys = SORT_KEYS[name]
        order = f"{', '.join(keys)}: numbers and times largest first"
        add("--sort-by", metavar="COLUMN", choices=keys, help=order)
    if name in ("ps", "top"):
        refreshes = f"refresh every {WATCH_S:g} s until Ctrl-C"
        add("-w", action="store_const", const=WATCH_S, dest="watch", help=refreshes)
        add("--watch", metavar="SECONDS", nargs="?", type=_watch_s, const=WATCH_S, help="the same, every SECONDS")
    default = CHECK_TIMEOUT_S if name == "check" else TIMEOUT_S
    add("--timeout", metavar="DURATION", type=_timeout_s, default=default, help=f"per node (default {default:g}s)")
    add("--agent-namespace", metavar="NAMESPACE", type=_name, help="where the agents are (default: in any namespace)")
    _add_kubectls(command.add_argument_group("of kubectl"))


def _add_output(command: argparse.ArgumentParser, formats: tuple[str, ...]) -> None:
    about = f"{', '.join(formats)} (default: table)"
    command.add_argument("-o", "--output", metavar="FORMAT", choices=formats, default="table", help=about)


def outputs_of(name: str) -> tuple[str, ...]:
    if name == "explain":
        return OF_DOCUMENT
    return (*OUTPUTS, "patch") if name == "advise" else OUTPUTS


def _add_which(name: str, command: argparse.ArgumentParser) -> None:
    """Which pods, nodes and times are meant."""
    add = command.add_argument
    if name != "check":
        where = command.add_mutually_exclusive_group()
        where.add_argument("-n", "--namespace", metavar="NAMESPACE", type=_name, help="default: the context's")
        if name != "explain":
            where.add_argument("-A", "--all-namespaces", action="store_true", help="of all namespaces")
    if name in ("ps", "top", "history", "diagnose"):
        add("-l", "--selector", metavar="LABELS", type=_labels, help="only pods with these labels: app=web,tier!=cache")
    if name not in ("check", "explain", "events"):
        add("--node", metavar="NODE", type=_name, action="append", default=[], help="only this node; may be repeated")
    if name in ("history", "advise", "events", "report"):
        since = "only since then: 90m, 6h, 30d, 1d12h, or a time such as 2026-01-31T06:00:00Z"
        add("--since", metavar="DURATION", dest="since_unix_s", type=since_unix_s, help=since)
    if name == "history":
        add("--limit", metavar="N", type=positive, default=100, help="at most N kills (default 100)")


def _add_kubectls(group: argparse._ArgumentGroup) -> None:
    for flag, about in TAKES_TEXT.items():
        short = ("-s",) if flag == "server" else ()
        group.add_argument(*short, f"--{flag}", metavar="VALUE", dest=f"kubectl_{flag}", help=about)
    group.add_argument("--as-group", metavar="VALUE", action="append", default=[], help="group; may be repeated")
    skips = "do not check the server's certificate"
    group.add_argument("--insecure-skip-tls-verify", action="store_true", help=skips)


def parse(words: Sequence[str], prog: str) -> Ask:
    """Raises SystemExit for wrong arguments (2) and for --help and --version (0), which are printed."""
    top = parser(prog)
    given = top.parse_args(words)
    namespace, pod = getattr(given, "namespace", None), getattr(given, "pod", None)
    if pod is not None:
        own, slash, name = pod.partition("/")
        if slash and namespace not in (None, own):
            top.error(f"pod {pod} is not in namespace {namespace}: give only one namespace")
        namespace, pod = (own, name) if slash else (namespace, pod)
    if pod is not None and getattr(given, "all_namespaces", False):
        top.error("a POD is in one namespace: give -n NAMESPACE or namespace/name instead of -A")
    if pod is not None and (getattr(given, "selector", None) or getattr(given, "node", None)):
        top.error("POD names one pod already: -l and --node are for many")
    if getattr(given, "watch", None) is not None and given.output == "name":
        top.error("--watch prints tables, JSON or YAML, not names")
    return Ask(
        command=given.command,
        output=getattr(given, "output", "table"),
        namespace=namespace,
        all_namespaces=getattr(given, "all_namespaces", False),
        labels=getattr(given, "selector", None),
        pod=pod,
        nodes=(*getattr(given, "node", ()), *getattr(given, "node_names", ())),
        since_unix_s=getattr(given, "since_unix_s", None),
        limit=getattr(given, "limit", 0),
        sort_by=getattr(given, "sort_by", None),
        watch_s=getattr(given, "watch", None),
        timeout_s=given.timeout,
        agent_namespace=given.agent_namespace,
        flags=_kubectl_flags(given),
        html=getattr(given, "html", ""),
    )


def _kubectl_flags(given: argparse.Namespace) -> tuple[str, ...]:
    pairs = ((flag, getattr(given, f"kubectl_{flag}")) for flag in TAKES_TEXT)
    flags = [f"--{flag}={value}" for flag, value in pairs if value is not None]
    flags += [f"--as-group={group}" for group in given.as_group]
    return (*flags, *(("--insecure-skip-tls-verify",) if given.insecure_skip_tls_verify else ()))


def _timeout_s(text: str) -> float:
    seconds = _seconds(text)
    if seconds > MOST_TIMEOUT_S:
        raise argparse.ArgumentTypeError(f"at most 1d, not {text[:80]!r}")
    return seconds


def _watch_s(text: str) -> float:
    seconds = _seconds(text)
    if not LEAST_WATCH_S <= seconds <= MOST_WATCH_S:
        why = "each refresh starts a command on every node"
        raise argparse.ArgumentTypeError(f"at least {LEAST_WATCH_S:g} s and at most 7d: {why}")
    return seconds


def _seconds(text: str) -> float:
    seconds = duration_s(text)
    if not seconds:
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is not a duration: write e.g. 5s or 1m")
    return seconds


def _name(text: str) -> str:
    if not NAME.match(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a name: lower-case letters, digits, - and . only")
    return text


def _labels(text: str) -> str:
    """What is no selector the API server says."""
    try:
        text.encode()
    except UnicodeError:
        raise argparse.ArgumentTypeError(f"{text!r} is not UTF-8: write e.g. app=web,tier!=cache") from None
    return text


def _pod(text: str) -> str:
    """Also pod/NAME, as kubectl prints it."""
    parts = text.split("/")
    if parts[0] in ("pod", "pods") and len(parts) == 2:
        parts = parts[1:]
    if len(parts) > 2:
        raise argparse.ArgumentTypeError(f"{text!r} is not a pod: write its name, or namespace/name")
    return "/".join(_name(part) for part in parts)
