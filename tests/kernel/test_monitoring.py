"""What the monitoring component shows of a real node: every panel and every alert, asked of a real Prometheus that scrapes the agent.

Containers are killed between scrapes so that counters move; cAdvisor and kube-state-metrics have stand-ins with the node's values.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from agent.model import Scope
from tests.kernel.conftest import MODE, NODE, RUNTIMES, Node, make_node
from tests.lab.exporters import Exporters
from tests.lab.kubelet import MOUNT, memory_events
from tests.lab.spec import Container, Instance, Pod
from tests.monitoring import rules
from tests.monitoring.dashboard import Query, fill, queries, variables
from tests.monitoring.prometheus import Prometheus

# The kills here come faster than a stall; tests/monitoring/panels.py asks this query of a page that has the series.
PRESSURE = "max by (cluster, namespace, pod, container) (oomward_memory_limit_pressure{"
QUIET = (Container("main", ("pause",), 48),)


@dataclass(frozen=True, slots=True)
class Seen:
    """A node after a few kills, and the Prometheus that watched."""

    node: Node
    prometheus: Prometheus
    kills: float

    def numbers(self, expr: str) -> dict[str, float]:
        """The samples of a query that are numbers, by the values of their labels."""
        samples = [(s["metric"], float(s["value"][1])) for s in self.prometheus.query(expr)]
        return {"/".join(metric.values()): value for metric, value in samples if not math.isnan(value)}

    def panel(self, title: str) -> dict[str, float]:
        """The first query of a panel."""
        return self.numbers(next(query for query in queries() if query.panel == title).filled())


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    node = make_node(tmp_path_factory.mktemp("node"), "systemd")
    agent = node.start_agent("--resync-interval", "5s")
    with (
        Exporters(node.kubelet, NODE) as others,
        Prometheus(f"http://127.0.0.1:{agent.port}/metrics", others=others) as prometheus,
    ):
        prometheus.wait_scraped(90)
        instances = start(node)
        prometheus.wait_scraped()
        happen(node, instances)
        prometheus.wait_scraped()
        yield Seen(node, prometheus, agent.total("oomward_oom_kills_total"))
    node.close()


def start(node: Node) -> dict[str, Instance]:
    """Two containers in mode single, two as the kubelet has them, and one whose label is mistyped; all quiet as yet."""
    pods = [Pod(f"single-{r}", QUIET, labels={MODE: "single"}, runtime=r) for r in RUNTIMES]
    pods += [Pod(f"plain-{r}-0", QUIET, runtime=r) for r in RUNTIMES]
    pods.append(Pod("mistyped", QUIET, labels={MODE: "sngle"}))
    instances = {pod.name: node.kubelet.run_pod(pod)[0] for pod in pods}
    for name in ("single-runc", "single-crun"):
        node.agent.wait_for(lambda n=name: node.events("OOMModeApplied", n), 60, f"{name} applied")
    node.agent.wait_for(lambda: node.events("OOMModeInvalid", "mistyped"), 60, "told")
    return instances


def happen(node: Node, instances: dict[str, Instance]) -> None:
    """A kill in each, somebody who rewrites a held value, and a 1 on a level above a container in mode single."""
    killed = [instance for name, instance in instances.items() if name != "mistyped"]
    for instance in killed:
        node.kubelet.execute(instance, "eat", "0", "glutton", "0", "1000")
    for instance in killed:
        wait_for_its_kill(node, instance)
    single = instances["single-runc"]
    (MOUNT / single.path / "memory.oom.group").write_text("1")
    node.agent.wait_for(lambda: node.knob(single.path) == "0", 60, "held")
    above = node.kubelet.driver.pod_path(instances["single-crun"].pod)
    (MOUNT / above / "memory.oom.group").write_text("1")
    node.agent.wait_for(lambda: node.agent.total("oomward_ancestor_conflicts") == 1, 60, "seen")


def wait_for_its_kill(node: Node, instance: Instance) -> None:
    """Until the kernel has killed the child or, where nobody asked for single, the whole container; and it was told."""
    lives, name = instance.pod.labels.get(MODE) == "single", instance.pod.name

    def killed() -> bool:
        return memory_events(instance.path).get("oom_kill") == 1 if lives else not instance.running

    node.kubelet.wait_for(killed, 60)
    reason = "ProcessOOMKilled" if lives else "ContainerOOMKilled"
    node.agent.wait_for(lambda: node.events(reason, name), 60, f"{name} told")


# --------------------------------------------------------------------------------------------------------------- panels


@pytest.mark.parametrize("query", queries(), ids=lambda q: f"{q.panel} {q.expr[-30:]}")
def test_every_query_of_every_panel_returns_data(seen: Seen, query: Query) -> None:
    may_be_empty = query.expr.startswith(PRESSURE)
    assert may_be_empty or seen.numbers(query.filled()), f"no data for {query.filled()}"


def test_every_variable_of_the_dashboard_has_values_to_choose_from(seen: Seen) -> None:
    wanted = {"namespace": ["default"], "node": [NODE], "cluster": [], "workload": ["single-runc"]}
    for name, variable in variables().items():
        if variable["type"] == "query":
            metric, label = fill(variable["definition"])[len("label_values(") : -1].rsplit(", ", 1)
            found = seen.prometheus.label_values(metric, label)
            assert set(wanted[name]) <= set(found)
            assert name != "cluster" or found == [], "a node's agent does not know its cluster"


def about(value: float) -> Any:
    """increase() extrapolates a little beyond the samples that it saw."""
    return pytest.approx(value, rel=0.5)


def test_the_panels_of_kills_show_what_happened(seen: Seen) -> None:
    assert seen.panel("Processes killed")[""] == about(seen.kills)
    assert seen.panel("Kills that the container survived")[""] == about(2)
    assert seen.panel("Kills that ended the container")[""] == about(2)
    assert 0 < seen.panel("Since the last kill")[""] < 3600
    assert {name.split("/")[-1] for name in seen.panel("Time since the last kill by container")} == {
        "single-runc", "single-crun", "plain-runc-0", "plain-crun-0",
    }  # fmt: skip
    outcomes = seen.panel("Kills by outcome")
    assert (outcomes["survived"], outcomes["died"]) == (about(2), about(2))
    scopes = dict.fromkeys((*(scope.value for scope in Scope), "unknown"), False) | {"container": True}
    assert {name: bool(n) for name, n in seen.panel("Kills by scope of the limit").items()} == scopes
    filled = seen.panel("What filled the limit at the last kill")
    assert filled["anon/default/single-runc/main"] > 40 << 20, "the glutton"
    assert {name: bool(n) for name, n in seen.panel("Kills by workload").items()} == {
        "default/single-runc": True, "default/single-crun": True, "default/plain-runc": True, "default/plain-crun": True,
        "default/mistyped": False,
    }  # fmt: skip
    top = {name.split("/")[-1] for name in seen.panel("Top containers")}
    assert top == {"single-runc", "single-crun", "plain-runc-0", "plain-crun-0"}
    assert seen.panel("Unattributed")[""] == 0
    assert seen.panel("Outside of pods")[""] == 0


def test_the_panels_of_limits_and_modes_show_what_is(seen: Seen) -> None:
    near = seen.panel("Near the limit")
    assert {name.split("/")[-1] for name in near} == {
        "single-runc", "single-crun", "plain-runc-0", "plain-crun-0", "mistyped",
    }  # fmt: skip
    assert all(0 < part < 1 for part in near.values())
    assert seen.panel("Containers with a desired mode")[""] == 2
    assert seen.panel("Not in force")[""] == 0
    assert seen.panel("Invalid labels and annotations")[""] == about(1)
    assert seen.panel("Mode single below a 1")[""] == 1
    assert seen.panel("Corrections and conflicts")[""] == about(1)
    assert seen.panel("Writes by outcome")["written"] > 0
    assert seen.panel("Time to correct a value")[""] > 0


def test_the_panels_of_the_agents_show_a_healthy_one(seen: Seen) -> None:
    for panel, wanted in (
        ("Agents up", 1), ("Agents down", 0), ("Ledgers in memory only", 0),
        ("Configurations refused now", 0), ("Kernel logs not read", 0), ("Lost or not read", 0),
    ):  # fmt: skip
        assert seen.panel(panel)[""] == wanted, panel
    assert seen.panel("Events by outcome")["created"] > 0
    assert list(seen.panel("Versions").values()) == [1]
    assert next(iter(seen.panel("Memory of the agents").values())) > 10 << 20


# --------------------------------------------------------------------------------------------------------------- alerts


@pytest.mark.parametrize("alert", rules.alerts(), ids=lambda alert: str(alert["alert"]))
def test_every_alert_is_evaluated_without_an_error(seen: Seen, alert: dict[str, Any]) -> None:
    seen.prometheus.query(alert["expr"])
    assert seen.prometheus.rules()[alert["alert"]] == ("ok", "")


def test_the_alerts_that_should_fire_do_and_no_other_does(seen: Seen) -> None:
    assert seen.prometheus.firing() == {
        ("OomwardProcessOOMKilled", "single-runc"),
        ("OomwardProcessOOMKilled", "single-crun"),
        ("OomwardContainerOOMKilled", "plain-runc-0"),
        ("OomwardContainerOOMKilled", "plain-crun-0"),
        ("OomwardModeFailed", ""),
    }


# --------------------------------------------------------------------------------------------------------------- series


def test_prometheus_saw_the_zero_of_every_container_before_its_kill(seen: Seen) -> None:
    """increase() needs it."""
    least = seen.numbers("sum by (pod) (min_over_time(oomward_oom_kills_total[10m]))")
    assert least == dict.fromkeys(("single-runc", "single-crun", "plain-runc-0", "plain-crun-0", "mistyped"), 0)


def test_a_container_that_was_restarted_goes_on_with_its_series(seen: Seen) -> None:
    node = seen.node
    node.kubelet.wait_for(lambda: sum(i.pod.name == "plain-crun-0" for i in node.kubelet.instances) == 2, 60)
    before = node.agent.total("oomward_oom_kills_total", pod="plain-crun-0")
    (again,) = [i for i in node.kubelet.instances if i.pod.name == "plain-crun-0" and i.running]
    node.kubelet.execute(again, "eat", "0", "glutton", "0", "1000")
    node.agent.wait_for(
        lambda: node.agent.total("oomward_oom_kill_outcomes_total", pod="plain-crun-0", outcome="died") == 2,
        60,
        "counted",
    )
    assert node.agent.total("oomward_oom_kills_total", pod="plain-crun-0") > before
    seen.prometheus.wait_scraped()
    died = 'oomward_oom_kill_outcomes_total{pod="plain-crun-0",outcome="died"}'
    assert list(seen.numbers(died).values()) == [2], "one series, which went on"
    assert list(seen.numbers(f"resets({died}[10m])").values()) == [0]
