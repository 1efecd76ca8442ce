"""Each command's own arguments. Imports next to nothing: a command beside the agent reads its arguments with this."""

from __future__ import annotations

import argparse
import re
import time

COMMANDS = {
    "run": "watch this node until stopped: the command of the DaemonSet",
    "once": "apply the desired mode of every container once, then exit",
    "check": "check every prerequisite on this node, and show what to do where one is missing",
    "ps": "list the containers of this node: desired and actual mode, memory limit, usage, peak, OOM kills",
    "explain": "show each container's OOM mode, why it applies, its memory limits and its recent OOM kills",
    "diagnose": "show why containers of this node fail, what Kubernetes will do, and what you can do",
    "advise": "show each workload's memory limits, peaks and OOM kills on this node, and the next limit where kills ask for one",
    "oom-policy": "install, remove or show the systemd drop-in that keeps mode single in force (OOMPolicy=continue)",
    "history": "list the OOM kills of this node, newest first, including those of deleted containers",
    "report": "write one HTML page about this node: OOM kills, what filled the limits, containers near their limit, advice",
    "uninstall": "restore every value on this node, then remove the drop-in and the ledger (stop the agent first)",
    "recover": "give failing pods that ask for it a bounded second chance: the command of the controller, one per cluster",
    "version": "print the version",
    "help": "print the help of oomward or of one command",
    "completion": "print a shell's completion script: source it in the shell's start file",
}
SERVICES = ("run", "recover")  # they run until they are stopped, and print nothing
TALK = ("version", "help", "completion")  # they look at nothing
OF_PODS = ("ps", "explain", "diagnose", "history")  # their rows name pods
SHELLS = ("bash", "zsh", "fish")
# Names of columns; look/ has the order: numbers and times largest first, text by the alphabet.
SORT_KEYS = {
    "ps": ("pod", "container", "desired", "actual", "limit", "usage", "peak", "kills"),
    "history": ("time", "pod", "container", "resident", "limit", "outcome"),
    "diagnose": ("pod", "container", "category"),
    "advise": ("workload", "kind", "container", "pods", "limit", "peak", "kills", "raise-to"),
}
UNITS_S = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
PART = r"([0-9]{1,9}(?:\.[0-9]{1,3})?)([dhms])"
DURATION = re.compile(rf"(?:{PART})+\Z", re.ASCII)
SECONDS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,3})?\Z", re.ASCII)
RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)\Z", re.ASCII)
LONGEST_SINCE_S = 3650 * 86400.0
MOST_KILLS = 10**9  # of history: all
LEAST_WATCH_S, MOST_WATCH_S = 0.5, 7 * 86400.0
USUAL_WATCH_S = 2.0


def add_own(name: str, command: argparse.ArgumentParser) -> None:
    """The arguments of this command only."""
    add = command.add_argument
    match name:
        case "recover":
            from pathlib import Path  # noqa: PLC0415 (not beside an agent)

            what = "YAML file: what recovery may do; without one it is a dry run"
            add("--policy", type=Path, metavar="PATH", help=what)
        case "once":
            instead = command.add_mutually_exclusive_group()
            instead.add_argument("--dry-run", action="store_true", help="show what would be written; write nothing")
            restores = "restore every value that oomward has changed"
            instead.add_argument("--restore", action="store_true", help=restores)
        case "explain":
            add("pod", metavar="POD", help="name, namespace/name, uid, or the first characters of a container id")
        case "oom-policy":
            does = "install or remove the drop-in on this node, or show whether it is installed"
            add("action", choices=("install", "remove", "show"), help=does)
        case "uninstall":
            how = command.add_mutually_exclusive_group()
            how.add_argument("--stay", action="store_true", help="wait when done until stopped: for a pod")
            done = "change nothing; exit 0 if this node is done: a readiness probe"
            how.add_argument("--done", action="store_true", help=done)
        case "diagnose":
            which = command.add_mutually_exclusive_group()
            which.add_argument("pod", nargs="?", metavar="POD", help="only this pod, named as for explain")
            which.add_argument("--all", action="store_true", help="all pods of this node (the default)")
            anywhere = "the pods in this file (- for standard input; JSON or YAML), without node or cluster"
            which.add_argument("-f", "--file", metavar="FILE", help=anywhere)
        case "history":
            add("--pod", metavar="POD", help="only kills in this pod: name or namespace/name")
            add("--limit", type=positive, default=100, metavar="N", help="at most N kills (default 100)")
        case "report":
            add("--html", required=True, metavar="FILE", help="where to write the page (- for standard output)")
        case "help":
            add("topic", nargs="?", choices=tuple(COMMANDS), metavar="COMMAND", help="the command")
        case "completion":
            add("shell", choices=SHELLS, help="the shell")
    _add_usual(name, command)


