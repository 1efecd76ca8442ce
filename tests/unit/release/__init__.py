"""What a release is made by, without a registry: `make release-dry-run` does the same with one."""
