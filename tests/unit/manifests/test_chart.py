"""The chart's parts that need no Helm: version, schema against values and settings, links, and its table in the docs."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

from agent import __version__
from agent.settings import SETTINGS
from agent.settings.rules import RULE_KEYS, RULES_KEYS
from tests.manifests.objects import CHART, COMPONENTS, HELMS_LABELS, OVERLAYS, ROOT
from tests.manifests.schemas import OLDEST
from tests.manifests.values_table import rows, table

PAGE = ROOT / "docs" / "reference" / "manifests.md"
# Keys of the configuration file that follow from the pod: its mounts, probes and ports, its account.
THE_POD_S = {"nodeName", "kubeconfig", "cgroupMount", "kmsg", "stateDir", "listen", "nriSocket"}
# And those that name files, which the chart mounts none of.
FILES = {"tlsCert", "tlsKey", "tlsClientCa", "basicAuthFile"}
FREE = {"nodeAffinity", "podAffinity", "podAntiAffinity", "global"}  # Kubernetes' own structures, and Helm's own key


def values() -> Any:
    return yaml.safe_load((CHART / "values.yaml").read_text())


def schema() -> Any:
    return json.loads((CHART / "values.schema.json").read_text())


def test_the_chart_s_versions_are_the_agent_s() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)
    assert chart["kubeVersion"] == f">={OLDEST}.0-0"


def test_the_schema_knows_every_value_and_no_other() -> None:
    assert schema()["properties"].keys() - {"global"} == values().keys()
    for key, value in values().items():
        known = schema()["properties"][key].get("properties")
        if isinstance(value, dict) and value and known is not None:
            assert value.keys() <= known.keys(), key


def test_the_schema_is_strict_down_to_what_is_kubernetes_own() -> None:
    assert list(_loose("", schema())) == []


def _loose(path: str, part: Any) -> Any:
    """Where an object may have any key."""
    if part.get("type") == "object" and path.rpartition(".")[2] not in FREE:
        rest = part.get("additionalProperties")
        if rest is not False and not isinstance(rest, dict):
            yield path
    for key, below in part.get("properties", {}).items():
        yield from _loose(f"{path}.{key}", below)
    for below in (part.get("items"), *part.get("anyOf", [])):
        if below is not None:
            yield from _loose(path, below)


def test_the_schema_knows_the_agent_s_settings_but_those_that_follow_from_the_pod() -> None:
    config = schema()["properties"]["config"]["properties"]
    keys = {setting.key for setting in SETTINGS} - {"config"}
    assert keys >= THE_POD_S
    assert config.keys() == (keys - THE_POD_S - FILES) | RULES_KEYS.keys()
    assert config["rules"]["items"]["properties"].keys() == RULE_KEYS.keys()


def test_the_files_that_the_chart_shares_with_kustomize_are_links_within_the_manifests() -> None:
    for link in (CHART / "files").iterdir():
        assert link.is_symlink(), link
        assert link.resolve().is_relative_to(CHART.parent.resolve())
        assert link.resolve().is_file()


def test_every_value_is_documented_with_its_default() -> None:
    assert table() in PAGE.read_text(), "python -m tests.manifests.values_table prints the table as it has to be"
    documented = {path for path, _, _ in rows()}
    for key, value in values().items():
        below = {f"{key}.{part}" for part in value} if isinstance(value, dict) else set()
        assert key in documented or (below and below <= documented), key


def test_every_component_and_overlay_is_on_the_page_and_no_other() -> None:
    named = set(re.findall(r"`manifests/((?:components|overlays)/[a-z-]+)`", PAGE.read_text()))
    assert named == {str(path.relative_to(CHART.parent)) for path in (*COMPONENTS, *OVERLAYS)}


def test_helm_s_labels_are_named_on_the_page() -> None:
    text = PAGE.read_text()
    assert all(f"`{label}`" in text for label in HELMS_LABELS)
