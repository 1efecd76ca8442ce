"""kubectl's proxy: reachable for the caller only, gone when the command ends."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from agent.fleet.proxy import ended_by_signals, print_piece, proxy
from tests.lab import kubectl
from tests.lab.fleet import Cluster
from tests.unit.fleet.conftest import Oomward


@pytest.fixture
def stand_in(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    programs = tmp_path / "bin"
    programs.mkdir()
    kubectl.install(programs)
    cluster.server.write_kubeconfig(tmp_path / "kubeconfig")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    return programs / "kubectl"


def test_the_socket_is_in_a_folder_of_the_caller_and_is_removed(stand_in: Path) -> None:
    with proxy([]) as path:
        folder = Path(path).parent
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert folder.parent == Path(tempfile.gettempdir())
        assert len(os.fsencode(path)) < 100
    assert not folder.exists()


def test_the_proxy_ends_with_the_command_also_if_that_fails(stand_in: Path) -> None:
    with pytest.raises(ZeroDivisionError), proxy([]) as path:
        raise ZeroDivisionError
    assert not Path(path).parent.exists()
    said = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert path not in said


def test_sigterm_ends_the_command_in_order() -> None:
    with pytest.raises(SystemExit) as ended, ended_by_signals():
        signal.raise_signal(signal.SIGTERM)
    assert ended.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_what_a_credential_plugin_asks_reaches_the_user_and_kubectls_log_does_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_piece(b"To sign in, open https://login.example: ")
    print_piece(b'E1129 05:30:00.000 1 proxy.go:1] "Error while proxying request"\nsigned in\n')
    assert capsys.readouterr().err == "To sign in, open https://login.example: signed in\n"


def test_the_plugin_starts_no_slower_than_it_must() -> None:
    """Help needs neither a cluster nor what reaches one."""
    code = (
        "import sys; from agent.cli import main\n"
        "try: main(['--all-nodes', 'ps', '--help'])\n"
        "finally: print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "agent.fleet.arguments" in loaded
    assert not loaded & {
        "http.client",
        "ssl",
        "yaml",
        "kubernetes",
        "rich",
        "sqlite3",
        "agent.settings",
        "agent.fleet.looking",
    }


def test_a_command_imports_nothing_that_needs_linux_or_is_compiled(
    oomward: Oomward, cluster: Cluster, tmp_path: Path
) -> None:
    code = (
        "import sys; from agent.cli import main\n"
        "for command in ('ps', 'top', 'history', 'diagnose', 'advise', 'check', 'events'):\n"
        "    main(['--all-nodes', command, '-o', 'json'])\n"
        "main(['--all-nodes', 'explain', 'shop/web-1-0'])\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "agent.fleet.looking" in loaded
    heavy = {
        "kubernetes",
        "urllib3",
        "rich",
        "sqlite3",
        "psutil",
        "inotify_simple",
        "prometheus_client",
        "google.protobuf",
    }
    assert not loaded & heavy
    assert not {name for name in loaded if name.startswith("agent.")} & {
        "agent.settings",
        "agent.ledger",
        "agent.cgroup",
        "agent.kube",
    }
