"""What the manifests become when kustomize and Helm have rendered them, and whether Kubernetes takes it. ``make manifests``."""
