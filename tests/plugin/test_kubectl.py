"""`kubectl oomward` by the real kubectl, over simulated agents: by its proxy, and as its plugin.

``make manifests`` runs these tests with the kubectl of requirements/manifests.lock; KUBECTL in the environment names another one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.cli import main
from tests.lab.apiexec import Ending, Ran
from tests.lab.fleet import Cluster
from tests.manifests import tools
from tests.unit.docs.pages import ROOT
from tests.unit.release.scripts import script


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Three nodes with an agent and two pods each, one in shop and one in lab."""
    made = Cluster()
    made.server.token = None  # kubectl sends no token to a server without TLS
    made.server.start()
    yield made
    made.server.close()


@pytest.fixture
def real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """kubectl, the first on PATH."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "kubectl").symlink_to(Path(tools.kubectl()).resolve())
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    return programs / "kubectl"


@pytest.fixture
def kubeconfig(cluster: Cluster, real: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "kubeconfig"
    cluster.server.write_kubeconfig(path)
    monkeypatch.setenv("KUBECONFIG", str(path))
    return path


def test_the_real_kubectl_passes_on_exec_and_lists(
    cluster: Cluster, kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.answer("node-2", "ps", Ran(ending=Ending.SILENT))
    cluster.answer("node-3", "ps", Ran(b'{"containers": []}', frame_bytes=3, fragments=2, pings=True))
    code = main(["--all-nodes", "ps", "-A", "--timeout", "1s", "--kubeconfig", str(kubeconfig)])
    out, err = capsys.readouterr()
    assert code == 1
    assert [line.split()[0] for line in out.splitlines()] == ["NODE", "node-1", "node-1"]
    assert err == "oomward: 1 of 3 nodes did not answer: node-2 (timed out after 1 s)\n"


def test_the_real_kubectl_says_why_it_does_not_start(kubeconfig: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--all-nodes", "ps", "-A", "--context", "nope"]) == 1
    assert 'context "nope" does not exist' in capsys.readouterr().err


def test_the_real_kubectl_reports_an_api_server_that_is_gone(
    cluster: Cluster, kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.server.close()
    assert main(["--all-nodes", "ps", "-A"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "connection refused" in err


def test_the_real_kubectl_reads_the_contexts_namespace(
    cluster: Cluster, real: Path, kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    subprocess.run([real, "config", "set-context", "--current", "--namespace=shop"], check=True, capture_output=True)
    assert main(["--all-nodes", "ps", "-o", "name"]) == 0
    assert capsys.readouterr().out == "pod/web-1-0\npod/web-2-0\npod/web-3-0\n"


def test_kubectl_starts_the_released_file_as_its_plugin(
    cluster: Cluster, real: Path, kubeconfig: Path, tmp_path: Path
) -> None:
    tree, programs = tmp_path / "tree", tmp_path / "plugins"
    shutil.copytree(ROOT / "agent", tree / "agent")
    programs.mkdir()
    script("plugin").build(tree, programs / "kubectl-oomward")
    environment = os.environ | {"PATH": os.pathsep.join([str(programs), os.environ["PATH"]])}
    command = [str(real), "oomward", "ps", "-n", "shop", "-o", "name"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "pod/web-1-0\npod/web-2-0\npod/web-3-0\n", "")
