"""Programs of the host's in a container of the lab, in the hog's stead: Python, make, PostgreSQL.

The root is an empty folder with the host's /usr, /etc and Python in it, read-only, and beside them the folders that a program is
given. It runs as containers do under the restricted pod-security profile: no capabilities, no new privileges.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from tests.lab.spec import Folder, Program

TOP = ("bin", "sbin", "lib", "lib32", "lib64")  # links into /usr, or folders where /usr is not merged
CAPABILITIES = ("bounding", "effective", "inheritable", "permitted", "ambient")


def put_in(config: dict[str, Any], program: Program, root: Path) -> None:
    """Make the bundle's ``config`` run ``program`` with its root at ``root``, which is made when it isn't there."""
    process = config["process"]
    process["args"] = list(program.argv)
    process["env"] = [f"{key}={value}" for key, value in (("PATH", _path()), ("HOME", "/tmp"), *program.env)]
    process["cwd"] = program.cwd
    process["user"] = {"uid": program.uid, "gid": program.gid}
    process["oomScoreAdj"] = program.oom_score_adj
    process["capabilities"] = {kind: [] for kind in CAPABILITIES}
    process["noNewPrivileges"] = True
    config["root"] = {"path": str(root), "readonly": True}
    config["mounts"] += [
        _memory("/dev/shm", "mode=1777", "size=65536k"),
        _memory("/tmp", "mode=1777"),
        *(_bound(folder) for folder in (*_of_the_host(root), *program.folders)),
    ]


def _of_the_host(root: Path) -> list[Folder]:
    """What every program may read. Links such as /lib are made in ``root`` as the host has them."""
    root.mkdir(parents=True, exist_ok=True)
    found = [Path("/usr"), Path("/etc")]
    for top in (Path("/") / name for name in TOP):
        link = root / top.name
        if not top.is_symlink():
            found += [top] if top.is_dir() else []
        elif not link.is_symlink():
            link.symlink_to(top.readlink())
    python = Path(sys.base_prefix)
    found += [] if python.is_relative_to("/usr") else [python]
    return [Folder(str(folder), str(folder)) for folder in found]


def _path() -> str:
    servers = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
    return ":".join([f"{sys.base_prefix}/bin", *(str(folder) for folder in servers[-1:]), "/usr/bin", "/bin"])


def _memory(where: str, *options: str) -> dict[str, object]:
    return {"destination": where, "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", *options]}


def _bound(folder: Folder) -> dict[str, object]:
    options = ["rbind", "rw" if folder.writable else "ro"]
    return {"destination": folder.inside, "type": "bind", "source": folder.outside, "options": options}
