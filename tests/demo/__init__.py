"""``make demo``: the same program in three pods, with and without the label, on a real kernel."""
