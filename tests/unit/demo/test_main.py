"""The demo as a command: its exit status, and that it needs nothing but what the agent needs to run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.demo import __main__ as demo
from tests.demo.facts import Result, to_json
from tests.demo.pods import PLAIN
from tests.lab import boot, runtime
from tests.unit.demo.results import result, with_row

ROOT = Path(__file__).parents[3]
IMPORTS = "import sys, tests.demo.__main__, tests.demo.inside, tests.demo.picture; print(*{n.split('.')[0] for n in sys.modules})"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """``main`` with a machine that reports this result and then ends with that exit status."""

    def run(found: Result | None, code: int = 0) -> int:
        def machine(command: object, *, sink: Callable[[bytes], None], **_: Any) -> int:
            if found is not None:
                sink(json.dumps({"what": "result", **to_json(found)}).encode())
            return code

        monkeypatch.setattr(runtime, "build_hog", lambda: None)
        monkeypatch.setattr(boot, "run", machine)
        return demo.main()

    monkeypatch.setattr(demo, "RESULT", tmp_path / "demo" / "result.json")
    monkeypatch.delenv("DEMO_SECONDS", raising=False)
    return run


def test_as_promised_it_ends_with_pass_and_status_0(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(result()) == 0
    assert capsys.readouterr().out.rstrip().splitlines()[-3].startswith("PASS: ")
    assert json.loads(demo.RESULT.read_text())["ok"] is True


@pytest.mark.parametrize(
    ("found", "code", "words"),
    [
        (with_row(PLAIN, restarts=0), 0, "FAIL: without-label was not restarted"),
        (result(), 3, "FAIL: the part on the kernel ended with exit status 3"),
        (None, 70, "FAIL: the demo ended before it had a result (exit status 70)"),
    ],
)
def test_anything_else_ends_with_what_it_was_and_status_1(
    found: Result | None, code: int, words: str, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(found, code) == 1
    out = capsys.readouterr().out
    assert out.rstrip().splitlines()[-1] == words
    assert "PASS" not in out


def test_less_than_15_s_is_too_short(
    run: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DEMO_SECONDS", "14")
    assert run(result()) == 2
    assert "at least 15" in capsys.readouterr().out


def test_it_imports_no_package_but_those_of_the_agent_itself() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTS], cwd=ROOT, capture_output=True, text=True, check=True)
    locked = re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements" / "test.lock").read_text(), re.MULTILINE)
    runs = re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements" / "run.lock").read_text(), re.MULTILINE)
    only_tests = {name.replace("-", "_") for name in locked} - {name.replace("-", "_") for name in runs}
    assert {"pytest", "hypothesis"} <= only_tests
    assert set(done.stdout.split()) & only_tests == set()
