"""The cgroup room: where cgroups are, what their control files say, and how they change."""
