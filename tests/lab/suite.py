"""All that needs a real kernel: tests, each file in a kernel of its own, and the demo; some side by side. One failure fails all."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from agent.cgroup.psi import has_psi
from tests.lab import systemd, uml
from tests.lab.boot import REPO
from tests.lab.runtime import build_hog

SECONDS = 1200
# The longest begin first, so that none of them is left alone at the end.
LONGEST = (
    "test_busy_node",
    "test_holding",
    "test_faults",
    "test_kills",
    "test_commands",
    "test_soak",
    "test_once",
    "test_without_privileges",
    "test_starts",
    "test_tolerance",
    "test_storm",
)
OLDER = (("OOMWARD_LAB_KERNEL", "distribution"),)
AT_ONCE = (os.cpu_count() or 1) + 1  # half of the time they wait for something
A_SHORT_STORM = (("STORM_KILLS", "200"), ("STORM_DEATHS", "3"))


@dataclass(frozen=True, slots=True)
class Part:
    """A command that needs a kernel, and what its environment has besides."""

    name: str
    command: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()


def _tests(name: str, cgroup: str, path: str, environment: tuple[tuple[str, str], ...] = (), select: str = "") -> Part:
    """Some tests in a kernel of their own. ``select``: those whose names hold this, empty: all."""
    chosen = ("-k", select) if select else ()
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
    return Part(name, (*boot, "--", *_pytest(*chosen, path)), environment)


def all_parts() -> list[Part]:
    """Every test; the kills on the older kernel, too."""
    files = {path.stem: str(path.relative_to(REPO)) for path in (REPO / "tests" / "kernel").glob("test_*.py")}
    longest = sorted(files, key=lambda name: (LONGEST.index(name) if name in LONGEST else len(LONGEST), name))
    found = [_tests(name, "v2", files[name]) for name in longest]
    demo = Part("demo", (sys.executable, "-m", "tests.demo"), (("DEMO_SECONDS", "15"),))
    older = [_tests("v1", "v1", "tests/kernel_v1", A_SHORT_STORM), *_native_parts()]
    if uml.NEWER.exists():
        older.append(_tests("test_kills_older_kernel", "v2", files["test_kills"], OLDER))
    return [*older, *found, demo]


def _native_parts() -> list[Part]:
    """What needs PSI, which User-Mode Linux has not: on this machine's own kernel, where that has it and we may."""
    if os.geteuid() != 0 or not has_psi():
        return []
    return [Part("native", _pytest("tests/native"))]


def quick_parts() -> list[Part]:
    """The main job on each kernel, the kinds of kills, a short storm, and the short parts."""
    kernel = "tests/kernel/test_{}.py".format
    found = [
        _tests("main_job_v1", "v1", "tests/kernel_v1/test_main_job.py", select="systemd and not crun"),
        _tests("main_job", "v2", kernel("main_job")),
        _tests("storm", "v2", kernel("storm"), A_SHORT_STORM),
        _tests("kills", "v2", kernel("kills"), select="systemd and not crun"),
        _tests("without_api", "v2", kernel("without_api")),
        _tests("hostile", "v2", kernel("hostile")),
        _tests("cgroup_room", "v2", kernel("cgroup_room")),
    ]
    if uml.NEWER.exists():
        found.insert(0, _tests("main_job_older_kernel", "v2", kernel("main_job"), OLDER, select="systemd and not crun"))
    return found


def systemd_parts() -> list[Part]:
    """Every test beside a real systemd, on each of them."""
    files = sorted(
        (REPO / "tests" / "systemd").glob("test_*.py"), key=lambda file: (file.stem != "test_starts", file.stem)
    )
    suites = {"test_starts": ("trixie",)}  # the longest; it is about containerd, which is the same in all
    return [_systemd_tests(file, suite) for file in files for suite in suites.get(file.stem, systemd.SUITES)]


def _systemd_tests(file: Path, suite: str) -> Part:
    name = f"{file.stem}_{suite}"
    boot = (sys.executable, "-m", "tests.lab", "boot-systemd", "--suite", suite, "--out", f"build/lab/{name}")
    tests = _pytest(str(file.relative_to(REPO)))
    return Part(name, (*boot, "--memory", "3G", "--seconds", str(SECONDS), "--", *tests))


def emulated_parts() -> list[Part]:
    """Every test that needs cgroup v2 and PSI."""
    return [_emulated_tests(file) for file in sorted((REPO / "tests" / "kernel_psi").glob("test_*.py"))]


def _emulated_tests(file: Path) -> Part:
    name = f"{file.stem}_emulated"
    boot = (sys.executable, "-m", "tests.lab", "boot-emulated", "--out", f"build/lab/{name}", "--seconds", str(SECONDS))
    return Part(name, (*boot, "--", *_pytest(str(file.relative_to(REPO)))))


def _pytest(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--color=no", *arguments)


def main(chosen: list[Part], *, at_once: int = AT_ONCE) -> int:
    """Run them, print each part's output when it is done, and fail if any did, or if any test was skipped."""
    build_hog()
    with ThreadPoolExecutor(at_once) as pool:
        results = list(pool.map(_run, chosen))
    for part, code, seconds in results:
        print(f"{'ok    ' if code == 0 else 'FAILED'} {part.name:32} {seconds:6.1f} s")
    failed = sum(code != 0 for _, code, _ in results)
    print(f"{len(results) - failed} passed, {failed} failed")
    return 1 if failed else 0


def _run(part: Part) -> tuple[Part, int, float]:
    """Run it once, and print what it said. A part whose machine ends under it (exit 70) has failed: who knows what ended it."""
    began = time.monotonic()
    environment = os.environ | dict(part.environment)
    done = subprocess.run(
        part.command, cwd=REPO, env=environment, capture_output=True, text=True, errors="replace", check=False
    )
    code = done.returncode
    if code == 0 and " skipped" in done.stdout:
        code = 1  # a check that doesn't run is no check
    print(f"--- {part.name} (exit {done.returncode})\n{done.stdout}{done.stderr}", flush=True)
    return part, code, time.monotonic() - began
