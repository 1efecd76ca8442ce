"""``python -m tests.demo``: boots a kernel, shows the pods on it, and checks the result. Exit status 0: PASS, 1: FAIL, 2: not run."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from rich.console import Console

from tests.demo.facts import to_json
from tests.demo.judge import failures
from tests.demo.pods import WHAT
from tests.demo.screen import Screen
from tests.demo.summary import introduction, listed, summary, verdict
from tests.lab import boot, runtime

RESULT = boot.REPO / "build" / "demo" / "result.json"
LEAST_SECONDS = 15.0
BOOTED_KERNEL = "Booting a Linux kernel as a program; no cluster, no container engine and no virtual machine is needed"
OWN_KERNEL = "Starting on this machine's own Linux kernel; no cluster and no container engine is needed"


def main() -> int:
    """Exit status 0 only if the demo passes."""
    console = Console(highlight=False)
    seconds = float(os.environ.get("DEMO_SECONDS", "60"))
    if seconds < LEAST_SECONDS:
        console.print(f"DEMO_SECONDS={seconds:.0f} is too short to show anything: at least {LEAST_SECONDS:.0f}")
        return 2
    introduction(console)
    console.print()
    listed(console, WHAT)
    console.print()
    with Screen(console) as screen:
        screen.phase(OWN_KERNEL if boot.host_will_do("v2") else BOOTED_KERNEL)
        runtime.build_hog()
        command = [sys.executable, "-m", "tests.demo.inside"]
        code = boot.run(command, out=boot.REPO / "build" / "lab" / "demo", timeout_s=seconds + 180, sink=screen.take)
    console.print()
    if screen.result is None:
        console.print(f"FAIL: the demo ended before it had a result (exit status {code})")
        return 1
    wrong = failures(screen.result) + ([f"the part on the kernel ended with exit status {code}"] if code else [])
    summary(console, screen.result)
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps({**to_json(screen.result), "ok": not wrong, "failures": wrong}, indent=2) + "\n")
    console.print(
        f"The result as JSON: {RESULT.relative_to(Path.cwd()) if RESULT.is_relative_to(Path.cwd()) else RESULT}"
    )
    console.print()
    verdict(console, screen.result, wrong)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
