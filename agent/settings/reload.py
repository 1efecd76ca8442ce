"""The mounted configuration file, checked now and then, for rules that change while the agent runs.

Returns Rules or raises a SettingsError. The whole file is checked, so that a mistake in any key is reported now and not at the
next restart; keys other than rules take effect at a restart.
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
    """Changes when the file or its content changes; None: no such file."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


class RulesFile:
    """A file that others change: in place, by rename, or, as the kubelet does for a ConfigMap, by swapping the link ``..data``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = fingerprint(path)

    def changed(self) -> bool:
        """Whether the file or its content has changed since the last call: one stat.

        A missing file is no change: it may be in the middle of a swap.
        """
        now = fingerprint(self._path)
        if now is None or now == self._seen:
            return False
        self._seen = now
        return True

    def load(self) -> Rules:
        """Its current rules; raises SettingsError with every problem."""
        return load_rules(self._path)
