"""The agent with the imports and the memory that it has in a pod: without the kubernetes package, which only kubeconfigs need.

The API's stand-in speaks plain HTTP, so its address and token come from the kubeconfig that the stand-in has written.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import urllib3

import agent.kube.api
from agent import cli
from agent.kube.credentials import Endpoint


def endpoint(kubeconfig: Path, *, lax_ca: bool) -> Endpoint:
    """Address and token from the stand-in's kubeconfig."""
    config = json.loads(kubeconfig.read_text())
    token = config["users"][0]["user"]["token"]
    return Endpoint(
        config["clusters"][0]["cluster"]["server"], urllib3.PoolManager(maxsize=4), lambda: f"Bearer {token}"
    )


vars(agent.kube.api)["by_kubeconfig"] = endpoint

if __name__ == "__main__":
    sys.exit(cli.main())
