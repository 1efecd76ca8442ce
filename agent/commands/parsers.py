"""The whole command line: every command with its own arguments, the settings that matter to it, and examples."""

from __future__ import annotations

import argparse
import sys
import textwrap
from typing import TYPE_CHECKING

from agent import __version__
from agent.commands.arguments import COMMANDS, TALK, add_own
from agent.settings import OF_CONTROLLER, add_arguments

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

WIDTH = 80  # columns of the help
ABOUT = (
    "Keeps an OOM kill from ending the whole container, for pods that request it with the label oomward.dev/mode, and "
    "reports every OOM kill on the node."
)
EXITS = (
    "Exit codes: 0 success, 1 failure (the message says what failed and what to do), 2 wrong arguments or configuration, "
    "130 Ctrl-C."
)
POSITIONALS = {
    "explain": "POD",
    "diagnose": "[POD]",
    "oom-policy": "install|remove|show",
    "help": "[COMMAND]",
    "completion": "bash|zsh|fish",
}
SETTINGS_TITLE = "settings, also from the environment or the configuration file"
OF_NODE = frozenset(
    ("node_name", "kubeconfig", "config", "state_dir", "cgroup_mount", "cgroup_roots", "api_lax_ca", "real_time")
)
# The settings that matter to a command; it takes the others too, so that one set of flags serves all. None: all.
SETTINGS_OF: dict[str, frozenset[str] | None] = {
    "run": None,
    "recover": OF_CONTROLLER,
    "check": OF_NODE | {"kmsg", "nri", "nri_socket"},
    "advise": OF_NODE | {"kill_retention_days"},
    "report": OF_NODE | {"kill_retention_days"},
    "oom-policy": frozenset(("config", "cgroup_mount", "cgroup_roots", "real_time")),
    "uninstall": frozenset(("node_name", "config", "state_dir", "cgroup_mount", "real_time")),
}
EXAMPLES = {
    "run": ("oomward run --node-name node-1 --config /etc/oomward/config.yaml",),
    "once": ("oomward once --dry-run", "oomward once --restore"),
    "check": ("oomward check", "oomward check -o json"),
    "ps": ("oomward ps -n shop", "oomward ps -l app=web -o wide", "oomward ps --sort-by usage -w"),
    "explain": ("oomward explain web-1 -n shop", "oomward explain shop/web-1 -o yaml"),
    "diagnose": (
        "oomward diagnose",
        "oomward diagnose web-1 -n shop",
        "kubectl get pods -A -o json | oomward diagnose -f -",
    ),
    "advise": ("oomward advise --since 30d", "oomward advise -n shop -o patch"),
    "oom-policy": ("oomward oom-policy show",),
    "history": (
        "oomward history --since 1d12h",
        "oomward history -n shop -l app=web --limit 20",
        "oomward history --since 2026-01-31T06:00:00Z -o json",
    ),
    "report": ("oomward report --html kills.html", "oomward report --html - -n shop --since 30d > shop.html"),
    "uninstall": ("oomward uninstall",),
    "recover": ("oomward recover --policy /etc/oomward/policy.yaml",),
    "version": ("oomward version", "oomward version -o json"),
    "help": ("oomward help", "oomward help history"),
    "completion": (
        "source <(oomward completion bash)",
        "oomward completion fish > ~/.config/fish/completions/oomward.fish",
    ),
}


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """80 columns, whatever the terminal has: what is copied from it fits elsewhere too."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28, width=WIDTH)


class _Parser(argparse.ArgumentParser):
    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
        """argparse's own hides that standard output can't be written: at once where PYTHONUNBUFFERED is set, else only at the end."""
        if file is not None and file is sys.stdout:
            file.write(message)
        else:
            super()._print_message(message, file)


def parser() -> argparse.ArgumentParser:
    """All commands and their arguments."""
    top = _Parser(
        prog="oomward",
        description=_wrapped(ABOUT),
        epilog=_wrapped("`oomward help COMMAND` has a command's own options and examples. " + EXITS),
        formatter_class=_Formatter,
    )
    cluster = "the same for the whole cluster, by kubectl: `oomward --all-nodes --help`"
    top.add_argument("--all-nodes", action="store_true", help=cluster)
    top.add_argument("--version", action="version", version=f"oomward {__version__}")
    commands = top.add_subparsers(title="commands", dest="command", required=True, metavar="COMMAND")
    for name, text in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=text,
            description=_wrapped(text[0].upper() + text[1:] + "."),
            usage=" ".join(filter(None, ("oomward", name, POSITIONALS.get(name, ""), "[OPTIONS]"))),
            epilog=_epilog(name),
            formatter_class=_Formatter,
        )
        add_own(name, command)
        if name not in TALK:
            add_arguments(command.add_argument_group(SETTINGS_TITLE), SETTINGS_OF.get(name, OF_NODE))
    return top


def _epilog(name: str) -> str:
    examples = "\n".join(f"  {line}" for line in EXAMPLES[name])
    return f"{_wrapped(EXITS)}\n\nexamples:\n{examples}"


def _wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH, break_on_hyphens=False)


def choices_of(top: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parser of each command."""
    (commands,) = (one for one in top._actions if isinstance(one, argparse._SubParsersAction))
    return dict(commands.choices)
