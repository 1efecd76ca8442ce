"""What keeps the agent from working."""

from __future__ import annotations


class AgentError(RuntimeError):
    """Something that keeps the agent from working, in a sentence for people: what, where, and what to do."""
