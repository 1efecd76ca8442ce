"""The image's tree starts with nothing around it: no shell, no pip, no compiler, no file of this machine.

Built before the boot by the Dockerfile's own steps (`make image-here`; `make image-tree` in a clean Debian). In a chroot here; as
a container, with the power that the manifests give it, in test_least_privilege.py.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent import __version__
from agent.commands.arguments import COMMANDS
from tests.kernel.profiled import TLS, make_profiled_node
from tests.lab import profiles
from tests.lab.agent_container import root_filesystem
from tests.lab.apiserver import ApiServer

IMPORT_ALL = """
import importlib, os, pkgutil, sys
import agent
names = [found.name for found in pkgutil.walk_packages(agent.__path__, "agent.") if found.name != "agent.__main__"]
for name in names:
    importlib.import_module(name)
loaded = [module for module in list(sys.modules.values()) if type(getattr(module, "__loader__", None)).__name__ == "SourceFileLoader"]
print(len(names), sorted(module.__file__ for module in loaded if not os.path.exists(module.__cached__)))
"""
ASK = """
import sys
from pathlib import Path
from agent.kube.api import connect
from agent.kube.access import server_version
print(server_version(connect(Path(sys.argv[1]), user_agent="test")))
"""
PLUGIN = """#!{python} -IB
print('{{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {{"token": "lab-token"}}}}')
"""


@pytest.fixture(scope="module")
def root() -> Path:
    return root_filesystem()


@pytest.fixture(scope="module")
def interpreter(root: Path) -> str:
    """As oomward's first line names it."""
    first = (root / "usr/local/bin/oomward").read_text().splitlines()[0]
    return first.removeprefix("#!").split()[0]


def inside(root: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run in the tree, with the image's environment."""
    environment = {"PATH": "/usr/local/bin"}

    def enter() -> None:
        os.chroot(root)
        os.chdir("/")

    return subprocess.run(
        command,
        preexec_fn=enter,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def test_oomward_tells_its_version(root: Path) -> None:
    done = inside(root, "oomward", "--version")
    assert (done.stdout, done.stderr, done.returncode) == (f"oomward {__version__}\n", "", 0)


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_tells_what_it_does(root: Path, command: str) -> None:
    done = inside(root, "oomward", command, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: oomward {command}")


def test_every_module_of_the_agent_can_be_imported_from_its_bytecode(root: Path, interpreter: str) -> None:
    done = inside(root, interpreter, "-IB", "-c", IMPORT_ALL)
    assert done.returncode == 0, done.stderr
    number, _, uncompiled = done.stdout.partition(" ")
    assert int(number) > 90
    assert uncompiled.strip() == "[]"


def test_there_is_no_shell_to_run_anything_by(root: Path) -> None:
    for program in ("/bin/sh", "/bin/bash", "/usr/bin/env", "pip"):
        with pytest.raises(FileNotFoundError):
            inside(root, program)


def test_text_beyond_ascii_is_printed_without_a_locale(root: Path, interpreter: str) -> None:
    assert inside(root, interpreter, "-IB", "-c", "print('…')").stdout == "…\n"


# --------------------------------------------------------------------- the client's seldom ways, which nothing traces


@pytest.fixture(scope="module")
def api() -> Iterator[ApiServer]:
    server = ApiServer()
    server.start()
    yield server
    server.close()


def kubeconfig(root: Path, api: ApiServer, user: dict[str, Any], **cluster: str) -> str:
    """One in the tree; returns its path there."""
    path = root / "tmp" / "kubeconfig"
    api.write_kubeconfig(path)
    config = json.loads(path.read_text())
    config["users"][0]["user"] = user
    config["clusters"][0]["cluster"] |= cluster
    path.write_text(json.dumps(config))
    return "/tmp/kubeconfig"


def users(root: Path, interpreter: str) -> dict[str, dict[str, Any]]:
    """Ways to say who one is, by name."""
    (root / "tmp/token").write_text("lab-token")
    plugin = root / "tmp/plugin"
    plugin.write_text(PLUGIN.format(python=interpreter))
    plugin.chmod(0o755)
    exec_plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "/tmp/plugin",
        "interactiveMode": "Never",
    }
    certificate = base64.b64encode((TLS / "client.crt").read_bytes()).decode()
    key = base64.b64encode((TLS / "client.key").read_bytes()).decode()
    return {
        "token": {"token": "lab-token"},
        "token file": {"tokenFile": "/tmp/token"},
        "exec plugin": {"exec": exec_plugin},
        "certificate and token": {"client-certificate-data": certificate, "client-key-data": key, "token": "lab-token"},
    }


@pytest.mark.parametrize("way", ["token", "token file", "exec plugin", "certificate and token"])
def test_the_trimmed_client_knows_each_way_to_say_who_one_is(
    root: Path, interpreter: str, api: ApiServer, way: str
) -> None:
    path = kubeconfig(root, api, users(root, interpreter)[way])
    done = inside(root, interpreter, "-IB", "-c", ASK, path)
    assert done.stderr == ""
    assert done.stdout.startswith("v1.")


# --------------------------------------------------------------------------------------------------------------- run


def test_it_runs_serves_its_pages_and_ends(tmp_path: Path) -> None:
    node = make_profiled_node(tmp_path, "systemd")
    try:
        agent = node.start(profiles.full())
        assert agent.get("/healthz")[0] == 200
        assert agent.total("oomward_build_info", version=__version__) == 1
        assert agent.log_lines(level="error") == []
        assert agent.stop() == 0
    finally:
        node.close()


def test_its_python_is_the_trees_own(root: Path, interpreter: str) -> None:
    done = inside(root, interpreter, "-I", "-c", "import sys; print(sys.prefix, sys.path)")
    prefix, _, path = done.stdout.partition(" ")
    assert (root / prefix.lstrip("/")).is_dir()
    assert str(Path(sys.prefix)) not in path
    assert shutil.which("oomward", path=str(root / "usr/local/bin")) is not None
