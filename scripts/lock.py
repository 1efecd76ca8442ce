"""Resolves the lock files of requirements/: the demo's, the tests', two of the image (what runs in it, what builds it), the oldest
versions allowed, the fuzzers' and the tools for the manifests. Each is complete for every supported Python and is installed without
dependency resolution (scripts/install-lock.sh)."""

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
AS_TESTED = ("--constraint", "requirements/test.lock")
LOCKS = {
    "test.lock": (PROJECT, "--group", "test"),
    "run.lock": (PROJECT, *AS_TESTED),
    "demo.lock": (PROJECT, "--group", "editable", *AS_TESTED),
    "build.lock": ("--group", f"{PROJECT}:build", *AS_TESTED),
    "fuzz.lock": (PROJECT, "--group", "fuzz", *AS_TESTED),
    "manifests.lock": ("--group", f"{PROJECT}:manifests", *AS_TESTED),
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
