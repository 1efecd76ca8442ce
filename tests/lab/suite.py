"""All that needs a real kernel: tests, each file in a kernel of its own, and the demo; two at a time. One failure fails all."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.lab.boot import EXIT_NO_KERNEL, REPO
from tests.lab.runtime import build_hog

SECONDS = 1200
ONCE_MORE = 1
LONGEST = (
    "test_holding",
    "test_starts",
    "test_kills",
    "test_storm",
    "test_faults",
    "test_commands",
    "test_main_job",
    "test_monitoring",
    "test_tolerance",
    "test_soak",
    "test_examples",
    "test_examples_servers",
    "test_without_privileges",
    "test_least_privilege",
)
A_SHORT_STORM = (("STORM_KILLS", "200"), ("STORM_DEATHS", "3"))


@dataclass(frozen=True, slots=True)
class Part:
    """A command that needs a kernel, and what its environment has besides."""

    name: str
    command: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()


def _tests(name: str, cgroup: str, path: str, environment: tuple[tuple[str, str], ...] = ()) -> Part:
    """Some tests in a kernel of their own."""
    pytest = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--color=no", path)
    boot = (
        sys.executable,
        "-m",
        "tests.lab",
        "boot",
        "--cgroup",
        cgroup,
        "--out",
        f"build/lab/{name}",
        "--seconds",
        str(SECONDS),
    )
    return Part(name, (*boot, "--", *pytest), environment)


def parts() -> list[Part]:
    """The longest first: two run side by side."""
    files = {path.stem: str(path.relative_to(REPO)) for path in (REPO / "tests" / "kernel").glob("test_*.py")}
    longest = sorted(files, key=lambda name: (LONGEST.index(name) if name in LONGEST else len(LONGEST), name))
    found = [_tests(name, "v2", files[name]) for name in longest]
    demo = Part("demo", (sys.executable, "-m", "tests.demo"), (("DEMO_SECONDS", "15"),))
    v1 = _tests("v1", "v1", "tests/kernel_v1", A_SHORT_STORM)
    return [*found[:4], v1, *found[4:], demo]


def main() -> int:
    """Run them, print each part's output when it is done, and fail if any did, or if any test was skipped."""
    build_hog()
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(_run, parts()))
    for part, code, seconds in results:
        print(f"{'ok    ' if code == 0 else 'FAILED'} {part.name:32} {seconds:6.1f} s")
    failed = sum(code != 0 for _, code, _ in results)
    print(f"{len(results) - failed} passed, {failed} failed")
    return 1 if failed else 0


def _run(part: Part) -> tuple[Part, int, float]:
    """A part whose machine ends under it has shown nothing, neither good nor bad: it is run once more, and both are printed."""
    began = time.monotonic()
    environment = os.environ | dict(part.environment)
    for _ in range(1 + ONCE_MORE):
        done = subprocess.run(
            part.command, cwd=REPO, env=environment, capture_output=True, text=True, errors="replace", check=False
        )
        if done.returncode != EXIT_NO_KERNEL:
            break
        print(f"--- {part.name}: its machine ended before it did\n{done.stdout}{done.stderr}", flush=True)
    code = done.returncode
    if code == 0 and " skipped" in done.stdout:
        code = 1  # a check that doesn't run is no check
    print(f"--- {part.name} (exit {done.returncode})\n{done.stdout}{done.stderr}", flush=True)
    return part, code, time.monotonic() - began
