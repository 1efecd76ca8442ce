"""Kubernetes Events: which Event counts a kill, how many may be sent and when, and their delivery."""
