"""The probes of ``oomward check``, by concern. Each looks at one prerequisite and yields what it found; none changes anything
but knob(), which has a cgroup of its own for it. Trouble may be raised: answers.guarded() makes a failed check of it."""
