"""The container runtime's NRI: is there a socket by which it asks the agent? Connects to nothing."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from agent.commands.probes.checks import Check, failed, passed, warned

NAME = "NRI"
LATER = "modes are enforced through the file, after the runtime's write"
ENABLE = "Enable NRI in the runtime and mount its directory into the agent's container (docs/howto/nri.md), or set nri to off."


def nri(setting: str, socket: Path) -> Iterator[Check]:
    """``setting`` and ``socket`` are nri and nriSocket."""
    if setting == "off":
        yield passed(NAME, f"off by setting: {LATER}")
        return
    try:
        mode = os.stat(socket).st_mode
    except FileNotFoundError:
        if setting == "required":
            yield failed(NAME, f"required, but there is no {socket}: the agent is not ready", ENABLE)
        else:
            yield passed(NAME, f"there is no {socket}: {LATER}")
        return
    if not stat.S_ISSOCK(mode):
        yield warned(NAME, f"{socket} is not a socket: {LATER}", ENABLE)
    elif not os.access(socket, os.W_OK):
        yield warned(NAME, f"{socket} is not writable for this user: {LATER}", "Run the agent as root.")
    else:
        yield passed(NAME, f"{socket} is there; oomward_nri_connected is 1 while the runtime asks the agent through it")
