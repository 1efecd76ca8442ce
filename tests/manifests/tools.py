"""The programs that render: kubectl's kustomize, and Helm's own engine as a library. Both come with requirements/manifests.lock.

Gives objects, or ToolError with what the tool said. KUBECTL and HELM in the environment name other programs to try the manifests
with (HELM: the command line program, of Helm 3 or 4).
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from tests.manifests.objects import CHART, Object, parse

NAMESPACE = "oomward"
RELEASE = "oomward"
CHART_NAME = "oomward"
SET_UP = "`make manifests` sets it up, as `bash scripts/setup-venv.sh python3 .venv-manifests requirements/manifests.lock` does"

Values = dict[str, Any]


class ToolError(AssertionError):
    """A tool is missing, or refuses; the message is what it said."""


def kubectl() -> str:
    """The path of kubectl: KUBECTL's, or the one beside this Python."""
    named = os.environ.get("KUBECTL")
    path = Path(named) if named else Path(sys.executable).with_name("kubectl")
    if not os.access(path, os.X_OK):
        raise ToolError(f"there is no kubectl at {path}: {SET_UP}")
    return str(path)


def kustomize(folder: Path) -> list[Object]:
    """``kubectl kustomize FOLDER``."""
    return parse(_said(kubectl(), "kustomize", str(folder)), str(folder))


def helm(values: Values, namespace: str = NAMESPACE) -> list[Object]:
    """The chart's objects for these values, checked against its schema first, as ``helm template`` does."""
    if program := os.environ.get("HELM"):
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(values, file)
            file.flush()
            text = _said(program, "template", RELEASE, str(CHART), "--namespace", namespace, "--values", file.name)
        return parse(text, "the chart")
    rendered = _render(values, namespace)
    return [item for path, text in sorted(rendered.items()) if path.endswith(".yaml") for item in parse(text, path)]


def notes(values: Values) -> str:
    """What Helm prints after an installation."""
    return _render(values, NAMESPACE)[f"{CHART_NAME}/templates/NOTES.txt"]


def lint() -> list[str]:
    """What ``helm lint --strict`` complains of; empty: nothing."""
    library = _library()
    try:
        report = library.lint(CHART, strict=True)
    except library.HelmError as error:
        raise ToolError(str(error)) from error
    return [f"{m['path']}: {m['error']}" for m in report["messages"] if m["severity"] >= 2] + list(report["errors"])


def versions() -> str:
    """Which programs these are."""
    client = json.loads(_said(kubectl(), "version", "--client", "--output=json"))
    engine = os.environ.get("HELM") or f"Helm {_library().helm_sdk_version()}"
    return f"kubectl {client['clientVersion']['gitVersion']}, kustomize {client['kustomizeVersion']}, {engine}"


def helm_as_dependency(values: Values) -> list[Object]:
    """What a chart renders that depends on ours with the condition oomward.enabled."""
    library = _library()
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["version"]
    dependency = {"name": CHART_NAME, "version": version, "condition": f"{CHART_NAME}.enabled"}
    with tempfile.TemporaryDirectory(prefix="oomward-parent-") as folder:
        parent = {"apiVersion": "v2", "name": "parent", "version": "1.0.0", "dependencies": [dependency]}
        (Path(folder) / "Chart.yaml").write_text(yaml.safe_dump(parent))
        (Path(folder) / "charts").mkdir()
        try:
            library.package(CHART, destination=str(Path(folder) / "charts"))
            rendered = library.Chart.load(folder).render(values, name=RELEASE, namespace=NAMESPACE)
        except library.HelmError as error:
            raise ToolError(str(error)) from error
    return [item for path, text in sorted(rendered.items()) if path.endswith(".yaml") for item in parse(text, path)]


def _render(values: Values, namespace: str) -> dict[str, str]:
    """Each template's text. The chart is packed first, as for a registry: whoever pulls it has no links to follow."""
    library, chart = _library(), _packed_chart()
    try:
        chart.validate_schema(values)
        rendered: dict[str, str] = chart.render(values, name=RELEASE, namespace=namespace)
    except library.HelmError as error:
        raise ToolError(str(error)) from error
    return rendered


@functools.cache
def _packed_chart() -> Any:
    library = _library()
    with tempfile.TemporaryDirectory(prefix="oomward-chart-") as folder:
        try:
            return library.Chart.load(library.package(CHART, destination=folder))
        except library.HelmError as error:
            raise ToolError(str(error)) from error


def _library() -> Any:
    try:
        import helm_python
    except ImportError as error:
        raise ToolError(f"Helm's engine (the package helm-python-sdk) is not installed: {SET_UP}") from error
    return helm_python


def _said(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolError(f"{' '.join(command)}: {error}") from error
    if done.returncode != 0:
        raise ToolError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
