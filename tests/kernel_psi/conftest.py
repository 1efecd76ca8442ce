"""On the emulated machine, whose kernel has cgroup v2 and PSI, and which has a disk: they fail, and never skip, elsewhere."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from agent.cgroup.psi import has_psi
from tests.lab import post_mortem
from tests.lab.cgroups import MOUNT

pytest_runtest_makereport = post_mortem.pytest_runtest_makereport
DISK = Path("/dev/vda")
OURS = " lab="  # the command line of its kernel (tests/lab/emulated.py): a machine of somebody's keeps its swap


@pytest.fixture(scope="session", autouse=True)
def real_kernel() -> None:
    """These tests need the emulated machine: PSI, and the controllers memory and io on v2. There is no swap, as on most nodes."""
    controllers = MOUNT / "cgroup.controllers"
    has = controllers.read_text().split() if controllers.exists() else []
    if OURS not in Path("/proc/cmdline").read_text() or not {"memory", "io"} <= set(has) or not has_psi():
        pytest.fail("run these tests by `make emulated` (python -m tests.lab test --emulated)", pytrace=False)
    subprocess.run(["swapoff", "-a"], check=True)
