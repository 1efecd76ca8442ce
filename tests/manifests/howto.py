"""The overlays of pages in docs/howto/, as a reader puts them together: do they render, with what the page says?"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.manifests.objects import ROOT, Object
from tests.manifests.tools import kustomize

PAGES = ROOT / "docs" / "howto"
POLICY = "dryRun: false"
SEVERITIES = {"OomwardContainerOOMKilled": "critical", "OomwardAgentDown": "info"}
MONITORING = """apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [../../base]
components: [../../components/monitoring]
"""


def recover_overlay() -> Iterator[str]:
    """What is wrong with that of recover.md."""
    found = [
        one
        for one in _rendered(_block("recover.md", "kind: Kustomization") + _block("recover.md", "patches:"))
        if one["metadata"]["name"] == "oomward-recover-policy"
    ]
    if [one["data"]["recover.yaml"].strip() for one in found] != [POLICY]:
        yield f"the policy is not {POLICY}: {found}"


def severities() -> Iterator[str]:
    """What is wrong with the patch of alert.md."""
    (rule,) = (one for one in _rendered(MONITORING + _block("alert.md", "patches:")) if one["kind"] == "PrometheusRule")
    for group in rule["spec"]["groups"]:
        for alert in group["rules"]:
            wanted = SEVERITIES.get(alert["alert"])
            found = alert["labels"]["severity"]
            if found != wanted if wanted else found not in ("info", "warning"):
                yield f"{alert['alert']} has the severity {found}"


def _block(page: str, start: str) -> str:
    blocks = re.findall(r"```yaml\n(.*?)```", (PAGES / page).read_text(), re.DOTALL)
    return str(next(one for one in blocks if start in one))


def _rendered(kustomization: str) -> list[Object]:
    with tempfile.TemporaryDirectory(prefix="oomward-howto-") as folder:
        shutil.copytree(ROOT / "manifests", Path(folder) / "manifests")
        mine = Path(folder) / "manifests" / "overlays" / "mine"
        mine.mkdir()
        (mine / "kustomization.yaml").write_text(kustomization)
        return kustomize(mine)
