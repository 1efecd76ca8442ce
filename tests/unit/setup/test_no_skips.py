"""A check that does not run is no check: tests/conftest.py."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.docs.pages import ROOT


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ('def test_it(): pytest.skip("no kubectl")', "no kubectl"),
        ('@pytest.mark.skipif(True, reason="no IPv6")\ndef test_it(): pass', "no IPv6"),
        ('pytest.importorskip("no_such_module")\ndef test_it(): pass', "no_such_module"),
        ('@pytest.mark.parametrize("one", [])\ndef test_it(one): pass', "empty parameter set"),
    ],
)
def test_what_is_skipped_has_failed(code: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "test_one.py").write_text(f"import pytest\n{code}\n")
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tests.conftest", "test_one.py"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode != 0
    assert "no test may be skipped" in done.stdout
    assert reason in done.stdout
