"""The container runtime: NRI, by which it asks us before it creates or updates a container."""
