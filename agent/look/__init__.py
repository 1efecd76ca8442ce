"""What ``ps``, ``explain``, ``diagnose`` and ``history`` show, from one look at the node. For the agent and for commands without one."""
