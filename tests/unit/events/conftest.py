"""The API's stand-in, and a client of it."""

from tests.unit.kube.world import api, inbox, server, waits, watch

__all__ = ["api", "inbox", "server", "waits", "watch"]
