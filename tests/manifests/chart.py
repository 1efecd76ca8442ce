"""The chart's values: those that must be refused, and what the others do to the objects. Each check gives what it complains of."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from agent.settings import SettingsError, load_rules
from tests.manifests.objects import BASE, Object, of_kind
from tests.manifests.tools import ToolError, Values, helm, notes

DIGEST = "sha256:" + "0" * 64
# Values that are wrong, and what the refusal must name.
REFUSED: tuple[tuple[Values, str], ...] = (
    ({"profile": "privileged"}, "profile"),
    ({"Profile": "full"}, "Profile"),
    ({"image": {"tga": "1"}}, "tga"),
    ({"image": {"digest": "sha256:abc"}}, "digest"),
    ({"image": {"pullPolicy": "always"}}, "pullPolicy"),
    ({"image": {"repository": ""}}, "repository"),
    ({"leastPrivilege": {"capabilities": ["ALL"]}}, "capabilities"),
    ({"leastPrivilege": {"capabilities": ["CAP_sys_nice"]}}, "capabilities"),
    ({"config": {"logLevl": "debug"}}, "logLevl"),
    ({"config": {"logLevel": "trace"}}, "logLevel"),
    ({"config": {"listen": "0.0.0.0:9000"}}, "listen"),
    ({"config": {"rules": [{"name": "without a mode"}]}}, "mode"),
    ({"config": {"rules": [{"mode": "singel"}]}}, "mode"),
    ({"config": {"rules": [{"mode": "single", "namespace": ["a"]}]}}, "namespace"),
    ({"resources": {"limit": {"memory": "1Gi"}}}, "limit"),
    ({"tolerations": [{"operator": "Exist"}]}, "operator"),
    ({"nodeSelector": {"pool": 1}}, "pool"),
    ({"affinity": {"nodeafinity": {}}}, "nodeafinity"),
    ({"maxUnavailable": "0%"}, "maxUnavailable"),
    ({"maxUnavailable": 0}, "maxUnavailable"),
    ({"podAnnotations": {"a": True}}, "podAnnotations"),
    ({"monitoring": {"enabled": "yes"}}, "monitoring"),
    ({"monitoring": True}, "monitoring"),
    ({"networkPolicy": {"apiServerPorts": [70000]}}, "apiServerPorts"),
    ({"networkPolicy": {"apiServerPorts": []}}, "apiServerPorts"),
    ({"openshift": {"scc": True}}, "scc"),
    ({"gke": {"enabled": 1}}, "gke"),
    ({"namespace": {"name": "other"}}, "name"),
)
CONFIG: Values = {
    "logLevel": "debug",
    "logFormat": "json",
    "resyncInterval": "10m",
    "killRetentionCount": 2_000_000,
    "eventBudgetPod": "5/1m",
    "modeAppliedEvents": False,
    "ignoreLabelsIn": ["kube-*"],
    "rules": [
        {"name": "notebooks", "mode": "single", "namespaces": ["jupyter-*"], "selector": "component=singleuser-server"},
        {"mode": "leave", "selector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["a", "b"]}]}},
        {"mode": "group", "containers": "web"},
    ],
}


def accepted_though_wrong() -> Iterator[str]:
    """Values that must be refused, and are not, or not by name."""
    for values, named in REFUSED:
        try:
            helm(values)
        except ToolError as error:
            if named not in str(error):
                yield f"{values} is refused without naming {named!r}: {error}"
        else:
            yield f"{values} is not refused"


def without_effect() -> Iterator[str]:
    """Values that do not do what docs/reference/manifests.md says."""
    for values, path, wanted in _effects():
        found = _at(of_kind(helm(values), "DaemonSet")["spec"], path)
        if found != wanted:
            yield f"{values}: the DaemonSet's {path} is {found!r}, not {wanted!r}"


def _effects() -> Iterator[tuple[Values, str, object]]:
    pod, agent = "template.spec", "template.spec.containers.0"
    yield {"image": {"repository": "r.example/o", "tag": "2"}}, f"{agent}.image", "r.example/o:2"
    yield {"image": {"tag": "2", "digest": DIGEST}}, f"{agent}.image", f"ghcr.io/oomward/oomward@{DIGEST}"
    for policy in ("Always", "IfNotPresent", "Never"):
        yield {"image": {"pullPolicy": policy}}, f"{agent}.imagePullPolicy", policy
    yield {"image": {"pullSecrets": [{"name": "key"}]}}, f"{pod}.imagePullSecrets", [{"name": "key"}]
    yield {"nodeSelector": {"pool": "a"}}, f"{pod}.nodeSelector", {"kubernetes.io/os": "linux", "pool": "a"}
    yield {"tolerations": []}, f"{pod}.tolerations", None
    yield {"affinity": {"nodeAffinity": None}}, f"{pod}.affinity", None
    yield {"priorityClassName": "high"}, f"{pod}.priorityClassName", "high"
    yield {"priorityClassName": ""}, f"{pod}.priorityClassName", None
    yield {"maxUnavailable": 3}, "updateStrategy.rollingUpdate.maxUnavailable", 3
    yield {"resources": {"limits": {"memory": "1Gi"}}}, f"{agent}.resources.limits", {"memory": "1Gi"}
    yield {"resources": {"requests": {"cpu": "1"}}}, f"{agent}.resources.requests", {"cpu": "1", "memory": "64Mi"}
    own = {"kubectl.kubernetes.io/default-container": "agent"}
    yield {"podAnnotations": {"a": "1"}}, "template.metadata.annotations", own | {"a": "1"}
    label = {"app.kubernetes.io/name": "oomward"}
    single, given = {"oomward.dev/mode": "single"}, {"team": "a"}
    yield {"podLabels": given | dict.fromkeys(label, "mine")}, "template.metadata.labels", label | single | given
    group = {"oomward.dev/mode": "group"}
    yield {"podLabels": group}, "template.metadata.labels", label | group
    bare = {"profile": "least-privilege", "leastPrivilege": {"capabilities": []}}
    yield bare, f"{agent}.securityContext.capabilities", {"drop": ["ALL"]}


def _at(spec: Any, path: str) -> object:
    """The value at a dotted path; None where there is none."""
    for part in path.split("."):
        spec = spec[int(part)] if isinstance(spec, list) else spec.get(part)
        if spec is None:
            return None
    return spec


def elsewhere_without_effect() -> Iterator[str]:
    """The same of objects beside the DaemonSet, and of the notes."""
    labels = {"monitoring": {"enabled": True, "labels": {"release": "prometheus", "app.kubernetes.io/name": "mine"}}}
    for kind in ("PodMonitor", "PrometheusRule"):
        found = of_kind(helm(labels), kind)["metadata"]["labels"]
        if (found.get("release"), found.get("app.kubernetes.io/name")) != ("prometheus", "oomward"):
            yield f"the labels of {kind} are {found} for {labels}"
    ports = {"networkPolicy": {"enabled": True, "apiServerPorts": [16443]}}
    egress = of_kind(helm(ports), "NetworkPolicy")["spec"]["egress"]
    if egress[0]["ports"] != [{"protocol": "TCP", "port": 16443}]:
        yield f"the NetworkPolicy's egress is {egress} for {ports}"
    if "pod-security.kubernetes.io/enforce=privileged" not in notes({}):
        yield f"the notes don't tell of the label that the namespace needs: {notes({})}"


def config_that_the_agent_refuses() -> Iterator[str]:
    """What the agent says of the ConfigMap's file: kustomize's and the chart's default, and one with every kind of key."""
    default = _config(helm({}))
    if default != (BASE / "config.yaml").read_text():
        yield "the chart's default configuration is not manifests/base/config.yaml"
    made = _config(helm({"config": CONFIG}))
    if yaml.safe_load(made) != CONFIG:
        yield f"config became something else: {made}"
    with tempfile.TemporaryDirectory(prefix="oomward-config-") as folder:
        file = Path(folder) / "config.yaml"
        for text in (default, made):
            file.write_text(text)
            try:
                rules = load_rules(file)
            except SettingsError as error:
                yield str(error)
    if len(rules.rules) != len(CONFIG["rules"]):
        yield f"of {len(CONFIG['rules'])} rules the agent has {len(rules.rules)}"


def _config(items: list[Object]) -> str:
    (found,) = [item for item in items if (item["kind"], item["metadata"]["name"]) == ("ConfigMap", "oomward")]
    text: str = found["data"]["config.yaml"]
    return text
