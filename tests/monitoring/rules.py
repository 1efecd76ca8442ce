"""The alert rules of manifests/components/monitoring/ as plain rule files, which is what promtool and Prometheus read."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
COMPONENT = ROOT / "manifests" / "components" / "monitoring"
RULE = COMPONENT / "prometheusrule.yaml"


def spec() -> dict[str, Any]:
    """The PrometheusRule's spec."""
    made: dict[str, Any] = yaml.safe_load(RULE.read_text())["spec"]
    return made


def alerts() -> list[dict[str, Any]]:
    """Every alert, in the order of the file."""
    return [rule for group in spec()["groups"] for rule in group["rules"]]


def write(folder: Path) -> Path:
    """rules.yaml, and rules-bare.yaml without annotations, since promtool compares those word for word; returns the first."""
    full = spec()
    bare = copy.deepcopy(full)
    for group in bare["groups"]:
        for rule in group["rules"]:
            del rule["annotations"]
    for name, content in (("rules.yaml", full), ("rules-bare.yaml", bare)):
        (folder / name).write_text(yaml.safe_dump(content, sort_keys=False, width=1000))
    return folder / "rules.yaml"
