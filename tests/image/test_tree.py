"""The image's tree as it lies there: what is in it, and what is not. Starting it needs a kernel: tests/kernel/test_image.py."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import __version__
from tests.lab.agent_container import TREE
from tests.unit.image.dockerfile import ROOT

LARGEST_BYTES = 110_000_000  # with an interpreter that still has its debugging symbols; what it is: docs/image.md
TOOLS = (
    "sh",
    "bash",
    "dash",
    "busybox",
    "apt",
    "apt-get",
    "dpkg",
    "pip",
    "pip3",
    "uv",
    "cc",
    "gcc",
    "ld",
    "make",
    "perl",
    "curl",
    "wget",
)


def files() -> Iterator[Path]:
    for path in TREE.rglob("*"):
        if path.is_file() and not path.is_symlink():
            yield path


@pytest.fixture(scope="module", autouse=True)
def tree() -> None:
    if not (TREE / "usr/local/bin/oomward").exists():
        pytest.fail(f"there is no image's tree at {TREE}: run `make image-here`", pytrace=False)


def test_there_are_two_programs_in_it() -> None:
    """The interpreter, and oomward, which it runs."""
    executables = {path for path in files() if path.stat().st_mode & 0o111 and ".so" not in path.name}
    programs = {path for path in executables if path.parent.name in ("bin", "sbin")}
    assert {re.sub(r"3\.\d+", "3", path.name) for path in programs} == {"python3", "oomward"}
    assert not [path for path in files() if path.name in TOOLS]


def test_there_is_neither_pip_nor_anything_to_install_or_compile_with() -> None:
    folders = {path.name for path in TREE.rglob("*") if path.is_dir()}
    assert not folders & {"pip", "ensurepip", "setuptools", "include", "idlelib", "tkinter", "test", "tests", "venv"}
    assert not [path for path in files() if path.suffix in (".whl", ".a", ".h", ".c", ".pyx")]


def test_nobody_but_root_may_write_to_it_and_nothing_gives_more_rights() -> None:
    loose = [
        path
        for path in TREE.rglob("*")
        if not path.is_symlink() and path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    ]
    assert loose == []
    assert not [path for path in files() if path.stat().st_mode & (stat.S_ISUID | stat.S_ISGID)]
    assert not [path for path in files() if not path.stat().st_mode & stat.S_IROTH]


def test_every_module_is_compiled_and_its_bytecode_is_believed_unseen() -> None:
    missing = []
    for source in (path for path in files() if path.suffix == ".py"):
        compiled = list((source.parent / "__pycache__").glob(f"{source.stem}.cpython-*.pyc"))
        # PEP 552: the flags 0b01 say that it is bound to its source's hash, and that nobody looks.
        if not compiled or int.from_bytes(compiled[0].read_bytes()[4:8], "little") != 1:
            missing.append(source)
    assert missing == []


def test_no_path_of_the_builder_is_in_the_bytecode() -> None:
    needle = str(TREE).encode()
    assert not [path for path in files() if path.suffix == ".pyc" and needle in path.read_bytes()]


def test_all_of_the_agent_is_in_it_and_of_the_client_only_what_it_loads() -> None:
    (ours,) = TREE.rglob("agent/run.py")
    packed = {str(path.relative_to(ours.parent)) for path in ours.parent.rglob("*.py")}
    assert packed == {str(path.relative_to(ROOT / "agent")) for path in (ROOT / "agent").rglob("*.py")}
    client = ours.parents[1] / "kubernetes"
    assert [path.name for path in (client / "client" / "models").glob("*.py")] == ["__init__.py"]
    assert not (client / "client" / "api").exists()
    assert sum(path.stat().st_size for path in client.rglob("*") if path.is_file()) < 2_000_000


def test_each_package_is_the_locked_one() -> None:
    locked = (ROOT / "requirements" / "run.lock").read_text()
    items = json.loads((TREE / "usr/share/oomward/installed.json").read_text())
    assert len(items) == len(re.findall(r"^\S+==", locked, re.MULTILINE))
    for item in items:
        assert f"sha256:{item['sha256']}" in locked


def test_it_is_as_small_as_the_docs_say() -> None:
    assert sum(path.stat().st_size for path in files()) < LARGEST_BYTES


def test_its_version_is_this_one() -> None:
    assert [path.name for path in TREE.rglob("oomward-*.dist-info")] == [f"oomward-{__version__}.dist-info"]
