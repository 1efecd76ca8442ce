"""The chart's parts that need no Helm: version, schema against values and settings, links, and its table in the docs."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

from agent import __version__
from agent.settings import SETTINGS
from agent.settings.rules import RULE_KEYS, RULES_KEYS
from tests.manifests.cases import CASES
from tests.manifests.effects import RENDERED, values_set
from tests.manifests.objects import CHART, COMPONENTS, HELMS_LABELS, OVERLAYS, ROOT
from tests.manifests.schemas import OLDEST
from tests.manifests.values_table import PAGES, rows, table

PAGE = ROOT / "docs" / "reference" / "manifests.md"
# Keys of the configuration file that follow from the pod: its mounts, probes and ports, its account.
THE_POD_S = {"nodeName", "kubeconfig", "cgroupMount", "kmsg", "stateDir", "listen", "nriSocket"}
# And those that name files, which the chart mounts none of.
FILES = {"tlsCert", "tlsKey", "tlsClientCa", "basicAuthFile"}
# Kubernetes' own structures, and Helm's own key.
FREE = {"nodeAffinity", "podAffinity", "podAntiAffinity", "global", "ipBlock", "namespaceSelector", "podSelector"}


def values() -> Any:
    return yaml.safe_load((CHART / "values.yaml").read_text())


def schema() -> Any:
    return json.loads((CHART / "values.schema.json").read_text())


def test_the_chart_s_versions_are_the_agent_s() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)
    assert chart["kubeVersion"] == f">={OLDEST}.0-0"


def test_the_schema_knows_every_value_and_no_other() -> None:
    assert schema()["properties"].keys() == values().keys()
    for key, value in values().items():
        known = schema()["properties"][key].get("properties")
        if isinstance(value, dict) and value and known is not None:
            assert value.keys() <= known.keys(), key


def test_the_schema_is_strict_down_to_what_is_kubernetes_own() -> None:
    assert list(_loose("", schema())) == []


def _loose(path: str, part: Any) -> Any:
    """Where an object may have any key, and does not say so."""
    is_loose = part.get("type") == "object" and part.get("additionalProperties") is None
    if is_loose and path.rpartition(".")[2] not in FREE:
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


def test_artifact_hub_finds_what_it_shows() -> None:
    """https://artifacthub.io/docs/topics/annotations/helm/ : YAML in strings."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["icon"].startswith("https://")
    assert (ROOT / chart["icon"].partition("/main/")[2]).is_file()
    assert all(one.keys() >= {"name", "url"} for one in chart["maintainers"])
    notes = chart["annotations"]
    (image,) = yaml.safe_load(notes["artifacthub.io/images"])
    assert image["image"] == f"ghcr.io/oomward/oomward:{__version__}"
    assert set(image["platforms"]) == {"linux/amd64", "linux/arm64"}
    assert notes["artifacthub.io/license"] == "Apache-2.0"
    for link in yaml.safe_load(notes["artifacthub.io/links"]):
        assert (ROOT / link["url"].partition("/main/")[2]).exists(), link


def test_the_chart_s_readme_has_the_values_and_commands_that_the_page_has() -> None:
    readme, page = (CHART / "README.md").read_text(), PAGE.read_text()
    for command in (
        "kubectl label namespace oomward pod-security.kubernetes.io/enforce=privileged",
        "helm test oomward",
    ):
        assert command in readme
        assert command in page
    assert not re.findall(r"\]\((?!https:)", readme), "Artifact Hub follows no link into the repository"


def test_every_value_has_a_test_that_renders_it() -> None:
    """And the value changes what is rendered: effects.idle."""
    tested = set().union(*(values_set(one) for one in RENDERED))
    assert {path for path, _, _ in rows()} - tested == set()


def test_only_a_change_of_what_needs_a_restart_is_in_the_checksum() -> None:
    left_out = re.search(r"omit \.Values\.config ([^}]*?) -?}}", (CHART / "templates" / "_pod.tpl").read_text())
    assert left_out is not None
    assert set(re.findall(r'"(\w+)"', left_out[1])) == set(RULES_KEYS)


def test_every_value_is_documented_with_its_default() -> None:
    for page in PAGES:
        assert table() in page.read_text(), "python -m tests.manifests.values_table writes the table"
    documented = {path for path, _, _ in rows()}
    leaves = {path for path in values_set(values()) if not any(path.startswith(f"{one}.") for one in documented)}
    assert {path for path in leaves - documented if not any(one.startswith(f"{path}.") for one in documented)} == set()


def test_every_component_and_overlay_is_on_the_page_and_no_other() -> None:
    named = set(re.findall(r"`manifests/((?:components|overlays)/[a-z-]+)`", PAGE.read_text()))
    assert named == {str(path.relative_to(CHART.parent)) for path in (*COMPONENTS, *OVERLAYS)}


def test_every_component_is_rendered_by_both_and_compared() -> None:
    compared = {component for case in CASES for component in case.components}
    assert compared == {path.name for path in COMPONENTS}


def test_helm_s_labels_are_named_on_the_page() -> None:
    text = PAGE.read_text()
    assert all(f"`{label}`" in text for label in HELMS_LABELS)
