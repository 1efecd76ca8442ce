"""How a process was started, from /proc, and no more of it than is bounded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from agent.kernel.command_lines import CUT, MOST_ARGUMENTS, MOST_BYTES, arguments, resident_bytes
from agent.kernel.processes import process


def with_line(folder: Path, line: bytes) -> Path:
    (folder / "7").mkdir()
    (folder / "7" / "cmdline").write_bytes(line)
    return folder


def test_arguments_and_size_of_a_running_process_are_the_kernels() -> None:
    program = [sys.executable, "-c", "print(flush=True); input()", "a b", ""]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()  # during exec(2) a process has no arguments for a moment
        assert arguments(child.pid) == program[:-1], "empty ones at the end are padding of a title, too"
        assert resident_bytes(child.pid) > 0
        found = process(child.pid)
        assert found is not None
        assert (found.parent, found.ends) == (os.getpid(), False)
        child.communicate(b"\n")
    assert (arguments(child.pid), resident_bytes(child.pid), process(child.pid)) == ([], 0, None)


def test_a_kernel_thread_and_a_dying_process_have_none(tmp_path: Path) -> None:
    assert arguments(7, with_line(tmp_path, b"")) == []


def test_an_argument_that_is_not_read_to_its_end_is_not_given(tmp_path: Path) -> None:
    assert arguments(7, with_line(tmp_path, b"a\0b\0" + b"c" * MOST_BYTES)) == ["a", "b", CUT]


def test_one_that_ends_exactly_at_the_bound_is(tmp_path: Path) -> None:
    line = b"a\0" + b"b" * (MOST_BYTES - 3) + b"\0"
    assert arguments(7, with_line(tmp_path, line + b"c\0")) == ["a", "b" * (MOST_BYTES - 3)]


def test_very_many_arguments_are_cut(tmp_path: Path) -> None:
    assert arguments(7, with_line(tmp_path, b"a\0" * 500)) == ["a"] * MOST_ARGUMENTS + [CUT]


def test_a_title_without_a_nul_is_one_argument(tmp_path: Path) -> None:
    assert arguments(7, with_line(tmp_path, b"postgres: writer" + b"\0" * 40)) == ["postgres: writer"]


def test_bytes_that_are_no_text_are_escaped(tmp_path: Path) -> None:
    assert arguments(7, with_line(tmp_path, b"\xff\0\n\0")) == ["\\xff", "\n"]
