"""What each value of the chart changes. ``EFFECTS`` has at least one row per value: tests/unit/manifests/test_chart.py counts them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.manifests.cases import CASES
from tests.manifests.chart import CONFIG
from tests.manifests.objects import Object
from tests.manifests.tools import ToolError, Values, helm
from tests.manifests.values_table import rows

DIGEST = "sha256:" + "0" * 64
POD, AGENT = "spec.template.spec", "spec.template.spec.containers.0"
ENDPOINT = "spec.podMetricsEndpoints.0"
LABEL = {"app.kubernetes.io/name": "oomward"}
SINGLE = {"oomward.dev/mode": "single"}
DEFAULT = {"kubectl.kubernetes.io/default-container": "agent"}
BARE: Values = {"profile": "least-privilege", "leastPrivilege": {"capabilities": []}}
SECRET, CLIENT = {"name": "a"}, {"name": "c"}
TLS: Values = {
    "secretName": "a",
    "clientCaKey": "ca.crt",
    "serverName": "x",
    "caSecretName": "b",
    "clientSecretName": "c",
}


@dataclass(frozen=True, slots=True)
class Effect:
    """With ``values`` the value at the dotted ``path`` of ``item`` (kind, or kind/name) is ``wanted``; None: there is none."""

    values: Values
    item: str
    path: str
    wanted: object


def daemonset(values: Values, path: str, wanted: object) -> Effect:
    return Effect(values, "DaemonSet", path, wanted)


def _monitoring(**values: Any) -> Values:
    return {"monitoring": {"enabled": True, **values}}


def _dashboard(**values: Any) -> Values:
    return _monitoring(dashboard=values)


def _policy(**values: Any) -> Values:
    return {"networkPolicy": {"enabled": True, **values}}


RELABELING = {"targetLabel": "cluster", "replacement": "a"}
PEER = {"podSelector": {"matchLabels": {"app": "prometheus"}}}
OF_AGENT = (
    daemonset({"image": {"repository": "r.example/o", "tag": "2"}}, f"{AGENT}.image", "r.example/o:2"),
    daemonset({"image": {"tag": "2", "digest": DIGEST}}, f"{AGENT}.image", f"ghcr.io/oomward/oomward@{DIGEST}"),
    *(
        daemonset({"image": {"pullPolicy": policy}}, f"{AGENT}.imagePullPolicy", policy)
        for policy in ("Always", "IfNotPresent", "Never")
    ),
    daemonset({"image": {"pullSecrets": [SECRET]}}, f"{POD}.imagePullSecrets", [SECRET]),
    daemonset({"global": {"imagePullSecrets": ["a"]}}, f"{POD}.imagePullSecrets", [SECRET]),
    daemonset(
        {"image": {"pullSecrets": [SECRET]}, "global": {"imagePullSecrets": [SECRET, "c"], "other": 1}},
        f"{POD}.imagePullSecrets",
        [SECRET, CLIENT],
    ),
    daemonset({"nodeSelector": {"pool": "a"}}, f"{POD}.nodeSelector", {"kubernetes.io/os": "linux", "pool": "a"}),
    daemonset({"tolerations": []}, f"{POD}.tolerations", None),
    daemonset({"affinity": {"nodeAffinity": None}}, f"{POD}.affinity", None),
    daemonset({"priorityClassName": "high"}, f"{POD}.priorityClassName", "high"),
    daemonset({"priorityClassName": ""}, f"{POD}.priorityClassName", None),
    daemonset({"resources": {"limits": {"memory": "1Gi"}}}, f"{AGENT}.resources.limits", {"memory": "1Gi"}),
    daemonset({"resources": {"requests": {"cpu": "1"}}}, f"{AGENT}.resources.requests", {"cpu": "1", "memory": "64Mi"}),
    daemonset({"profile": "least-privilege"}, f"{AGENT}.securityContext.privileged", False),
    daemonset(BARE, f"{AGENT}.securityContext.capabilities", {"drop": ["ALL"]}),
    daemonset({"extraArgs": ["--log-level=debug"]}, f"{AGENT}.args", ["run", "--log-level=debug"]),
    daemonset({"extraEnv": [{"name": "A", "value": "b"}]}, f"{AGENT}.env.2", {"name": "A", "value": "b"}),
    daemonset({"extraEnvFrom": [{"secretRef": SECRET}]}, f"{AGENT}.envFrom", [{"secretRef": SECRET}]),
    daemonset({"extraVolumes": [{"name": "a", "emptyDir": {}}]}, f"{POD}.volumes.5", {"name": "a", "emptyDir": {}}),
    daemonset(
        {"extraVolumeMounts": [{"name": "a", "mountPath": "/a"}]},
        f"{AGENT}.volumeMounts.5",
        {"name": "a", "mountPath": "/a"},
    ),
    daemonset({"startupProbe": {"failureThreshold": 9}}, f"{AGENT}.startupProbe.failureThreshold", 9),
    daemonset({"livenessProbe": {"initialDelaySeconds": 9}}, f"{AGENT}.livenessProbe.initialDelaySeconds", 9),
    daemonset({"readinessProbe": {"periodSeconds": 9}}, f"{AGENT}.readinessProbe.periodSeconds", 9),
    daemonset({"nri": {"socketDirectory": "/run/n"}}, f"{POD}.volumes.3.hostPath.path", "/run/n"),
    daemonset({"nri": {"mount": False}}, f"{POD}.volumes.3.name", "state"),
    daemonset({"nri": {"mount": True}} | BARE, f"{POD}.volumes.3.name", "nri"),
    daemonset({"config": {"nri": "off"}}, f"{POD}.volumes.3.name", "state"),
)
OF_THE_WHOLE = (
    daemonset({"updateStrategy": {"type": "OnDelete"}}, "spec.updateStrategy", {"type": "OnDelete"}),
    daemonset(
        {"updateStrategy": {"rollingUpdate": {"maxUnavailable": 3}}},
        "spec.updateStrategy.rollingUpdate.maxUnavailable",
        3,
    ),
    daemonset({"daemonSetAnnotations": {"a": "1"}}, "metadata.annotations", {"a": "1"}),
    daemonset({"podAnnotations": {"a": "1"}}, "spec.template.metadata.annotations", DEFAULT | {"a": "1"}),
    daemonset({"podLabels": {"team": "a"}}, "spec.template.metadata.labels", LABEL | SINGLE | {"team": "a"}),
    daemonset(
        {"podLabels": {"app.kubernetes.io/name": "mine", "oomward.dev/mode": "group"}},
        "spec.template.metadata.labels",
        LABEL | {"oomward.dev/mode": "group"},
    ),
    daemonset({"commonLabels": {"team": "a"}}, "spec.template.metadata.labels.team", "a"),
    *(
        Effect({"commonLabels": {"team": "a"}} | _monitoring(), kind, "metadata.labels.team", "a")
        for kind in ("DaemonSet", "ServiceAccount", "ClusterRole", "PodMonitor", "ConfigMap/oomward-dashboard", "Pod")
    ),
    daemonset({"serviceAccount": {"create": False, "name": "mine"}}, f"{POD}.serviceAccountName", "mine"),
    Effect({"serviceAccount": {"create": False}}, "ServiceAccount", "", None),
    Effect({"serviceAccount": {"name": "mine"}}, "ServiceAccount", "metadata.name", "mine"),
    Effect({"serviceAccount": {"name": "mine"}}, "ClusterRoleBinding", "subjects.0.name", "mine"),
    Effect(
        {"serviceAccount": {"name": "mine"}, "openshift": {"enabled": True}}, "RoleBinding", "subjects.0.name", "mine"
    ),
    Effect({"serviceAccount": {"annotations": {"a": "1"}}}, "ServiceAccount", "metadata.annotations", {"a": "1"}),
    Effect({"rbac": {"create": False}}, "ClusterRole", "", None),
    Effect({"rbac": {"create": False}}, "ClusterRoleBinding", "", None),
    Effect({"rbac": {"create": False}}, "ServiceAccount", "metadata.name", "oomward"),
    *(Effect({"enabled": False}, kind, "", None) for kind in ("DaemonSet", "ConfigMap", "ServiceAccount", "Pod")),
    Effect({"config": {"logLevel": "debug"}}, "ConfigMap", "data", {"config.yaml": "logLevel: debug\n"}),
    Effect({"namespace": {"create": True}}, "Namespace", "metadata.name", "oomward"),
    Effect({"gke": {"enabled": True}}, "ResourceQuota", "metadata.name", "oomward-critical-pods"),
    Effect(
        {"extraObjects": [{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "{{ .Release.Name }}-a"}}]},
        "Secret",
        "metadata.name",
        "oomward-a",
    ),
    Effect({"openshift": {"enabled": True}}, "SecurityContextConstraints", "allowPrivilegedContainer", True),
    Effect(
        {"openshift": {"enabled": True}, "extraVolumes": [{"name": "a", "emptyDir": {}}], "tls": TLS},
        "SecurityContextConstraints",
        "volumes",
        ["configMap", "emptyDir", "hostPath", "projected", "secret"],
    ),
    daemonset({"oomPolicyDropIn": {"enabled": True}}, f"{POD}.initContainers.0.args", ["oom-policy", "install"]),
    daemonset(
        {"oomPolicyDropIn": {"enabled": True}, "uninstall": True},
        f"{POD}.initContainers.0.args",
        ["oom-policy", "remove"],
    ),
    daemonset({"uninstall": True}, f"{AGENT}.args", ["uninstall", "--stay"]),
    daemonset({"uninstall": True}, "spec.updateStrategy.rollingUpdate.maxUnavailable", "100%"),
    daemonset({"uninstall": True}, f"{AGENT}.livenessProbe", None),
    daemonset({"uninstall": True}, f"{AGENT}.readinessProbe.exec.command", ["oomward", "uninstall", "--done"]),
)
OF_PAGES = (
    *(
        daemonset({"tls": {"secretName": "a"}}, f"{AGENT}.{probe}Probe.httpGet.scheme", "HTTPS")
        for probe in ("startup", "liveness", "readiness")
    ),
    daemonset({}, f"{AGENT}.livenessProbe.httpGet.scheme", None),
    daemonset({"tls": TLS}, f"{POD}.volumes.0", {"name": "tls", "secret": {"secretName": "a"}}),
    daemonset({"tls": TLS}, f"{AGENT}.env.2", {"name": "OOMWARD_TLS_CLIENT_CA", "value": "/etc/oomward-tls/ca.crt"}),
    Effect(
        {"tls": TLS} | _monitoring(),
        "PodMonitor",
        f"{ENDPOINT}.tlsConfig",
        {
            "serverName": "x",
            "ca": {"secret": {"name": "b", "key": "ca.crt"}},
            "cert": {"secret": {"name": "c", "key": "tls.crt"}},
            "keySecret": {"name": "c", "key": "tls.key"},
        },
    ),
    Effect({"tls": TLS} | _monitoring(), "PodMonitor", f"{ENDPOINT}.scheme", "https"),
    Effect(_monitoring(), "PodMonitor", f"{ENDPOINT}.scheme", None),
    daemonset(
        {"basicAuth": {"secretName": "a", "usersKey": "list"}},
        f"{POD}.volumes.0.secret",
        {"secretName": "a", "items": [{"key": "list", "path": "users"}]},
    ),
    daemonset(
        {"basicAuth": {"secretName": "a"}},
        f"{AGENT}.env.0",
        {"name": "OOMWARD_BASIC_AUTH_FILE", "value": "/etc/oomward-users/users"},
    ),
    Effect(
        {"basicAuth": {"secretName": "a"}} | _monitoring(),
        "PodMonitor",
        f"{ENDPOINT}.basicAuth",
        {"username": {"name": "a", "key": "username"}, "password": {"name": "a", "key": "password"}},
    ),
)
OF_MONITORING = (
    *(
        Effect(_monitoring(labels={"release": "p"}), kind, "metadata.labels.release", "p")
        for kind in ("PodMonitor", "PrometheusRule")
    ),
    Effect(_monitoring(podMonitor={"enabled": False}), "PodMonitor", "", None),
    Effect(_monitoring(podMonitor={"enabled": False}), "PrometheusRule", "metadata.name", "oomward"),
    Effect(_monitoring(podMonitor={"interval": "5s"}), "PodMonitor", f"{ENDPOINT}.interval", "5s"),
    Effect(_monitoring(podMonitor={"scrapeTimeout": "5s"}), "PodMonitor", f"{ENDPOINT}.scrapeTimeout", "5s"),
    Effect(
        _monitoring(podMonitor={"relabelings": [RELABELING]}), "PodMonitor", f"{ENDPOINT}.relabelings.3", RELABELING
    ),
    Effect(
        _monitoring(podMonitor={"metricRelabelings": [RELABELING]}),
        "PodMonitor",
        f"{ENDPOINT}.metricRelabelings",
        [RELABELING],
    ),
    Effect(_monitoring(alerts={"enabled": False}), "PrometheusRule", "", None),
    Effect(
        _monitoring(alerts={"severities": {"OomwardProcessOOMKilled": "page"}, "labels": {"team": "a"}}),
        "PrometheusRule",
        "spec.groups.0.rules.0.labels",
        {"severity": "page", "team": "a"},
    ),
    *(
        Effect(
            _monitoring(alerts={"agentSeverity": "info", "severities": {"OomwardAgentsAbsent": "page"}}),
            "PrometheusRule",
            f"spec.groups.{group}.rules.{rule}.labels.severity",
            severity,
        )
        for group, rule, severity in (
            (0, 0, "warning"),
            (1, 0, "warning"),
            (2, 0, "info"),
            (2, 1, "page"),
            (2, 2, "info"),
        )
    ),
    Effect(_monitoring(), "PrometheusRule", "spec.groups.2.rules.1.labels.severity", "warning"),
    Effect(
        _monitoring(alerts={"disabled": ["OomwardProcessOOMKilled"]}),
        "PrometheusRule",
        "spec.groups.0.rules.0.alert",
        "OomwardContainerOOMKilled",
    ),
    Effect(_dashboard(enabled=False), "ConfigMap/oomward-dashboard", "", None),
    Effect(_dashboard(labels={"a": "1"}), "ConfigMap/oomward-dashboard", "metadata.labels.a", "1"),
    Effect(_dashboard(labels={"a": "1"}), "ConfigMap/oomward-dashboard", "metadata.labels.grafana_dashboard", "1"),
    Effect(_dashboard(namespace="g"), "ConfigMap/oomward-dashboard", "metadata.namespace", "g"),
    Effect(
        _dashboard(annotations={"a": "1"}, folder="Nodes", folderAnnotation="f"),
        "ConfigMap/oomward-dashboard",
        "metadata.annotations",
        {"a": "1", "f": "Nodes"},
    ),
    Effect(
        _policy(apiServerPorts=[16443], apiServers=[PEER]),
        "NetworkPolicy",
        "spec.egress.0",
        {"ports": [{"protocol": "TCP", "port": 16443}], "to": [PEER]},
    ),
    Effect(_policy(dnsServers=[PEER]), "NetworkPolicy", "spec.egress.1.to", [PEER]),
    Effect(_policy(scrapers=[PEER]), "NetworkPolicy", "spec.ingress.0.from", [PEER]),
)
RECOVER_POD = "spec.template.spec"


def _recover(path: str, wanted: object, **values: Any) -> Effect:
    return Effect({"recover": {"enabled": True, **values}}, "Deployment", path, wanted)


OF_RECOVER = (
    _recover("spec.replicas", 3, replicas=3),
    _recover(
        f"{RECOVER_POD}.containers.0.resources.limits", {"memory": "1Gi"}, resources={"limits": {"memory": "1Gi"}}
    ),
    _recover(f"{RECOVER_POD}.priorityClassName", "high", priorityClassName="high"),
    _recover(f"{RECOVER_POD}.nodeSelector.pool", "a", nodeSelector={"pool": "a"}),
    _recover(f"{RECOVER_POD}.tolerations", [{"operator": "Exists"}], tolerations=[{"operator": "Exists"}]),
    _recover("spec.template.metadata.annotations", {"a": "1"}, podAnnotations={"a": "1"}),
    Effect(
        {"recover": {"enabled": True, "policy": {"dryRun": False}}},
        "ConfigMap/oomward-recover-policy",
        "data",
        {"recover.yaml": "dryRun: false\n"},
    ),
    Effect({"recover": {"enabled": True}, "enabled": False}, "Deployment", "", None),
    Effect(
        {"recover": {"enabled": True}, "global": {"imagePullSecrets": ["a"]}},
        "Deployment",
        f"{RECOVER_POD}.imagePullSecrets",
        [SECRET],
    ),
    Effect(
        {"recover": {"enabled": True}, "commonLabels": {"team": "a"}},
        "Deployment",
        "spec.template.metadata.labels.team",
        "a",
    ),
)
EFFECTS = (*OF_AGENT, *OF_THE_WHOLE, *OF_PAGES, *OF_MONITORING, *OF_RECOVER)


def without_effect() -> Iterator[str]:
    """Values that do not do what docs/reference/manifests.md says."""
    for effect in EFFECTS:
        found = at(find(helm(effect.values), effect.item), effect.path)
        if found != effect.wanted:
            yield f"{effect.values}: {effect.item} has {found!r} at {effect.path}, not {effect.wanted!r}"


def replaced_or_not() -> Iterator[str]:
    """Whether a changed configuration replaces the pods where that is needed, and only there."""
    rules: Values = {"rules": [{"mode": "single"}], "ignoreLabelsIn": ["kube-*"]}
    plain = checksum({})
    if plain is not None or checksum({"config": rules}) is not None:
        yield "rules alone replace the pods: they take effect without a restart"
    first, second = (checksum({"config": {"logLevel": level} | rules}) for level in ("debug", "error"))
    if first is None or second is None or first == second:
        yield "a changed setting does not replace the pods"
    if first != checksum({"config": {"logLevel": "debug"}}):
        yield "a changed rule replaces the pods"
    if checksum({"config": {"logLevel": "debug"}, "restartOnConfigChange": False}) is not None:
        yield "restartOnConfigChange does nothing"


def checksum(values: Values) -> object:
    return at(find(helm(values), "DaemonSet"), "spec.template.metadata.annotations.checksum/settings")


RENDERED: tuple[Values, ...] = (
    *(effect.values for effect in EFFECTS),
    *(case.values for case in CASES),
    {"config": CONFIG},
    {"config": {"logLevel": "debug"}, "restartOnConfigChange": False},
)


def idle() -> Iterator[str]:
    """Documented values that change nothing: of all that is rendered with such a value, the same is rendered without it."""
    for path, _, _ in rows():
        with_it = [values for values in RENDERED if path in values_set(values)]
        if not any(helm(values) != _or_refused(_without(values, path.split("."))) for values in with_it):
            yield f"{path} changes nothing in {len(with_it)} renderings"


def _or_refused(values: Values) -> list[Object] | None:
    """None: another of the values needs the one that was left out."""
    try:
        return helm(values)
    except ToolError:
        return None


def _without(values: Values, keys: list[str]) -> Values:
    key, *below = keys
    left = {name: value for name, value in values.items() if name != key}
    return left | {key: _without(values[key], below)} if below else left


def values_set(values: Values) -> set[str]:
    """``monitoring.alerts.labels`` …: each value that is set, down to the leaves, and everything above it."""
    found = set()
    for key, value in values.items():
        found |= {key, *(f"{key}.{below}" for below in values_set(value))} if isinstance(value, dict) else {key}
    return found


def find(items: list[Object], which: str) -> Object | None:
    kind, _, name = which.partition("/")
    found = [item for item in items if item["kind"] == kind and (not name or item["metadata"]["name"] == name)]
    return found[0] if found else None


def at(value: Any, path: str) -> Any:
    """The value at a dotted path; None where there is none. The empty path: the whole."""
    for part in path.split(".") if path else ():
        if isinstance(value, list):
            value = value[int(part)] if int(part) < len(value) else None
        elif value is not None:
            value = value.get(part)
    return value
