"""The programs of scripts/release, which is no package, as modules."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

from tests.unit.docs.pages import ROOT


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"release_{name}", ROOT / "scripts" / "release" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
