"""Where the page is written: all of it or nothing, never in place of what is no file, and an error says what to do."""

from __future__ import annotations

import os
from io import StringIO
from pathlib import Path

import pytest

from agent.model import AgentError
from agent.report.writing import write


def test_a_file_is_written_readable_by_others_as_the_umask_says(tmp_path: Path) -> None:
    write("<p>→</p>", str(tmp_path / "page.html"), StringIO())
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == "<p>→</p>"
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / "page.html").stat().st_mode & 0o777 == 0o666 & ~mask
    assert os.listdir(tmp_path) == ["page.html"]


def test_a_file_that_is_there_is_replaced_and_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("old")
    (tmp_path / "link").symlink_to("page.html")
    write("new", str(tmp_path / "link"), StringIO())
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "page.html").read_text() == "new"


@pytest.mark.parametrize(
    ("where", "why"),
    [
        ("", "it is a directory"),
        ("fifo", "it is not an ordinary file"),
        ("missing/page.html", "No such file or directory"),
        ("loop", ""),
        ("x" * 300, "File name too long"),
        ("nul\0", ""),
    ],
)
def test_what_can_not_be_written_is_said_with_what_to_do(where: str, why: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(
        AgentError, match="give the name of a file that can be written, or - for standard output"
    ) as error:
        write("new", f"{tmp_path}/{where}", StringIO())
    assert why in str(error.value)
    assert sorted(os.listdir(tmp_path)) == ["fifo", "loop"]


def test_what_fails_in_the_middle_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "page.html").write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(AgentError, match="No space left on device"):
        write("new", str(tmp_path / "page.html"), StringIO())
    assert (tmp_path / "page.html").read_text() == "old"
    assert os.listdir(tmp_path) == ["page.html"]


def test_on_standard_output_every_character_is_ascii() -> None:
    file = StringIO()
    write("4Gi → 5Gi", "-", file)
    assert file.getvalue() == "4Gi &#8594; 5Gi"
