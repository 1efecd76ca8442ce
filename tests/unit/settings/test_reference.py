"""docs/reference/configuration.md says what the code does: every setting and key is there, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent.model import Mode
from agent.settings import SETTINGS, load
from agent.settings.rules import RULE_KEYS, RULES_KEYS

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "configuration.md"


@pytest.fixture(scope="module")
def page() -> str:
    return PAGE.read_text(encoding="utf-8")


def table_below(page: str, heading: str) -> list[tuple[str, ...]]:
    """The rows of the first table below a heading, without its head."""
    section = page.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line.strip("|").split(" | ") for line in section.splitlines() if line.startswith("|")]
    return [tuple(cell.strip() for cell in row) for row in rows[2:]]


def test_the_table_of_settings_is_that_of_the_code(page: str) -> None:
    expected = [
        (
            f"`{s.key}`",
            f"`{s.flag}`",
            f"`{s.variable}`",
            s.takes,
            s.default_text,
            s.help,
        )
        for s in SETTINGS
    ]
    assert table_below(page, "Settings") == expected


def test_the_keys_of_the_rules_are_those_of_the_code(page: str) -> None:
    assert table_below(page, "Rules") == [(f"`{key}`", text) for key, text in RULES_KEYS.items()]
    assert table_below(page, "One rule") == [(f"`{key}`", text) for key, (_, text) in RULE_KEYS.items()]


def test_the_example_of_the_page_is_a_configuration(page: str, tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    config = tmp_path / "config.yaml"
    config.write_text(example, encoding="utf-8")
    settings = load({"config": str(config)}, {"NODE_NAME": "node-1"})
    assert [rule.mode for rule in settings.rules.rules] == [None, Mode.SINGLE, Mode.GROUP]
    assert settings.rules.ignore_labels_in == ("kube-*",)
    assert settings.log_level == "debug"


def test_the_errors_of_the_page_are_those_of_the_code(page: str, tmp_path: Path) -> None:
    (shown,) = re.findall(r"```text\n(.*?)```", page, re.DOTALL)
    config = tmp_path / "config.yaml"
    config.write_text("logLevl: debug\nrules:\n- name: web\n  mode: singel\n- mode: group\n  selector: 'tier in web'\n")
    with pytest.raises(ValueError, match="logLevl") as caught:
        load({"config": str(config)}, {"NODE_NAME": "node-1"})
    assert shown.strip() == str(caught.value).replace(str(config), "/etc/oomward/config.yaml")
