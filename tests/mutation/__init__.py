"""Lines that matter most, broken one at a time on a copy of the tree: a test must fail each time."""
