"""Why containers of a pod fail, what Kubernetes will do, and what to do: a decision table. Pure, and cheap enough for the loop."""

from agent.diagnose.judge import TABLE, diagnose

__all__ = ["TABLE", "diagnose"]
