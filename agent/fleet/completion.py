"""Completion of ``kubectl oomward``: kubectl asks the program ``kubectl_complete-oomward`` on PATH (1.26 and newer).

It is given the words so far, the last of which is to be completed, and prints a candidate per line, then ``:`` and a number
(cobra's ShellCompDirective): 4 for no files, 0 for files where there is no candidate.
"""

from __future__ import annotations

import argparse
import subprocess
from collections.abc import Iterable, Sequence

from agent.commands.parsers import choices_of
from agent.fleet import FleetError
from agent.fleet.arguments import COMMANDS, NAME, TAKES_TEXT, TALK, parser
from agent.fleet.proxy import program

FILES, NO_FILES = 0, 4
ASK_S = 3.0
LISTED = {"NAMESPACE": "namespaces", "NODE": "nodes"}  # from a metavar to what kubectl lists
OF_FILES = ("FILE", "PATH")
FILE_FLAGS = ("--kubeconfig", "--certificate-authority", "--client-certificate", "--client-key")
SCRIPT = """\
#!/bin/sh
# Save this as kubectl_complete-oomward in a folder of your PATH, and make it executable: kubectl 1.26 and newer
# then completes `kubectl oomward`, in every shell for which kubectl's own completion is set up.
exec kubectl-oomward __complete "$@"
"""


def completed(words: Sequence[str]) -> str:
    """What kubectl reads. Raises nothing: what can't be listed is not offered."""
    found, directive = _candidates(list(words) or [""])
    return "".join(f"{one}\n" for one in found) + f":{directive}\n"


def _candidates(words: list[str]) -> tuple[list[str], int]:
    *before, last = words
    commands = choices_of(parser("kubectl oomward"))
    command = next((commands[word] for word in before if word in commands), None)
    if command is None:
        return _beginning(last, {name: f"\t{about}" for name, about in (COMMANDS | TALK).items()}), NO_FILES
    options = {flag: action for action in command._actions for flag in action.option_strings}
    flag, equals, part = last.partition("=")
    if equals and flag in options:
        values, directive = _values(options[flag], before)
        return [f"{flag}={value}" for value in values if value.startswith(part)], directive
    if before and before[-1] in options and options[before[-1]].nargs is None:
        values, directive = _values(options[before[-1]], before)
        return [value for value in values if value.startswith(last)], directive
    if last.startswith("-"):
        shown = {flag: f"\t{action.help}" for flag, action in options.items() if flag.startswith("--")}
        return _beginning(last, shown), NO_FILES
    positional = next((one for one in command._actions if not one.option_strings), None)
    values, directive = ([], NO_FILES) if positional is None else _values(positional, before)
    return [value for value in values if value.startswith(last)], directive


def _beginning(last: str, described: dict[str, str]) -> list[str]:
    return [name + about for name, about in described.items() if name.startswith(last)]


def _values(action: argparse.Action, before: Iterable[str]) -> tuple[list[str], int]:
    """Of an option or an argument, and whether it is a file."""
    if action.choices is not None:
        return list(action.choices), NO_FILES
    if action.metavar in OF_FILES or set(FILE_FLAGS).intersection(action.option_strings):
        return [], FILES
    kind = LISTED.get(str(action.metavar))
    return (_listed(kind, before) if kind is not None else []), NO_FILES


def _listed(kind: str, before: Iterable[str]) -> list[str]:
    """Names in the cluster that the words so far choose."""
    words, flags = iter(before), []
    for word in words:
        flag = word.partition("=")[0]
        if flag.startswith("--") and flag[2:] in TAKES_TEXT:
            flags.append(word if "=" in word else f"{word}={next(words, '')}")
    try:
        command = [program(), "get", kind, "--output=name", f"--request-timeout={ASK_S:g}s", *flags]
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=2 * ASK_S, check=True)
    except (FleetError, OSError, subprocess.SubprocessError):
        return []
    names = (line.rpartition("/")[2] for line in done.stdout.decode("utf-8", "replace").splitlines())
    return [name for name in names if NAME.match(name)]
