"""This node's pods: the list and the watch, the one parser, and the registry that says which cgroup is whose."""
