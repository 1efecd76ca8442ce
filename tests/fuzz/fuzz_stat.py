"""Fuzz target for the memory by kind: the first line as the size beside memory.stat (v2: swap, v1: kernel), the rest as memory.stat."""

from __future__ import annotations

from dataclasses import fields

from agent.cgroup.files import CgroupError, CgroupFiles
from agent.cgroup.layout import classify
from agent.model import Cgroup, MemoryUse
from agent.wording.filled import kind_of, memory_text
from tests.fuzz.mount import LIKE_V2

NAME = "kubepods.slice"
FOLDER = LIKE_V2 / NAME
FOLDER.mkdir()
CGROUP = Cgroup(classify(NAME), FOLDER.stat().st_ino)
BESIDE = {"v2": "memory.swap.current", "v1": "memory.kmem.usage_in_bytes"}


def check(data: bytes) -> None:
    """For both versions sizes of which none is negative and which can be put into words, or a CgroupError.

    The kernel writes ASCII, and a size is a number or ``max``.
    """
    beside, _, stat = data.partition(b"\n")
    (FOLDER / "memory.stat").write_text(stat.decode("ascii", "replace"), encoding="ascii", errors="replace")
    beside = beside[:20] if beside.isdigit() else b"max"
    for version, file in BESIDE.items():
        (FOLDER / file).write_bytes(beside)
        files = CgroupFiles(LIKE_V2, version, check_magic=False)
        try:
            use = files.memory_use(CGROUP)
        except CgroupError as error:
            if not str(error):
                raise AssertionError("it does not say what is wrong") from error
            continue
        finally:
            files.close()
        if not isinstance(use, MemoryUse):
            raise AssertionError(f"{use} though it is there")
        _check(use)


def _check(use: MemoryUse) -> None:
    sizes = [getattr(use, field.name) for field in fields(use) if field.name != "by_report"]
    if use.by_report or any(size is not None and size < 0 for size in sizes):
        raise AssertionError(f"no memory of a cgroup: {use}")
    kind = kind_of(use, 1 << 28)
    if not memory_text(use).isprintable() or (kind is not None and not any(sizes) and not kind.value):
        raise AssertionError(f"no words: {use}")
