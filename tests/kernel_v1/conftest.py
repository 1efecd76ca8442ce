"""The same fixtures on cgroup v1: they fail, and never skip, where the memory controller is not on v1."""

from __future__ import annotations

import os

import pytest

from tests.lab import post_mortem
from tests.lab.cgroups import MOUNT, V1

pytest_runtest_makereport = post_mortem.pytest_runtest_makereport


@pytest.fixture(scope="session", autouse=True)
def real_kernel() -> None:
    """These tests need root on a kernel with a v1 memory hierarchy."""
    if os.geteuid() != 0 or not V1 or not (MOUNT / "memory.oom_control").exists():
        pytest.fail(
            "this is no kernel for these tests: run them by `make kernel` (python -m tests.lab test)", pytrace=False
        )
