"""Stand-ins for those who rewrite memory.oom.group of running containers, where neither systemd nor a kubelet can run.

Each writes what was measured of the real one (docs/lab.md has the table), through the same file, as another process would.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from tests.lab.cgroups import MOUNT
from tests.lab.spec import Instance

STATIC_POLICY_GAP_S = 0.03


def _write(instance: Instance, value: int) -> None:
    (MOUNT / instance.path / "memory.oom.group").write_text(str(value))


def daemon_reload_and_sibling_restart(siblings: Iterable[Instance]) -> None:
    """After ``systemctl daemon-reload`` a sibling's death or restart has systemd write 0 to the pod's other scopes."""
    for instance in siblings:
        _write(instance, 0)


def set_property(instance: Instance) -> None:
    """``systemctl set-property`` on a scope writes 0."""
    _write(instance, 0)


def static_cpu_policy(instances: Iterable[Instance]) -> None:
    """Kubelet restart, or exclusive CPUs given and taken, under the static policy: 0 to all by systemd, 30 ms later the runtime's 1."""
    found = list(instances)
    for instance in found:
        _write(instance, 0)
    time.sleep(STATIC_POLICY_GAP_S)
    for instance in found:
        _write(instance, 1)


def fight(instance: Instance, value: int, times: int, every_s: float) -> None:
    """Somebody who insists: the same value again and again."""
    for _ in range(times):
        _write(instance, value)
        time.sleep(every_s)
