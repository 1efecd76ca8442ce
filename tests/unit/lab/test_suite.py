"""The suite of all parts that need a kernel: what one part's end means."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.lab import suite
from tests.lab.boot import EXIT_NO_KERNEL, REPO


def run(tmp_path: Path, code: int, says: str = "1 passed") -> tuple[int, int]:
    """Run a part that ends with this code; what the suite makes of it, and how often it ran."""
    left = tmp_path / "runs"
    script = f"open({str(left)!r}, 'a').write('.'); print({says!r}); raise SystemExit({code})"
    _, found, _ = suite._run(suite.Part("some", (sys.executable, "-c", script)))
    return found, len(left.read_text())


@pytest.mark.parametrize("code", [0, 1, EXIT_NO_KERNEL])
def test_a_part_is_run_once_also_if_its_machine_ends_under_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], code: int
) -> None:
    assert run(tmp_path, code) == (code, 1)
    assert "1 passed" in capsys.readouterr().out


def test_a_part_that_skips_a_test_has_failed(tmp_path: Path) -> None:
    assert run(tmp_path, 0, "3 passed, 1 skipped") == (1, 1)


def test_every_file_of_kernel_tests_is_a_part() -> None:
    names = {part.name for part in suite.all_parts()}
    assert {path.stem for path in (REPO / "tests" / "kernel").glob("test_*.py")} | {"v1", "demo"} <= names


def test_every_file_of_systemd_tests_is_a_part_on_each_systemd() -> None:
    files = {path.stem for path in (REPO / "tests" / "systemd").glob("test_*.py")}
    names = {part.name for part in suite.systemd_parts()}
    assert names == {f"{file}_{release}" for file in files for release in ("trixie", "testing")} - {
        "test_starts_testing"
    }


def test_every_file_of_tests_that_need_psi_is_a_part_on_the_emulated_machine_and_in_all_tests() -> None:
    files = {path.stem for path in (REPO / "tests" / "kernel_psi").glob("test_*.py")}
    parts = suite.emulated_parts()
    assert files
    assert {part.name for part in parts} == {f"{file}_emulated" for file in files}
    assert all("boot-emulated" in part.command for part in parts)
    (everything,) = [line for line in (REPO / "Makefile").read_text().splitlines() if "STARTS=60" in line]
    assert " emulated " in everything


def test_the_parts_named_to_be_first_are_there() -> None:
    assert set(suite.LONGEST) <= {part.name for part in suite.all_parts()}


def test_each_change_is_tried_on_every_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest, the distribution's own, and that one with cgroup v1."""
    kernel = tmp_path / "linux.uml"
    kernel.touch()
    monkeypatch.setattr("tests.lab.uml.NEWER", kernel)
    seen = {
        (part.command[part.command.index("--cgroup") + 1], dict(part.environment).get("OOMWARD_LAB_KERNEL"))
        for part in suite.quick_parts()
    }
    assert seen == {("v2", None), ("v2", "distribution"), ("v1", None)}
