"""Benchmarks: the agent beside what people use today, on a real kernel. See docs/benchmarks.md."""
