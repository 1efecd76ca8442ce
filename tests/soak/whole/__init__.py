"""The soak with everything on: hostile tenants, a real systemd and containerd with NRI, faults of every kind, and recover."""
