"""What is left out of the image: by the rule, told, and never something that the rest still asks for."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from tests.unit.image.dockerfile import ROOT


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("trim", ROOT / "scripts" / "image" / "trim.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


trim = _load()


def write(site: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = site / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def distribution(site: Path, name: str, files: dict[str, str]) -> None:
    info = f"{name}-1.dist-info"
    record = "".join(f"{path},,\n" for path in [*files, f"{info}/METADATA", f"{info}/RECORD"])
    write(
        site,
        files | {f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n", f"{info}/RECORD": record},
    )


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """oomward, a client of which it uses a part, a package it uses and one that only the rest of the client would use."""
    ours = "from kubernetes.client import Configuration\nimport used\n"
    distribution(tmp_path, "oomward", {"agent/__init__.py": "", "agent/kube.py": ours})
    distribution(
        tmp_path,
        "kubernetes",
        {
            "kubernetes/__init__.py": "",
            "kubernetes/client/__init__.py": "from kubernetes.client.configuration import Configuration\nimport kubernetes.client.models\n",
            "kubernetes/client/configuration.py": "Configuration = object\n",
            "kubernetes/client/models/__init__.py": "def __getattr__(name):\n    from . import v1_pod\n",
            "kubernetes/client/models/v1_pod.py": "x = 1\n",
            "kubernetes/aio/__init__.py": "import needless\n",
            "kubernetes/config_test.py": "",
        },
    )
    distribution(
        tmp_path,
        "used",
        {"used/__init__.py": "", "used/tests/test_it.py": "", "used/_c.pyx": "", "used/__init__.pyi": ""},
    )
    distribution(tmp_path, "needless", {"needless/__init__.py": "", "needless/data.bin": ""})
    return tmp_path


def names(site: Path) -> set[str]:
    return {str(path.relative_to(site)) for path in site.rglob("*.py")}


def test_what_nothing_of_the_agent_loads_goes_and_the_rest_stays(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(trim.NEVER_REACHED, "kubernetes.client.models", "made for this test")
    assert trim.main(site) == 0
    assert names(site) == {
        "agent/__init__.py",
        "agent/kube.py",
        "kubernetes/__init__.py",
        "kubernetes/client/__init__.py",
        "kubernetes/client/configuration.py",
        "kubernetes/client/models/__init__.py",
        "used/__init__.py",
    }
    assert not (site / "needless").exists()
    assert not (site / "needless-1.dist-info").exists()
    assert not list(site.rglob("*.pyx")) + list(site.rglob("*.pyi")) + list(site.rglob("RECORD"))


def test_what_still_asks_for_something_that_went_ends_the_build_by_name(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(site, {"used/__init__.py": "def seldom():\n    import needless.more\n"})
    assert trim.main(site) == 1
    said = capsys.readouterr().err
    assert "used imports needless, which was left out" in said
    assert "NEVER_REACHED" in said


def test_what_only_type_checkers_import_does_not_count(site: Path) -> None:
    text = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import needless\nelse:\n    import json\n"
    write(site, {"used/typed.py": text})
    assert trim.imported_names(site / "used" / "typed.py", "used.typed") == {"typing", "typing.TYPE_CHECKING", "json"}


@pytest.mark.parametrize(
    ("line", "module", "is_package", "found"),
    [
        ("import a.b", "m", False, {"a.b"}),
        ("from . import c", "p.m", False, {"p", "p.c"}),
        ("from . import c", "p", True, {"p", "p.c"}),
        ("from ..q import c", "p.r.m", False, {"p.q", "p.q.c"}),
    ],
)
def test_relative_imports_are_understood(
    tmp_path: Path, line: str, module: str, is_package: bool, found: set[str]
) -> None:
    path = tmp_path / ("__init__.py" if is_package else "m.py")
    path.write_text(line)
    assert trim.imported_names(path, module) == found


def test_an_agent_that_can_no_longer_be_imported_ends_the_build(site: Path) -> None:
    write(site, {"agent/broken.py": "import nowhere\n"})
    with pytest.raises(trim.subprocess.CalledProcessError):
        trim.main(site)


def test_each_reason_is_for_a_package_that_is_locked() -> None:
    locked = (ROOT / "requirements" / "run.lock").read_text()
    packages = {
        "dateutil": "python-dateutil",
        "websocket": "websocket-client",
        "prometheus_client": "prometheus-client",
    }
    for module in trim.NEVER_REACHED:
        top = module.partition(".")[0]
        assert f"\n{packages.get(top, top)}==" in f"\n{locked}"
