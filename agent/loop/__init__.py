"""The loop's room: the one thread that owns all state. A message comes in, state changes, effects go out."""

from agent.loop.node import Node

__all__ = ["Node"]
