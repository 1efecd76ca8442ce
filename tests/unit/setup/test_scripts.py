"""Setting up: as root what is missing is installed; everybody else gets one line to type that names all of it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCRIPTS = ROOT / "scripts"
LAB = ("linux.uml", "runc", "crun", "cc", "ip", "make", "patchelf")
LAB_PACKAGES = {"user-mode-linux", "runc", "crun", "gcc", "iproute2", "make", "patchelf"}


@pytest.fixture
def somebody(tmp_path: Path) -> Path:
    """The PATH of somebody who is not root and has a Python and none of the lab's tools."""
    bin_dir = tmp_path / "bin"
    bin_dir.mkdir()
    (bin_dir / "bash").symlink_to(shutil.which("bash") or "/bin/bash")
    program(bin_dir / "id", "echo 1000")
    program(bin_dir / "python3", "exit 0")
    return bin_dir


def program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/bash\n{script}\n")
    path.chmod(0o755)


def run(script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [shutil.which("bash") or "/bin/bash", str(SCRIPTS / script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=60)


def to_install(done: subprocess.CompletedProcess[str]) -> set[str]:
    """The packages of the one line to type."""
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = [line for line in done.stderr.splitlines() if "apt-get" in line]
    match = re.fullmatch(r"  sudo apt-get install -y --no-install-recommends ([a-z0-9 -]+)", line)
    assert match is not None
    return set(match[1].split())


def test_without_root_one_line_names_every_missing_package(somebody: Path) -> None:
    assert to_install(run("setup-debian.sh", "tests", PATH=str(somebody))) >= {
        *LAB_PACKAGES,
        "prometheus",
        "git",
        "debootstrap",
    }


def test_pythons_venv_is_named_in_the_same_line(somebody: Path) -> None:
    """Debian's Python is new enough and can't make environments without a package of its own."""
    program(somebody / "python3", '[[ "$2" != *ensurepip* ]]')
    assert to_install(run("setup-debian.sh", "demo", PATH=str(somebody))) >= {*LAB_PACKAGES, "python3-venv"}


def test_the_demo_needs_neither_prometheus_nor_postgresql(somebody: Path) -> None:
    missing = to_install(run("setup-debian.sh", "demo", PATH=str(somebody)))
    assert not missing & {"prometheus", "postgresql", "golang-github-containers-common", "git"}


def test_the_browser_needs_its_driver_and_nothing_of_the_lab(somebody: Path) -> None:
    missing = to_install(run("setup-debian.sh", "browser", PATH=str(somebody)))
    assert missing - {"fonts-inter"} == {"chromium", "chromium-driver"}


def test_googles_browser_will_do(somebody: Path) -> None:
    for tool in ("google-chrome", "chromedriver"):
        (somebody / tool).symlink_to("/bin/true")
    done = run("setup-debian.sh", "browser", PATH=str(somebody))
    assert done.returncode == 0 or to_install(done) == {"fonts-inter"}


def test_an_environment_alone_needs_nothing_of_the_lab(somebody: Path) -> None:
    done = run("setup-debian.sh", "python", PATH=str(somebody))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_where_everything_is_there_nothing_is_done_or_said(somebody: Path) -> None:
    for tool in LAB:
        (somebody / tool).symlink_to("/bin/true")
    done = run("setup-debian.sh", "demo", PATH=str(somebody))
    if Path("/usr/include/stdio.h").exists():
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    else:
        assert to_install(done) == {"libc6-dev"}


@pytest.mark.parametrize("script", ["setup-debian.sh", "setup-venv.sh"])
def test_a_python_that_is_too_old_is_the_only_thing_complained_of(script: str, somebody: Path, tmp_path: Path) -> None:
    old = somebody / "python-old"
    program(old, '[ "$1" = --version ] && echo "Python 3.9.2" && exit 0\nexit 1')
    arguments = ("demo",) if script == "setup-debian.sh" else (str(old), str(tmp_path / "venv"), "none.lock")
    done = run(script, *arguments, PATH=str(somebody), PYTHON=str(old))
    assert done.returncode == 1
    assert "needs Python 3.11 or newer; " in done.stderr
    assert "Python 3.9.2" in done.stderr
    assert "apt-get" not in done.stderr


# ------------------------------------------------------------------------------------------ a newer kernel for the lab


@pytest.fixture
def without_mirror(tmp_path: Path) -> Path:
    """A PATH in front of the machine's own: a Debian on amd64 with an old kernel program, whose mirror can't be reached."""
    bin_dir = tmp_path / "debian"
    bin_dir.mkdir()
    program(bin_dir / "linux.uml", "echo 6.1.176")
    program(bin_dir / "dpkg", "echo amd64")
    program(
        bin_dir / "apt-get",
        f'[ "$1" = indextargets ] && echo "Debian main Debian http://mirror.invalid/debian" && exit 0\n'
        f'echo "$*" >>{tmp_path}/asked\n'
        'echo "E: Failed to fetch http://mirror.invalid/debian/dists/testing/InRelease" >&2\nexit 100',
    )
    return bin_dir


def test_a_mirror_that_cannot_be_reached_is_asked_once_and_said_in_one_line(
    without_mirror: Path, tmp_path: Path
) -> None:
    if not Path("/usr/share/keyrings/debian-archive-keyring.gpg").exists():
        expected = "there is no /usr/share/keyrings/debian-archive-keyring.gpg"
    else:
        expected = "Debian testing can't be read"
    environment = {"PATH": f"{without_mirror}:{os.environ['PATH']}"}
    done = run("setup-kernel.sh", str(tmp_path / "uml"), **environment)
    assert (done.returncode, done.stdout) == (0, "")
    *before, line = done.stderr.splitlines()
    assert before == ["Fetching a faster kernel for the lab from Debian testing …"][: expected.startswith("Debian")]
    assert line.startswith("The lab uses the distribution's kernel (6.1.176), at a third of the speed: " + expected)
    if expected.startswith("Debian"):
        assert "Failed to fetch" in (tmp_path / "uml.unavailable").read_text(), "apt-get's messages are kept"
        again = run("setup-kernel.sh", str(tmp_path / "uml"), **environment)
        assert (again.returncode, again.stdout, again.stderr) == (0, "", ""), "not asked again before tomorrow"
        (asked,) = (tmp_path / "asked").read_text().splitlines()
        assert "Acquire::Retries=0" in asked


# ------------------------------------------------------------------------------------------ a tree with systemd


@pytest.fixture
def without_debootstrap(without_mirror: Path) -> Path:
    """As root, with a debootstrap that fails as one whose mirror can't be reached does."""
    program(without_mirror / "id", "echo 0")
    program(without_mirror / "debootstrap", 'echo "E: Failed getting release file"; exit 1')
    return without_mirror


def test_making_a_tree_with_systemd_needs_root_and_says_what_to_type(without_mirror: Path, tmp_path: Path) -> None:
    program(without_mirror / "id", "echo 1000")
    done = run("setup-systemd.sh", str(tmp_path / "trees"), "trixie", PATH=f"{without_mirror}:{os.environ['PATH']}")
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.endswith(f"sudo bash {SCRIPTS}/setup-systemd.sh {tmp_path}/trees trixie.")


def test_a_tree_that_cannot_be_made_leaves_its_messages_and_nothing_else(
    without_debootstrap: Path, tmp_path: Path
) -> None:
    path = f"{without_debootstrap}:{os.environ['PATH']}"
    done = run("setup-systemd.sh", str(tmp_path / "trees"), "trixie", PATH=path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "of Debian trixie can't be made: " in done.stderr.splitlines()[-1]
    if Path("/usr/share/keyrings/debian-archive-keyring.gpg").exists():
        assert [file.name for file in (tmp_path / "trees" / "trixie").iterdir()] == ["log"]
        assert "Failed getting release file" in (tmp_path / "trees" / "trixie" / "log").read_text()


def test_a_tree_that_is_there_is_kept(without_debootstrap: Path, tmp_path: Path) -> None:
    packages = re.search(r"^packages=(.*)$", (SCRIPTS / "setup-systemd.sh").read_text(), re.MULTILINE)
    assert packages is not None
    (tmp_path / "trees" / "trixie").mkdir(parents=True)
    (tmp_path / "trees" / "trixie" / "ready").write_text(f"trixie {packages[1]}\nsystemd 257\n")
    path = f"{without_debootstrap}:{os.environ['PATH']}"
    done = run("setup-systemd.sh", str(tmp_path / "trees"), "trixie", PATH=path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# ------------------------------------------------------------------------------------------------- what takes a while


def test_a_command_that_takes_a_while_says_so_and_keeps_its_output_and_exit_status() -> None:
    done = run("ticking.sh", "Doing it", "bash", "-c", "echo said; exit 3", PATH=os.environ["PATH"])
    assert (done.returncode, done.stdout, done.stderr) == (3, "said\n", "Doing it …\n")
