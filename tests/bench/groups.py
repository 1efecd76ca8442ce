"""The six groups and their parts: the program, where it runs, and its sizes, by the environment variables of DEFAULTS.

``BENCH_…`` of the table below; ``BENCH_BEFORE`` is another checkout, whose agent is measured in the same run where that is possible.
Each part ends well within 20 minutes with what stands here, but for the idle hour's share.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

DRIVERS = ("cgroupfs", "systemd")
DEFAULTS = {
    "BENCH_CONTAINERS": "250",  # started under each tool, half of them under each driver
    "BENCH_NRI": "40",  # containers of each row with and without NRI
    "BENCH_SAMPLES": "2000",  # rewrites on the machine itself
    "BENCH_KILLS": "100",  # one by one
    "BENCH_TOGETHER": "600",  # kills at once, timed
    "BENCH_RECORDS": "500",  # natively
    "BENCH_SIZES": "10,110,500",  # pods, for the cost of one kill
    "BENCH_EACH": "30",  # kills at each size
    "BENCH_STORM": "10000",  # kills at once, counted
    "BENCH_DEATHS": "100",  # containers that die whole
    "BENCH_PODS": "10,110,250,500",
    "BENCH_IDLE": "600",  # seconds
    "BENCH_CHURN": "120",
    "BENCH_LAB_IDLE": "60",
    "BENCH_LAB_CHURN": "30",
    "BENCH_API_IDLE": "1200",
    "BENCH_API_CHURN": "300",
    "BENCH_NODES": "50",  # of the cluster that kubectl oomward asks
    "BENCH_ROUNDS": "10",  # of its commands
}


@dataclass(frozen=True, slots=True)
class Part:
    """``python -m tests.bench.<arguments>``, in the lab (with this ``memory``) or natively; ``seconds`` is its time-out."""

    group: str
    name: str
    arguments: tuple[str, ...]
    lab: bool
    seconds: float = 1500.0
    memory: str = "2G"
    systemd: bool = False  # in the lab beside a real systemd and containerd


def size(name: str) -> str:
    """From the environment, else the default."""
    return os.environ.get(name, DEFAULTS[name])


def before() -> tuple[str, ...]:
    """The option for another checkout; () without."""
    tree = os.environ.get("BENCH_BEFORE")
    return ("--before", tree) if tree else ()


def parts() -> list[Part]:
    """All parts, in the page's order."""
    of_a_driver = str(int(size("BENCH_CONTAINERS")) // len(DRIVERS))
    idle, churn = size("BENCH_IDLE"), size("BENCH_CHURN")
    long_s = 600 + 2 * float(idle) + 6 * float(churn)
    return [
        *(
            Part("start", driver, ("start", "--driver", driver, "--containers", of_a_driver), lab=True)
            for driver in DRIVERS
        ),
        Part(
            "start",
            "native",
            ("write", "--containers", size("BENCH_CONTAINERS"), "--samples", size("BENCH_SAMPLES")),
            lab=False,
        ),
        Part("start", "nri", ("nri", "--containers", size("BENCH_NRI")), lab=True, systemd=True),
        Part(
            "kills",
            "lab",
            ("kills", "--kills", size("BENCH_KILLS"), "--storm-kills", size("BENCH_TOGETHER")),
            lab=True,
        ),
        Part(
            "kills",
            "constant",
            ("constant", "--pods", size("BENCH_SIZES"), "--kills", size("BENCH_EACH"), *before()),
            lab=False,
        ),
        Part("kills", "native", ("record", "--pods", "110", "--kills", size("BENCH_RECORDS"), *before()), lab=False),
        Part(
            "storm",
            "lab",
            ("storm", "--kills", size("BENCH_STORM"), "--deaths", size("BENCH_DEATHS")),
            lab=True,
            seconds=3600.0,
            memory="6G",
        ),
        Part("cost", "native", (*_cost("native", idle, churn), *before()), lab=False, seconds=long_s),
        Part("cost", "lab", _cost("lab", size("BENCH_LAB_IDLE"), size("BENCH_LAB_CHURN")), lab=True),
        Part(
            "load",
            "native",
            ("load", "--pods", "110", "--idle", size("BENCH_API_IDLE"), "--churn", size("BENCH_API_CHURN")),
            lab=False,
            seconds=600 + float(size("BENCH_API_IDLE")) + float(size("BENCH_API_CHURN")),
        ),
        Part(
            "fleet",
            "native",
            ("fleet", "--nodes", size("BENCH_NODES"), "--pods", "110", "--rounds", size("BENCH_ROUNDS")),
            lab=False,
        ),
    ]


def _cost(where: str, idle: str, churn: str) -> tuple[str, ...]:
    return "cost", "--where", where, "--pods", size("BENCH_PODS"), "--idle", idle, "--churn", churn


GROUPS = tuple(dict.fromkeys(part.group for part in parts()))
