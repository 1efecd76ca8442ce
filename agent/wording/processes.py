"""Which process a kill ended, in words: ``python3 -m celery worker -Q images ← celery ← tini``. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from agent.model import OomKill, SeenProcess
from agent.wording.text import NOTE_BYTES, safe

ARROW = " ← "
COMMAND_CHARS = 160
PARENT_CHARS = 48
MOST_PARENTS = 4
LEAST_BYTES = 48  # of an Event's sentence; with less room there is none


def without_arguments(kill: OomKill) -> OomKill:
    """The kill with its processes' names, and without their command lines."""
    return replace(kill, seen=tuple(replace(one, command="", parent_commands=()) for one in kill.seen))


def victim_seen(kill: OomKill) -> SeenProcess | None:
    """The first victim as it was seen before the kill; None: it was not, or the kernel's log doesn't name it."""
    pid = kill.victims[0].pid if kill.victims else None
    return next((one for one in kill.seen if one.pid == pid), None)


def ancestry(one: SeenProcess) -> str:
    """The command, or the name, of a process and of its parents, the nearest first; safe to print."""
    parents = one.parents[:MOST_PARENTS]
    commands = one.parent_commands or ("",) * len(parents)
    above = [safe(command or name, PARENT_CHARS) for command, name in zip(commands, parents, strict=False)]
    return ARROW.join(
        [safe(one.command or one.comm, COMMAND_CHARS), *above, *(["…"] if len(one.parents) > len(above) else [])]
    )


def seen_text(kill: OomKill) -> str:
    """The first victim's ancestry; where it was not seen, that of the largest other process of its container; "" where nothing more
    than a name is known.
    """
    return text_of(victim_seen(kill), kill.seen)


def text_of(victim: SeenProcess | None, seen: Sequence[SeenProcess]) -> str:
    """The same of a kill's ``seen``, with the ``victim`` among them; None: it is not."""
    one = victim or next(iter(seen), None)
    if one is None or not (one.command or one.parents):
        return ""
    return ancestry(one) if victim is not None else f"not seen before it was killed; in the container: {ancestry(one)}"


def seen_sentence(kill: OomKill, note: str) -> str:
    """The note of an Event, with ``Process: …`` behind it as far as there is room: it never takes another sentence's."""
    text = seen_text(kill)
    room = NOTE_BYTES - len(note.encode("utf-8", "replace")) - len(" Process: .")
    if not text or room < LEAST_BYTES:
        return note
    raw = text.encode("utf-8", "replace")
    if len(raw) > room:
        text = raw[: room - len("…".encode())].decode("utf-8", "ignore") + "…"
    return f"{note} Process: {text}."
