"""Where there is no kernel for the lab, or one that does not run, the error says what to do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.lab import uml


def kernel(path: Path, version: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n[ $1 = --version ] && echo {version}\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def distributions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.delenv("OOMWARD_LAB_KERNEL", raising=False)
    monkeypatch.setattr(uml, "NEWER", tmp_path / "build" / "linux.uml")
    return kernel(tmp_path / "bin" / "linux.uml", "6.1.176")


def test_without_any_it_says_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(uml, "NEWER", tmp_path / "none")
    with pytest.raises(uml.NoKernelError, match=r"Run: bash scripts/setup-debian\.sh"):
        uml.program("v2")


@pytest.mark.parametrize("text", ["#!/nonexistent/loader\n", "#!/bin/sh\nexit 1\n"])
def test_one_that_does_not_run_is_named_with_what_to_do(distributions: str, text: str) -> None:
    kernel(uml.NEWER, "7.2.7")
    uml.NEWER.write_text(text)
    with pytest.raises(uml.NoKernelError, match=r"build.linux\.uml does not run here .* Remove build/uml"):
        uml.program("v2")
