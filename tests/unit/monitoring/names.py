"""What a PromQL expression asks for: names of metrics and labels, held against what the agent has."""

from __future__ import annotations

import re

from prometheus_client.parser import text_string_to_metric_families

from agent.metrics.metrics import Metrics
from agent.metrics.recover import RecoverMetrics
from tests.monitoring.rules import ROOT

SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count"), "unknown": ("",)}
GOLDEN_PAGE = ROOT / "tests" / "unit" / "metrics" / "metrics.golden.txt"
# What every target has: from Prometheus, from the PodMonitor, and from the process collector.
OTHERS_METRICS = {"up", "process_start_time_seconds", "process_resident_memory_bytes", "process_cpu_seconds_total"}
TARGET_LABELS = {"cluster", "job", "instance", "node", "namespace", "pod", "container"}
METRIC = re.compile(r"\boomward_[a-z0-9_]+\b")
# A word that is no function (no parenthesis behind it) and has the look of a metric.
FOREIGN = re.compile(r"\b(?!oomward_)((?:kube|container|process|node)_[a-z0-9_]+|up)\b(?!\s*\()")
SELECTOR = re.compile(r"\b(oomward_[a-z0-9_]+)\{([^}]*)\}")
LABEL = re.compile(r"([a-z_]+)\s*(?:=~|!~|!=|=)")


def own_metrics() -> set[str]:
    """Every name of a series that the agent can have."""
    families = [*Metrics("0").registry.collect(), *RecoverMetrics(process_metrics=False).registry.collect()]
    return {
        family.name + suffix
        for family in families
        if family.name.startswith("oomward_")
        for suffix in SUFFIXES[family.type]
    }


def metrics_in(text: str) -> set[str]:
    """The agent's metrics that are named."""
    return set(METRIC.findall(text))


def foreign_names(expr: str) -> set[str]:
    """Metrics of others that are asked for, labels in braces and in by() left out."""
    bare = re.sub(r"\{[^}]*\}|\b(?:by|on|without|ignoring)\s*\([^)]*\)|\"[^\"]*\"", " ", expr)
    return set(FOREIGN.findall(bare))


def wrong_labels(expr: str) -> set[str]:
    """``metric.label`` for each selector that asks for a label which that metric can't have."""
    labels = _labels()
    return {
        f"{metric}.{label}"
        for metric, selector in SELECTOR.findall(expr)
        for label in LABEL.findall(selector)
        if label not in labels.get(metric, set()) | TARGET_LABELS
    }


def _labels() -> dict[str, set[str]]:
    """The labels of each series on the golden page, which has every metric."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(GOLDEN_PAGE.read_text()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found
