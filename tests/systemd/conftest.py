"""Fixtures of the tests beside a real systemd and containerd (python -m tests.lab boot-systemd). Elsewhere they fail, and never skip."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kernel.conftest import NODE, Node
from tests.lab import post_mortem
from tests.lab.apiserver import ApiServer
from tests.lab.containerd import Containerd
from tests.lab.crikubelet import CriKubelet

pytest_runtest_makereport = post_mortem.pytest_runtest_makereport

DRIVERS = ("systemd", "cgroupfs")
RUNTIMES = ("runc", "crun")


@pytest.fixture(scope="session", autouse=True)
def real_systemd() -> None:
    """These tests need the machine of boot-systemd."""
    if Path("/proc/1/comm").read_text().strip() != "systemd" or not Path("/proc/1/root/lab/command").exists():
        pytest.fail("this is no machine for these tests: run them by `make systemd`", pytrace=False)


def make_cri_node(work: Path, driver: str, *, nri: bool = False, **options: object) -> Node:
    """A node with a containerd of its own, and an API that its kubelet publishes to. ``options`` are the kubelet's."""
    api = ApiServer()
    api.start()
    kubelet = CriKubelet(
        NODE,
        driver,
        Containerd(driver, nri=nri),
        publish=api.put_pod,
        remove=lambda pod: api.delete_pod(pod["metadata"]["namespace"], pod["metadata"]["name"]),
        **options,
    )
    return Node(kubelet, api, work)
