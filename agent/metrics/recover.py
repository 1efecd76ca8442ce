"""The metrics of `oomward recover`, a process of its own."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector
from prometheus_client.exposition import choose_encoder

from agent.model.recover import Action, State

DRY_RUN, STARTED = "dry_run", "started"
RESULTS = (DRY_RUN, STARTED, State.SUCCEEDED.value, State.FAILED.value, State.REFUSED.value, State.DROPPED.value)


class RecoverMetrics:
    """Callers count on the attributes."""

    def __init__(self, *, process_metrics: bool = True) -> None:
        self.registry = CollectorRegistry()
        if process_metrics:
            ProcessCollector(registry=self.registry)
        self.recoveries = Counter(
            "oomward_recoveries", "Recovery steps, by action and result.", ["action", "result"], registry=self.registry
        )
        self.circuits_open = Gauge(
            "oomward_recovery_circuits_open",
            "Causes (a registry, a reason) of the failures of many owners: nothing is done about them.",
            registry=self.registry,
        )
        self.leading = Gauge("oomward_recovery_leading", "1: this replica leads.", registry=self.registry)
        self.errors = Counter(
            "oomward_recovery_errors",
            "Looks that were given up because of the API or the journal.",
            registry=self.registry,
        )
        for action in Action:
            for result in RESULTS:
                self.recoveries.labels(action, result)

    def page(self, accept: str = "") -> tuple[str, bytes]:
        """Content type and body, in the format that the Accept header asks for."""
        encode, content_type = choose_encoder(accept)
        return content_type, encode(self.registry)
