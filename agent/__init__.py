"""oomward: holds memory.oom.group at what each workload asks for, and reports every OOM kill on the node."""

__version__ = "0.1.0"
