"""Resolve the lock files of requirements/: one for the tests, one for the image, one with the oldest versions allowed."""

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
LOCKS = {
    "test.lock": ("--group", "test"),
    "run.lock": (),
    "lowest.lock": ("--group", "unit", "--resolution", "lowest-direct"),
}


def main() -> int:
    uv = Path(sys.executable).with_name("uv")
    for name, options in LOCKS.items():
        command = [uv, "pip", "compile", "pyproject.toml", *COMMON, *options, "-o", f"requirements/{name}"]
        subprocess.run(command, check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
