"""The probes of ``oomward check``, by concern. Each tests one prerequisite and yields Checks; none changes anything except
oom_group(), which uses a cgroup of its own. A probe may raise: answers.guarded() makes a failed check of it."""
