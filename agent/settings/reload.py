"""The mounted configuration file, looked at now and then, for rules that change while the agent runs.

Gives Rules or a SettingsError; keeps none in force itself. The whole file is checked, so that a mistake in any key is
said now and not at the next restart; keys other than the rules' take effect at a restart.
"""

from __future__ import annotations

import os
from pathlib import Path

from agent.model import Rules
from agent.settings.loading import check_file
from agent.settings.problems import SettingsError


def load_rules(path: Path) -> Rules:
    """The rules of a configuration file. Raises SettingsError with every problem of the whole file."""
    file, rules, _ = check_file(path)
    if file.problems:
        raise SettingsError(file.problems)
    return rules


def fingerprint(path: Path) -> tuple[int, int, int, int] | None:
    """What is another when the file is, or its text; None: it can't be found."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


class RulesFile:
    """A file that somebody else changes: in place, by rename, or, as the kubelet does with a ConfigMap, by a swap of the
    link ``..data`` on the way to it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = fingerprint(path)

    def changed(self) -> bool:
        """Whether it is another file, or another text, than at the last call: one stat, cheap on a timer.

        A file that can't be found is no change: in the middle of a swap it may be away.
        """
        now = fingerprint(self._path)
        if now is None or now == self._seen:
            return False
        self._seen = now
        return True

    def load(self) -> Rules:
        """Its rules as they are now; raises SettingsError with every problem."""
        return load_rules(self._path)
