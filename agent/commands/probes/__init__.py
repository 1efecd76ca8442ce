"""The probes of ``oomward check``. Each tests one prerequisite and yields Checks; only oom_group() writes, in a cgroup of its
own. A probe may raise: checks.guarded() makes a failed check of it. ``kubelet`` reads what one of them needs."""
