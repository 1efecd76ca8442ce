"""Questions and answers between a command and the agent: a line of JSON each, then the connection ends.

    {"oomward": 1, "command": "ps", "arguments": {}, "output": "json"}
    {"oomward": 1, "document": {…}, "view": null, "troubles": []}      or "error": the command failed; or "refused": it was not tried

Imported by every command: needs next to nothing but json.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager

from agent.wording.view import Shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

VERSION = 1
SOCKET = "agent.sock"  # in the state directory
COMMANDS = ("ps", "explain", "diagnose", "advise", "history")
LONGEST_PATH = 107  # bytes of a socket's path (unix(7))
MOST_REQUEST_BYTES = 8 << 10
MOST_ANSWER_BYTES = 8 << 20
CLIENT_TIME_S = 10.0  # for all of a question, its answer and the reading of it


class RefusedError(Exception):
    """The peer's message can't be used; the text is a sentence about it."""


class FailedError(Exception):
    """The agent answers that the command failed; the text is for people. ``usage``: what was typed is wrong."""

    def __init__(self, why: str, *, usage: bool = False) -> None:
        super().__init__(why)
        self.usage = usage


@contextmanager
def socket_path(state_dir: str) -> Iterator[str]:
    """The socket's path, or a shorter one that is the same for as long as this lasts. Raises OSError."""
    path = os.path.join(state_dir, SOCKET)
    if len(os.fsencode(path)) <= LONGEST_PATH:
        yield path
        return
    directory = os.open(state_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{SOCKET}"
    finally:
        os.close(directory)


def request_line(command: str, arguments: Mapping[str, Any], *, document: bool) -> bytes:
    """``document``: asks for the JSON document, else for the view."""
    output = "json" if document else "table"
    return _line({"oomward": VERSION, "command": command, "arguments": dict(arguments), "output": output})


def read_request(line: bytes) -> tuple[str, dict[str, Any], bool]:
    """Command, arguments and whether the document is asked for. Raises RefusedError."""
    asked = _read(line, "the request")
    command, arguments, output = asked.get("command"), asked.get("arguments"), asked.get("output")
    if command not in COMMANDS:
        raise RefusedError("this agent does not know the command that is asked for")
    if not isinstance(arguments, dict) or output not in ("json", "table"):
        raise RefusedError("the request has no arguments or no known output")
    return str(command), arguments, output == "json"


def answer_line(shown: Shown, *, document: bool) -> bytes:
    """Raises RefusedError if the answer is too long."""
    content = {"document": shown.document, "view": None} if document else {"document": None, "view": shown.view}
    line = _line({"oomward": VERSION, **content, "troubles": shown.troubles})
    if len(line) > MOST_ANSWER_BYTES:
        raise RefusedError(f"the answer has {len(line)} bytes, and the agent sends at most {MOST_ANSWER_BYTES}")
    return line


def failed_line(why: str, *, usage: bool = False) -> bytes:
    return _line({"oomward": VERSION, "error": why, "usage": usage})


def refused_line(why: str) -> bytes:
    return _line({"oomward": VERSION, "refused": why})


def read_answer(line: bytes) -> Shown:
    """Raises RefusedError, FailedError."""
    answer = _read(line, "the answer")
    if "refused" in answer:
        raise RefusedError(str(answer["refused"]))
    if "error" in answer:
        raise FailedError(str(answer["error"]), usage=answer.get("usage") is True)
    document, view, troubles = answer.get("document"), answer.get("view"), answer.get("troubles")
    if not isinstance(document or view, dict) or not isinstance(troubles, list):
        raise RefusedError("the answer is not complete")
    return Shown(document, view, [str(trouble) for trouble in troubles])


def _line(message: dict[str, Any]) -> bytes:
    return json.dumps(message, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"


def _read(line: bytes, what: str) -> dict[str, Any]:
    """A message of our version. Raises RefusedError."""
    if not line.endswith(b"\n"):
        raise RefusedError(f"{what} is not complete")
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        raise RefusedError(f"{what} is not JSON") from None
    if not isinstance(message, dict):
        raise RefusedError(f"{what} is not a JSON object")
    version = message.get("oomward")
    if type(version) is not int or version != VERSION:
        raise RefusedError(
            f"{what} does not have version {VERSION} of the protocol: use the oomward of the agent's image"
        )
    return message
