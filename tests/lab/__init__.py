"""The lab: a small node on a real kernel, with real containers and an API that misbehaves on demand. See docs/lab.md."""
