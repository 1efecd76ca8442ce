"""oomward: enforces memory.oom.group as each workload requests it, and reports every OOM kill on the node."""

__version__ = "0.1.0"
