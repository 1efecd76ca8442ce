"""What the commands say when they can't do their work, and how they judge; with the tools themselves they run in CI."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.monitoring import panels, rules, run
from tests.monitoring.dashboard import Query
from tests.monitoring.panels import Answer, report
from tests.monitoring.prometheus import Prometheus, PrometheusError


def test_without_promtool_it_names_the_script_that_brings_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run.main() == 1
    assert "promtool is not installed: run `bash scripts/setup-debian.sh`" in capsys.readouterr().err


def test_a_check_that_fails_fails_all_and_is_shown_with_the_tool_s_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "results", lambda: [("one", True, "fine"), ("two", False, "line 3:\nbad")])
    assert run.main() == 1
    said = capsys.readouterr().out
    assert "passed  one\nFAILED  two\n    line 3:\n    bad\n1 passed, 1 failed\n" in said


def test_the_rules_are_written_as_promtool_reads_them(tmp_path: Path) -> None:
    full = yaml.safe_load(rules.write(tmp_path).read_text())
    bare = yaml.safe_load((tmp_path / "rules-bare.yaml").read_text())
    assert full == rules.spec()
    assert [r["expr"] for g in bare["groups"] for r in g["rules"]] == [r["expr"] for r in rules.alerts()]
    assert not any("annotations" in r for g in bare["groups"] for r in g["rules"])


def test_an_empty_panel_is_bad_unless_it_needs_other_exporters() -> None:
    own, others = Query("mine", "stat", "a", False), Query("theirs", "stat", "b", True)
    answers = [Answer(own, 1), Answer(own, 0), Answer(others, 0)]
    assert [answer.bad for answer in answers] == [False, True, False]
    assert "no data for panel 'mine': a" in report(answers)


class Mute(Prometheus):
    """Knows a NaN only."""

    def __init__(self) -> None:
        pass

    def query(self, expr: str) -> list[dict[str, object]]:
        return [{"metric": {}, "value": [0, "NaN"]}]


def test_nan_is_no_data() -> None:
    assert all(answer.series == 0 for answer in panels.ask(Mute()))


def test_an_address_that_is_no_url_is_said_to_be_none() -> None:
    with pytest.raises(PrometheusError, match="no URL of a metrics page"):
        Prometheus("nonsense")
