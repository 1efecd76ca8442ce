"""Unit files and drop-ins are read as systemd reads them: each row was compared with systemd 257 and 262 (tests/systemd)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.runtime.unit_files import LARGEST_BYTES, NodeFiles, assignments, names_of_drop_ins

COUNTS = [
    "[Scope]\nOOMPolicy=continue\n",
    "[Scope]\nOOMPolicy = continue  \n",
    "[Scope]\n  OOMPolicy=continue",
    "[Scope]\nOOMPolicy=\\\n  continue\n",
    "[Scope]\nOOMPolicy=\\\n# comment\n  continue\n",
    "[Scope]\r\nOOMPolicy=continue\r\n",
    "[Scope]\rOOMPolicy=continue\r",
    " [Scope] \nOOMPolicy=continue\n",
    "\ufeff[Scope]\nOOMPolicy=continue\n",
    "[Scope]\nfoo bar\nOOMPolicy=continue\n",
    "[Scope]\nOOMPolicy=continue\n[Scope\n",
    "[Scope]\nOOMPolicy=continue\nbroken\udcff\n",
    "[Scope]\n# \udcff\nOOMPolicy=continue\n",
    "[Scope]\n\ufffd=1\nOOMPolicy=continue\n",
    "[Scope]\n# c\\\nOOMPolicy=continue\n",
    "[Scope]\nX=a\\\\\nOOMPolicy=continue\n",
    "[Scope]\nOOMPolicy=continue\\",
    "[Scope]\nOOMPolicy=continue\\\n\n",
    "[Scope]\nOOMPolicy=continue\0\n",
]
DOES_NOT_COUNT = [
    "",
    "OOMPolicy=continue\n",
    "[Scope\nOOMPolicy=continue\n",
    "[scope]\nOOMPolicy=continue\n",
    "[ Scope ]\nOOMPolicy=continue\n",
    "[Service]\nOOMPolicy=continue\n",
    "[Scope]\n[Unit]\nOOMPolicy=continue\n",
    "[Scope]\noompolicy=continue\n",
    "[Scope]\n;OOMPolicy=continue\n",
    "[Scope]\nOOMPolicy=con\\\ntinue\n",
    "[Scope]\nOOMPolicy=continue # x\n",
    '[Scope]\nOOMPolicy="continue"\n',
    "[Scope]\nOOMPolicy=continue\\\\\n",
    "[Scope]\nX=a\\\nOOMPolicy=continue\n",
    "[Scope]\nbroken\udcff\nOOMPolicy=continue\n",
    "[Scope]\n\fOOMPolicy=continue\n",
]


@pytest.mark.parametrize("text", COUNTS)
def test_this_assignment_counts(text: str) -> None:
    assert ("OOMPolicy", "continue") in list(assignments(text, "Scope"))


@pytest.mark.parametrize("text", DOES_NOT_COUNT)
def test_this_assignment_does_not_count(text: str) -> None:
    assert ("OOMPolicy", "continue") not in list(assignments(text, "Scope"))


def test_all_assignments_come_in_order() -> None:
    text = "[Scope]\nA=1\nB=2\n[Unit]\nC=3\n[Scope]\nA=\n"
    assert list(assignments(text, "Scope")) == [("A", "1"), ("B", "2"), ("A", "")]


@given(st.text(), st.text())
def test_no_text_is_an_error_and_what_comes_before_a_file_s_end_is_read_whatever_follows(
    first: str, second: str
) -> None:
    list(assignments(first + second, "Scope"))
    assert list(assignments("[Scope]\nA=1\n" + first, "Scope"))[:1] == [("A", "1")]


@pytest.mark.parametrize(
    ("unit", "folders"),
    [
        ("a.scope", ["a.scope.d"]),
        ("a-b-c.scope", ["a-b-c.scope.d", "a-b-.scope.d", "a-.scope.d"]),
        ("cri-containerd--u.scope", ["cri-containerd--u.scope.d", "cri-containerd--.scope.d", "cri-containerd-.scope.d", "cri-.scope.d"]),
        ("a.b-c.scope", ["a.b-c.scope.d", "a.b-.scope.d"]),
        ("-a.scope", ["-a.scope.d"]),
    ],
)  # fmt: skip
def test_a_unit_has_a_folder_for_each_dash_of_its_name(unit: str, folders: list[str]) -> None:
    assert names_of_drop_ins(unit) == folders


@pytest.fixture
def node(tmp_path: Path) -> NodeFiles:
    (tmp_path / "root" / "etc").mkdir(parents=True)
    (tmp_path / "secret").write_text("outside")
    return NodeFiles(tmp_path / "root")


@pytest.mark.parametrize("target", ["/../secret", "../../secret", "../../../../../secret", "/etc/../../secret"])
def test_no_link_leads_out_of_the_node_s_root(node: NodeFiles, target: str) -> None:
    (node.root / "etc" / "x.conf").symlink_to(target)
    assert node.read("/etc/x.conf") is None


def test_an_absolute_link_is_followed_from_the_node_s_root(node: NodeFiles) -> None:
    (node.root / "real").mkdir()
    (node.root / "real" / "x.conf").write_text("inside")
    (node.root / "etc" / "d").symlink_to("/real")
    (node.root / "etc" / "x.conf").symlink_to("/etc/d/x.conf")
    file = node.read("/etc/x.conf")
    assert file is not None
    assert file.text == "inside"


def test_a_circle_of_links_is_no_file(node: NodeFiles) -> None:
    (node.root / "etc" / "a").symlink_to("b")
    (node.root / "etc" / "b").symlink_to("a")
    assert node.read("/etc/a/x") is None
    assert node.names("/etc/a") == []
    assert node.changed_ns("/etc/a") is None


def test_a_fifo_a_folder_and_a_huge_file_are_no_files_and_nothing_waits(node: NodeFiles) -> None:
    os.mkfifo(node.root / "etc" / "fifo")
    (node.root / "etc" / "folder").mkdir()
    (node.root / "etc" / "huge").write_bytes(b"x" * (LARGEST_BYTES + 1))
    assert [node.read(f"/etc/{name}") for name in ("fifo", "folder", "huge", "none")] == [None] * 4


def test_of_drop_ins_with_one_name_the_first_folder_s_counts_and_all_are_ordered_by_name(node: NodeFiles) -> None:
    for folder, names in (
        ("a", ("20-x.conf", "30-y.conf")),
        ("b", ("10-z.conf", "20-x.conf", ".hidden.conf", "note.txt")),
    ):
        (node.root / folder).mkdir()
        for name in names:
            (node.root / folder / name).write_text(folder)
    files = node.drop_ins(("/a", "/none", "/b"))
    assert [(file.path, file.text) for file in files] == [
        ("/b/10-z.conf", "b"),
        ("/a/20-x.conf", "a"),
        ("/a/30-y.conf", "a"),
    ]


def test_a_link_to_a_device_masks_a_file_of_the_same_name(node: NodeFiles) -> None:
    (node.root / "dev").mkdir()
    for folder in ("a", "b"):
        (node.root / folder).mkdir()
    (node.root / "b" / "x.conf").write_text("masked")
    (node.root / "a" / "x.conf").symlink_to("/dev/null")
    (node.root / "dev" / "null").write_text("")
    assert [file.text for file in node.drop_ins(("/a", "/b"))] == [""]
