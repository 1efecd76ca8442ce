"""A mount of ordinary directories, and the room's own files and tree on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.cgroup.files import CgroupFiles
from agent.cgroup.tree import Tree


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    mount = tmp_path / "mount"
    mount.mkdir()
    return mount


@pytest.fixture
def files(mount: Path) -> Iterator[CgroupFiles]:
    files = CgroupFiles(mount, "v2", check_magic=False)
    yield files
    files.close()


@pytest.fixture
def tree(files: CgroupFiles) -> Iterator[Tree]:
    tree = Tree(files)
    yield tree
    tree.close()
