"""``make e2e``: on the cluster that KUBECONFIG leads to, with IMAGE and PROFILE. Installs oomward there and removes it again."""

from __future__ import annotations

import os
import sys

from tests.e2e.kubectl import Kubectl
from tests.e2e.objects import Settings
from tests.e2e.run import Run, run


def main() -> int:
    """Refuses to touch a cluster that nobody named."""
    if not os.environ.get("KUBECONFIG"):
        print(
            "e2e: name the cluster: KUBECONFIG=… make e2e. It installs oomward there and removes it again.",
            file=sys.stderr,
        )
        return 2
    try:
        settings = Settings.from_environment(dict(os.environ))
    except ValueError as error:
        print(f"e2e: {error}", file=sys.stderr)
        return 2
    return run(Run(Kubectl(), settings))


if __name__ == "__main__":
    sys.exit(main())
