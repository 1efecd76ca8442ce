"""This node's pods: the list and the watch, the one parser, and the registry (the pod and container of each cgroup)."""
