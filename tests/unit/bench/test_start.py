"""A start from the records of writes: the tool's time is counted from the runtime's write on, and only if it was the last word."""

from __future__ import annotations

from tests.bench.observer import Noted
from tests.bench.start import start_of
from tests.lab.spec import Container, Instance, Pod

TOOL, RUNTIME = 10, 20


def seconds(value: str, *noted: Noted) -> float | None:
    """The tool's, of a container whose first instruction saw this value."""
    container = Container("c", ("pause",), None)
    instance = Instance(Pod("p", (container,)), "c", "id", "path", inode=1, pid=2, restart=0, started_s=0.0)
    return start_of(instance, (value, 9_000_000), list(noted), TOOL).ours_s


def test_the_tools_time_is_from_the_runtimes_write_to_its_own() -> None:
    assert seconds("0", Noted(1_000_000, RUNTIME), Noted(3_000_000, TOOL), Noted(4_000_000, TOOL)) == 0.002


def test_a_tool_that_wrote_before_the_runtimes_call_returned_took_no_time() -> None:
    assert seconds("0", Noted(1_000_000, TOOL), Noted(2_000_000, RUNTIME)) == 0.0


def test_a_tool_that_wrote_before_the_runtime_did_and_not_again_has_not_written() -> None:
    assert seconds("1", Noted(1_000_000, TOOL), Noted(2_000_000, RUNTIME)) is None
    assert seconds("0", Noted(2_000_000, RUNTIME)) is None