def _add_usual(name: str, command: argparse.ArgumentParser) -> None:
    """What several commands have, as kubectl names it."""
    add = command.add_argument
    rows = name in SORT_KEYS
    if rows or name in ("explain", "report"):
        where = command.add_mutually_exclusive_group()
        where.add_argument("-n", "--namespace", metavar="NAMESPACE", help="only pods of this namespace")
        everywhere = "pods of all namespaces (the default)"
        where.add_argument("-A", "--all-namespaces", action="store_true", help=everywhere)
    if rows:
        labels = "only pods with these labels: app=web, tier!=db, 'env in (a,b)', 'env notin (a)', key, '!key'; commas are ANDs"
        add("-l", "--selector", metavar="SELECTOR", help=labels)
    if name in ("history", "advise", "report"):
        since = "only kills since then: 90m, 6h, 30d, 1d12h, or a time such as 2026-01-31T06:00:00Z (default: all that are kept)"
        add("--since", dest="since_unix_s", type=since_unix_s, metavar="DURATION", help=since)
    if name not in (*SERVICES, "report", "help", "completion"):
        outputs = outputs_of(name)
        text = f"{', '.join(outputs)} (default: table)"
        add("-o", "--output", choices=outputs, default="table", metavar="FORMAT", help=text)
    if rows:
        keys = SORT_KEYS[name]
        order = f"{', '.join(keys)}: numbers and times largest first"
        add("--sort-by", choices=keys, metavar="COLUMN", help=order)
    if rows or name == "explain":
        add("-w", action="store_const", const=USUAL_WATCH_S, dest="watch", help="refresh every 2 s until Ctrl-C")
        refreshes = "the same, every SECONDS"
        add("--watch", nargs="?", type=_seconds, const=USUAL_WATCH_S, metavar="SECONDS", help=refreshes)


def outputs_of(name: str) -> tuple[str, ...]:
    """Values of ``--output``: see output/table.py."""
    if name == "version":
        return "table", "json", "yaml"
    names = ("name",) if name in (*OF_PODS, "advise") else ()
    return ("table", "wide", "json", "yaml", *names, *(("patch",) if name == "advise" else ()))


def since_unix_s(text: str) -> float:
    """The time that a duration goes back to, or an RFC 3339 time of the past."""
    now = time.time()
    if RFC3339.match(text):
        from datetime import datetime  # noqa: PLC0415 (seldom typed)

        try:
            at = datetime.fromisoformat(text.upper()).timestamp()
        except (ValueError, OverflowError):
            raise argparse.ArgumentTypeError(f"{text!r} is not a time") from None
        if not 0 <= at < now:
            raise argparse.ArgumentTypeError(f"{text!r} is not in the past")
        return at
    seconds = duration_s(text)
    if seconds is None:
        raise argparse.ArgumentTypeError(
            f"{text[:80]!r} is neither a duration, e.g. 90m, 6h, 30d or 1d12h, nor a time, e.g. 2026-01-31T06:00:00Z"
        )
    if not 0 < seconds <= LONGEST_SINCE_S:
        raise argparse.ArgumentTypeError(f"must be more than 0 and at most 3650d, not {text[:80]!r}")
    return now - seconds


def duration_s(text: str) -> float | None:
    """Seconds of ``90m``, ``1d12h``, or a number of seconds; None: it is none of these."""
    if SECONDS.match(text):
        return float(text)
    if not DURATION.match(text):
        return None
    return sum(float(number) * UNITS_S[unit] for number, unit in re.findall(PART, text, re.ASCII))


def _seconds(text: str) -> float:
    seconds = duration_s(text)
    if seconds is None:
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is not a duration: write e.g. 5, 30s or 1m")
    if not LEAST_WATCH_S <= seconds <= MOST_WATCH_S:
        why = "each refresh reads the files of every container"
        raise argparse.ArgumentTypeError(f"at least {LEAST_WATCH_S} s and at most 7d: {why}")
    return seconds


def positive(text: str) -> int:
    """At most MOST_KILLS."""
    if not (text.isascii() and text.isdigit() and text.strip("0")):
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, not {text[:80]!r}")
    return int(text) if len(text.lstrip("0")) < len(str(MOST_KILLS)) else MOST_KILLS
