"""A client of a container runtime's CRI socket: what the kubelet asks of it, with the same messages."""

from __future__ import annotations

import json
import os
import time
from typing import Any

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # tests start processes, and none of these uses the channel
import grpc

from tests.lab.criwire import MESSAGE, PACKAGE

SOCKET = "/run/containerd/containerd.sock"
TIMEOUT_S = 60.0
EXITED = 2  # ContainerState
CONTAINER, NODE = 1, 2  # NamespaceMode


class Cri:
    """One connection. Each call raises grpc.RpcError with the runtime's message when it fails."""

    def __init__(self, socket: str = SOCKET) -> None:
        self._channel = grpc.insecure_channel(f"unix://{socket}", options=(("grpc.enable_http_proxy", 0),))

    def wait_ready(self, seconds: float = 60.0) -> None:
        """Until the runtime answers. Raises grpc.RpcError with its last answer when the time is over."""
        until = time.monotonic() + seconds
        while True:
            try:
                self("Version")
                return
            except grpc.RpcError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)

    def __call__(self, method: str, **fields: Any) -> Any:
        """Call RuntimeService's ``method`` with these fields (dicts for messages); returns its answer."""
        call: Any = self._channel.unary_unary(
            f"/{PACKAGE}.RuntimeService/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=MESSAGE[f"{method}Response"].FromString,
        )
        return call(MESSAGE[f"{method}Request"](**fields), timeout=TIMEOUT_S)

    def pid(self, container_id: str) -> int:
        """Of a running container's PID 1; 0 when it has ended."""
        info = self("ContainerStatus", container_id=container_id, verbose=True).info["info"]
        return int(json.loads(info)["pid"])

    def exit_of(self, container_id: str, seconds: float = 180.0) -> tuple[int, str]:
        """Exit code and reason (``OOMKilled``, ``Error``, ``Completed``) of a container that ends, or has ended.

        containerd hears of an end late, while a plugin that it has to ask (NRI, StopContainer) does not answer.
        """
        until = time.monotonic() + seconds
        while (status := self("ContainerStatus", container_id=container_id).status).state != EXITED:
            if time.monotonic() > until:
                raise TimeoutError(f"container {container_id[:12]} has not ended within {seconds} s")
            time.sleep(0.05)
        return status.exit_code, status.reason

    def close(self) -> None:
        """End the connection."""
        self._channel.close()
