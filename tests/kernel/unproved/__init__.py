"""Tests whose proof on a real kernel is not finished: they run by hand and not in `make test`. Each moves up when it has passed there."""
