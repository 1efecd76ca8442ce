"""The overlay of docs/howto/recover.md, as a reader puts it together: does it render, with the policy that it names?"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.manifests.objects import ROOT
from tests.manifests.tools import kustomize

PAGE = ROOT / "docs" / "howto" / "recover.md"
POLICY = "dryRun: false"


def recover_overlay() -> Iterator[str]:
    """What is wrong with it."""
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    overlay, patches = (next(one for one in blocks if start in one) for start in ("kind: Kustomization", "patches:"))
    with tempfile.TemporaryDirectory(prefix="oomward-howto-") as folder:
        shutil.copytree(ROOT / "manifests", Path(folder) / "manifests")
        mine = Path(folder) / "manifests" / "overlays" / "mine"
        mine.mkdir()
        (mine / "kustomization.yaml").write_text(overlay + patches)
        found = [one for one in kustomize(mine) if one["metadata"]["name"] == "oomward-recover-policy"]
    if [one["data"]["recover.yaml"].strip() for one in found] != [POLICY]:
        yield f"the policy is not {POLICY}: {found}"
