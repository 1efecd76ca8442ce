"""What a user types, and what comes of it: whom it asks, what it shows, its exit code."""

from __future__ import annotations

from tests.lab.apifaults import Fault, How
from tests.lab.fleet import MIB, Cluster, failed, passed, printed, row
from tests.unit.fleet.conftest import Oomward
from agent.look.containers import CONTAINERS


def columns(line: str) -> list[str]:
    return line.split()


def test_ps_lists_the_containers_of_all_nodes_with_their_node(oomward: Oomward) -> None:
    done = oomward("ps", "-A")
    assert (done.code, done.err) == (0, "")
    assert columns(done.lines[0])[:4] == ["NODE", "POD", "CONTAINER", "DESIRED"]
    assert [columns(line)[:2] for line in done.lines[1:]] == [
        ["node-1", "lab/web-1-1"],
        ["node-2", "lab/web-2-1"],
        ["node-3", "lab/web-3-1"],
        ["node-1", "shop/web-1-0"],
        ["node-2", "shop/web-2-0"],
        ["node-3", "shop/web-3-0"],
    ]
