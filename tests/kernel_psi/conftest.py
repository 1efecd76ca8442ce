"""On the emulated machine, which has cgroup v2, PSI and a disk to swap to: they fail, and never skip, elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.cgroup.psi import has_psi
from tests.lab import post_mortem
from tests.lab.cgroups import MOUNT

pytest_runtest_makereport = post_mortem.pytest_runtest_makereport
SWAPS = Path("/proc/swaps")


@pytest.fixture(scope="session", autouse=True)
def real_kernel() -> None:
    """These tests need root on a kernel with PSI, the memory controller on v2, and swap."""
    controllers = MOUNT / "cgroup.controllers"
    on_v2 = controllers.exists() and "memory" in controllers.read_text().split()
    if os.geteuid() != 0 or not on_v2 or not has_psi() or "/dev/vda" not in SWAPS.read_text():
        pytest.fail("run these tests by python -m tests.lab boot-emulated -- …", pytrace=False)
