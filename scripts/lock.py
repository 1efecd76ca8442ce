"""Resolve the lock files of requirements/: one for the tests, two for the image (what runs in it, what builds it), one with
the oldest versions allowed, one with the tools for the manifests."""

import subprocess
import sys
from pathlib import Path

COMMON = (
    "--python-version",
    "3.11",
    "--universal",
    "--generate-hashes",
    "--no-header",
    "--no-emit-index-url",
    "--quiet",
)
PROJECT = "pyproject.toml"
LOCKS = {
    "test.lock": (PROJECT, "--group", "test"),
    "run.lock": (PROJECT,),
    "build.lock": ("--group", f"{PROJECT}:build"),
    "fuzz.lock": (PROJECT, "--group", "fuzz"),
    "manifests.lock": ("--group", f"{PROJECT}:manifests"),
    "lowest.lock": (PROJECT, "--group", "unit", "--resolution", "lowest-direct"),
}


def main() -> int:
    uv = Path(sys.executable).with_name("uv")
    for name, options in LOCKS.items():
        command = [uv, "pip", "compile", *COMMON, *options, "-o", f"requirements/{name}"]
        subprocess.run(command, check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
