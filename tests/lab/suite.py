"""All tests that need a real kernel: each part in a kernel of its own, two at a time, a failure in any of them fails all."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.lab.boot import REPO


@dataclass(frozen=True, slots=True)
class Part:
    """Some test files, and the kernel that they need."""

    name: str
    cgroup: str
    paths: tuple[str, ...]


def parts() -> list[Part]:
    """What there is: tests/kernel on cgroup v2, a file a part, and tests/kernel_v1 on v1."""
    files = sorted(str(path.relative_to(REPO)) for path in (REPO / "tests" / "kernel").glob("test_*.py"))
    return [Part(Path(path).stem, "v2", (path,)) for path in files] + [Part("v1", "v1", ("tests/kernel_v1",))]


def main() -> int:
    """Run them, print each part's output when it is done, and fail if any did, or if any test was skipped."""
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(_run, parts()))
    for part, code, seconds in results:
        print(f"{'ok    ' if code == 0 else 'FAILED'} {part.name:32} {seconds:6.1f} s")
    return 0 if all(code == 0 for _, code, _ in results) else 1


def _run(part: Part) -> tuple[Part, int, float]:
    began = time.monotonic()
    out = REPO / "build" / "lab" / part.name
    pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", *part.paths]
    command = [
        sys.executable,
        "-m",
        "tests.lab",
        "boot",
        "--cgroup",
        part.cgroup,
        "--out",
        str(out),
        "--seconds",
        "600",
        "--",
        *pytest,
    ]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, errors="replace", check=False)
    code = done.returncode
    if code == 0 and " skipped" in done.stdout:
        code = 1
    print(f"--- {part.name} (exit {done.returncode})\n{done.stdout}{done.stderr}", flush=True)
    return part, code, time.monotonic() - began
