"""Fuzz target for the configuration: any bytes as the file, and line by line as values of flags and variables."""

from __future__ import annotations

import os

from agent.settings import SETTINGS, SettingsError, load
from tests.fuzz.mount import MemoryFile

FILE = MemoryFile()
VARIABLES = tuple(setting.variable for setting in SETTINGS if setting.name != "config")


def check(data: bytes) -> None:
    """Settings, or an error that names each problem with its place."""
    FILE.write(data)
    _check({"node_name": "node-1", "config": str(FILE.path)}, {})
    texts = [os.fsdecode(line) for line in data.split(b"\n")]
    if len(texts) > 1 and all("\0" not in text for text in texts):
        _check({"node_name": texts[0]}, dict(zip(VARIABLES, texts[1:], strict=False)))


def _check(flags: dict[str, object], environ: dict[str, str]) -> None:
    try:
        settings = load(flags, environ)
    except SettingsError as error:
        if not error.problems or not all(error.problems):
            raise AssertionError(f"refused without a word: {error!r}") from error
        return
    if settings.resync_interval_s <= 0 or settings.kill_retention_count < 0 or settings.event_budget_pod.every_s <= 0:
        raise AssertionError(f"settings that no agent can live by: {settings!r}")
