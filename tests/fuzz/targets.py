"""The fuzz targets: what is called with any bytes, and what is known to lead somewhere.

A target is a module ``fuzz_NAME`` with a function ``check`` that raises when something is wrong. ``corpus/NAME/`` holds its seeds,
``words/NAME`` the words of its grammar.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ESCAPE = re.compile(rb"\\x([0-9a-f]{2})")
Check = Callable[[bytes], object]


@dataclass(frozen=True, slots=True)
class Target:
    """``longest_bytes`` bounds what is made up; seeds may be longer."""

    name: str
    longest_bytes: int

    @property
    def module(self) -> str:
        return f"tests.fuzz.fuzz_{self.name}"

    @property
    def corpus(self) -> Path:
        return HERE / "corpus" / self.name

    @property
    def dictionary(self) -> Path:
        """A word a line in quotation marks, as libFuzzer's ``-dict`` takes it."""
        return HERE / "words" / self.name

    def seeds(self) -> list[bytes]:
        """Each file's bytes, by name."""
        return [path.read_bytes() for path in sorted(self.corpus.iterdir())]

    def words(self) -> list[bytes]:
        """The dictionary's, with ``\\xNN`` undone."""
        lines = self.dictionary.read_bytes().splitlines()
        return [ESCAPE.sub(lambda m: bytes((int(m[1], 16),)), line[1:-1]) for line in lines if line.startswith(b'"')]

    def check(self) -> Check:
        """What is to be called."""
        check: Check = importlib.import_module(self.module).check
        return check


TARGETS = (
    Target("kmsg", 600),
    Target("oomreport", 4000),
    Target("paths", 400),
    Target("pod", 1500),
    Target("list", 800),
    Target("config", 800),
    Target("nri", 800),
    Target("unit", 600),
    Target("frames", 400),
    Target("stat", 600),
    Target("recover", 1200),
    Target("request", 400),
)
BY_NAME = {target.name: target for target in TARGETS}
