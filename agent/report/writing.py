"""Puts a page where the user wants it: into a file, all of it or nothing, or on standard output."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from agent.model import AgentError
from agent.wording.text import safe

STANDARD_OUTPUT = "-"
READABLE = 0o666  # before the umask
LONGEST_PATH = 400  # characters in a message


def write(page: str, where: str, standard_output: TextIO) -> None:
    """``where``: a path, of which a file is replaced, or "-". Raises AgentError; OSError if standard output can't be written.

    On standard output every character is ASCII, whatever its encoding.
    """
    if where == STANDARD_OUTPUT:
        standard_output.write(page.encode("ascii", "xmlcharrefreplace").decode("ascii"))
        return
    try:
        _replace(Path(where).resolve(), page.encode())
    except (
        OSError,
        RuntimeError,
        ValueError,
    ) as error:  # RuntimeError: a loop of links (Python before 3.13); ValueError: a NUL
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        todo = "give the name of a file that can be written, or - for standard output"
        raise AgentError(
            f"the page cannot be written to {safe(where, LONGEST_PATH)} ({safe(why, LONGEST_PATH)}): {todo}"
        ) from None


def _replace(path: Path, content: bytes) -> None:
    """A reader sees the old file or the new one. Raises OSError."""
    if path.exists() and not path.is_file():
        raise OSError(f"it is {'a directory' if path.is_dir() else 'not an ordinary file'}")
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(temporary).chmod(READABLE & ~_umask())
        Path(temporary).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(temporary).unlink()
        raise


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
