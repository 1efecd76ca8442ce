"""One target under atheris, a process of its own: ``python -m tests.fuzz.engine TARGET [what libFuzzer takes]``.

Instruments the agent's code as it is imported, so that what leads to a new branch is kept and bred from.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

from tests.fuzz.targets import BY_NAME


def main() -> None:
    """Hand over to atheris, which ends the process."""
    atheris: Any = importlib.import_module("atheris")
    name, *rest = sys.argv[1:]
    with atheris.instrument_imports(include=["agent"]):
        check = BY_NAME[name].check()

    def once(data: bytes) -> None:
        check(data)

    atheris.Setup([sys.argv[0], *rest], once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
