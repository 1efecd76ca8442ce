"""Setting up: what is missing is installed as root, and named with the line to type when not."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TOOLS = ("linux.uml", "runc", "crun", "cc", "ip", "make", "patchelf", "promtool")


@pytest.fixture
def somebody(tmp_path: Path) -> Path:
    """A PATH of somebody who is not root and has none of the lab's tools."""
    bin_dir = tmp_path / "bin"
    bin_dir.mkdir()
    (bin_dir / "bash").symlink_to(shutil.which("bash") or "/bin/bash")
    (bin_dir / "id").write_text("#!/bin/bash\necho 1000\n")
    (bin_dir / "id").chmod(0o755)
    return bin_dir


def setup(path: Path, what: str = "tests") -> subprocess.CompletedProcess[str]:
    command = ["bash", str(ROOT / "scripts" / "setup-debian.sh"), what]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": str(path)}, timeout=30)


def test_without_root_the_line_to_type_is_named(somebody: Path) -> None:
    done = setup(somebody)
    assert done.returncode == 1
    assert "  sudo apt-get install -y --no-install-recommends " in done.stderr
    for package in ("user-mode-linux", "runc", "crun", "gcc", "iproute2", "make", "patchelf"):
        assert package in done.stderr


def test_the_lab_alone_needs_neither_prometheus_nor_postgresql(somebody: Path) -> None:
    done = setup(somebody, "lab")
    assert "user-mode-linux" in done.stderr
    assert "prometheus" not in done.stderr
    assert "postgresql" not in done.stderr


def test_where_all_is_there_nothing_is_done_or_said(somebody: Path) -> None:
    for tool in TOOLS:
        (somebody / tool).symlink_to("/bin/true")
    done = setup(somebody)
    headers = Path("/usr/include/stdio.h").exists()
    database = any(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    seccomp = Path("/usr/share/containers/seccomp.json").exists()
    assert (done.returncode, done.stdout) == (0 if headers and database and seccomp else 1, "")
    assert ("golang-github-containers-common" in done.stderr) is not seccomp
    assert ("libc6-dev" in done.stderr) is not headers
    assert ("postgresql" in done.stderr) is not database


def test_a_python_that_is_too_old_is_said_to_be(tmp_path: Path) -> None:
    old = tmp_path / "python-old"
    old.write_text('#!/bin/bash\n[ "$1" = --version ] && echo "Python 3.9.2" && exit 0\nexit 1\n')
    old.chmod(0o755)
    command = ["bash", str(ROOT / "scripts" / "setup-venv.sh"), str(old), str(tmp_path / "venv"), "none.lock"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 1
    assert "needs Python 3.11 or newer" in done.stderr
    assert "Python 3.9.2" in done.stderr
