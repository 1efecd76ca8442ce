"""The dashboard of manifests/components/monitoring/: its panels' queries, as Prometheus gets them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tests.monitoring.rules import COMPONENT

DASHBOARD = COMPONENT / "dashboard.json"
OTHERS = "Needs other exporters: "  # how the description of a panel begins that oomward alone can't fill
# What Grafana puts in place of a variable with "All" chosen, and windows that hold all of a short life.
VARIABLES = dict.fromkeys(("$cluster", "$node", "$namespace", "$workload"), ".*") | {
    "$__rate_interval": "10m",
    "$__range": "10m",
}


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel, with Grafana's variables in it."""

    panel: str
    kind: str
    expr: str
    needs_others: bool

    def filled(self, **chosen: str) -> str:
        """With everything chosen, but for the variables that are ``chosen``."""
        return fill(self.expr, **chosen)


def fill(text: str, **chosen: str) -> str:
    """A query with values in place of Grafana's variables."""
    values = VARIABLES | {f"${name}": value for name, value in chosen.items()}
    for name in sorted(values, key=len, reverse=True):
        text = text.replace(name, values[name])
    return text


def variables() -> dict[str, dict[str, Any]]:
    """The variables that a reader chooses from, by name."""
    return {one["name"]: one for one in load()["templating"]["list"]}


def load() -> dict[str, Any]:
    """The dashboard as it is written."""
    made: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return made


def panels() -> list[dict[str, Any]]:
    """Every panel but the headings of rows, also those in collapsed rows."""
    found: list[dict[str, Any]] = []
    for panel in load()["panels"]:
        found += panel.get("panels", []) if panel["type"] == "row" else [panel]
    return found


def queries() -> list[Query]:
    """Every query of every panel."""
    return [
        Query(panel["title"], panel["type"], target["expr"], panel.get("description", "").startswith(OTHERS))
        for panel in panels()
        for target in panel["targets"]
    ]
