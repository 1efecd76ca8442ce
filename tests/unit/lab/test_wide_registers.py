"""An older User-Mode Linux is told less about registers than a new processor has: what is preloaded into it adds the rest."""

from __future__ import annotations

from pathlib import Path

from tests.lab.machine import preloaded
from tests.lab.uml import BY_SECCOMP


def test_only_a_kernel_that_runs_processes_by_ptrace_gets_it() -> None:
    assert preloaded(("linux.uml", BY_SECCOMP)) == {}
    assert Path(preloaded(("linux.uml",))["LD_PRELOAD"]).exists()
