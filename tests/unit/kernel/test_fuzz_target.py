"""The fuzz target holds on the recorded logs and on mutations of them, also where atheris is not installed."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.fuzz_oomreport import check

FIXTURES = sorted((Path(__file__).parents[2] / "fixtures" / "kmsg").glob("*/*.kmsg"))
LINES = [
    line
    for path in FIXTURES
    for line in path.read_bytes().split(b"\n")
    if any(mark in line for mark in (b"ill", b"oom", b"[ ", b"stats", b"anon", b"usage"))
]


def test_the_recorded_logs_pass() -> None:
    assert sum(len(check(path.read_bytes())) for path in FIXTURES) > 40


@given(
    st.lists(st.one_of(st.sampled_from(LINES), st.just(b"")), max_size=30), st.integers(0, 10**6), st.binary(max_size=4)
)
def test_real_lines_in_any_order_with_a_scratch_pass(lines: list[bytes], at: int, scratch: bytes) -> None:
    log = bytearray(b"\n".join(lines))
    place = at % (len(log) + 1)
    log[place : place + len(scratch)] = scratch
    check(bytes(log))
