"""The Dockerfile as a list of instructions and stages, as far as this one uses the format."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[3]


@dataclass(slots=True)
class Stage:
    """``base`` as written, ``instructions`` as (word, rest)."""

    base: str
    name: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def all(self, word: str) -> list[str]:
        return [rest for found, rest in self.instructions if found == word]


@dataclass(slots=True)
class Dockerfile:
    """``arguments``: ARG in front of the first FROM, with their defaults."""

    arguments: dict[str, str]
    stages: list[Stage]


def instructions(text: str) -> list[tuple[str, str]]:
    """Lines put together at a backslash, comments and empty lines left out."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    found = []
    for line in joined.splitlines():
        word, _, rest = line.strip().partition(" ")
        found.append((word.upper(), rest.strip()))
    return found


def parse(text: str) -> Dockerfile:
    """Raises ValueError for an instruction where none may be."""
    result = Dockerfile({}, [])
    for word, rest in instructions(text):
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            result.stages.append(Stage(base, name))
        elif result.stages:
            result.stages[-1].instructions.append((word, rest))
        elif word == "ARG":
            name, _, default = rest.partition("=")
            result.arguments[name] = default
        else:
            raise ValueError(f"{word} before the first FROM")
    return result


def labels(stage: Stage) -> dict[str, str]:
    """LABEL's pairs."""
    return dict(pair.split("=", 1) for rest in stage.all("LABEL") for pair in shlex.split(rest))


def exec_form(rest: str) -> list[str]:
    """Of ENTRYPOINT. Raises ValueError for the shell form."""
    words: list[str] = json.loads(rest)
    return words
