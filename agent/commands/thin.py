"""``ps``, ``explain``, ``diagnose``, ``advise`` and ``history`` beside a running agent: asked over its socket, printed here.

Without an agent, and with any setting's flag but --state-dir and --node-name, the command reads the node itself (cli.py goes on).
This module and what it imports is all that such a command costs.
"""

from __future__ import annotations

import argparse
import os
import re

from agent.commands import EXIT_FAILED, EXIT_OK, EXIT_USAGE
from agent.commands.arguments import add_own
from agent.commands.asking import NoAgentError, ask
from agent.commands.output.streams import say, say_as_it_is, standard_output
from agent.commands.output.table import Output, show
from agent.serve.protocol import COMMANDS, FailedError
from agent.wording.view import Shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, NoReturn, TextIO

STATE_DIR = "/var/lib/oomward"  # the setting's default
STATE_DIR_LINE = re.compile(r"""^stateDir:[ \t]+(["']?)(/[^"'#\s]*)\1[ \t]*(?:#.*)?$""", re.MULTILINE)
MOST_CONFIG_CHARS = 1 << 20
LAST_TO_STAY = "1000"
# Arguments that the agent takes, if they are given.
ASKED = ("pod", "namespace", "selector", "since_unix_s", "limit", "sort_by")


class _NotThinError(Exception):
    """The command is not for the agent, or its arguments are wrong: cli.py's own parser says how."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _NotThinError(message)


def run(argv: Sequence[str]) -> int | None:
    """The exit code; None: the command is to read the node itself.

    Raises OSError when the output can't be written, as BrokenPipeError when nobody reads it any more.
    """
    try:
        command, given = _parsed(argv)
        state_dir = given.state_dir or _state_dir(os.environ)
    except _NotThinError:
        return None
    output, file, arguments = Output(given.output), standard_output(), _arguments(given)

    def look() -> Shown:
        return ask(state_dir, command, arguments, document=output.of_document)

    try:
        shown = look()
        if getattr(given, "watch", None) is not None:
            return _watch(look, shown, output, file, given.watch)
        show(shown, output, file)
        say(shown.troubles)
    except NoAgentError as error:
        say([f"{error}: this command reads the node itself"])
        return None
    except FailedError as error:
        say_as_it_is(str(error))
        return EXIT_USAGE if error.usage else EXIT_FAILED
    return EXIT_OK


def _parsed(argv: Sequence[str]) -> tuple[str, argparse.Namespace]:
    """Raises _NotThinError."""
    if not argv or argv[0] not in COMMANDS:
        raise _NotThinError
    parser = _Parser(add_help=False, allow_abbrev=False)
    add_own(argv[0], parser)
    for flag in ("--state-dir", "--node-name"):
        parser.add_argument(flag)
    given = parser.parse_args(argv[1:])
    if getattr(given, "file", None) is not None:  # a status from anywhere: the agent knows nothing about it
        raise _NotThinError
    return argv[0], given


def _arguments(given: argparse.Namespace) -> dict[str, Any]:
    """As serve/answers.py takes them."""
    found = {"node": given.node_name, **{name: getattr(given, name, None) for name in ASKED}}
    return {name: value for name, value in found.items() if value is not None}


def _state_dir(environ: Mapping[str, str]) -> str:
    """Of environment, file or default, without reading YAML for it. Raises _NotThinError if the file has it in another form."""
    if found := environ.get("OOMWARD_STATE_DIR"):
        return found
    try:
        with open(environ.get("OOMWARD_CONFIG") or os.devnull, encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            text = file.read(MOST_CONFIG_CHARS)
    except OSError:  # the agent's, perhaps, and this is not its container
        return STATE_DIR
    line = STATE_DIR_LINE.search(text)
    if line is None and "stateDir" in re.sub(r"#.*", "", text):
        raise _NotThinError
    return STATE_DIR if line is None else line[2]


def _watch(look: Callable[[], Shown], first: Shown, output: Output, file: TextIO, every_s: float) -> int:
    """While the agent restarts, its last answer is shown."""
    from agent.commands.watching import wait_beside, watch  # noqa: PLC0415

    last, waiting = first, [first]

    def again() -> Shown:
        nonlocal last
        if waiting:
            return waiting.pop()
        try:
            last = look()
        except NoAgentError as error:
            return Shown(last.document, last.view, [f"{error}: this is its last answer"])
        return last

    return watch(again, output, file, every_s, wait_beside(file))


def offer_itself() -> None:
    """To the kernel's OOM killer: it takes this process first, and not the agent."""
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:  # noqa: PTH123
            file.write(LAST_TO_STAY)
    except OSError:  # without /proc there is nothing to be done
        pass
