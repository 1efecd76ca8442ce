"""The chart's values that must be refused, and what must stay as it is whatever the values. effects.py has what each value changes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import yaml

from agent.settings import SettingsError, load_rules
from tests.manifests.objects import BASE, Object, name, of_kind
from tests.manifests.tools import ToolError, Values, helm, helm_as_dependency, notes

OWN = {"app.kubernetes.io/name": "oomward", "oomward.dev/mode": "single"}
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
    ({"updateStrategy": {"rollingUpdate": {"maxUnavailable": "0%"}}}, "maxUnavailable"),
    ({"updateStrategy": {"rollingUpdate": {"maxUnavailable": 0}}}, "maxUnavailable"),
    ({"updateStrategy": {"rollingUpdate": {"maxSurge": 1}}}, "maxSurge"),
    ({"updateStrategy": {"type": "Recreate"}}, "type"),
    ({"podAnnotations": {"a": True}}, "podAnnotations"),
    ({"monitoring": {"enabled": "yes"}}, "monitoring"),
    ({"monitoring": True}, "monitoring"),
    ({"monitoring": {"podMonitor": {"interval": "often"}}}, "interval"),
    ({"monitoring": {"enabled": True, "alerts": {"severities": {"OomwardNone": "x"}}}}, "no alert OomwardNone"),
    ({"monitoring": {"enabled": True, "alerts": {"disabled": ["OomwardNone"]}}}, "no alert OomwardNone"),
    ({"tls": {"secretName": "Not_A_Name"}}, "secretName"),
    ({"tls": {"clientCaKey": "ca.crt"}}, "clientCaKey needs tls.secretName"),
    ({"basicAuth": {"users": "a:b"}}, "users"),
    ({"livenessProbe": {"exec": {"command": ["true"]}}}, "exec"),
    ({"livenessProbe": {"periodSeconds": 0}}, "periodSeconds"),
    ({"extraArgs": ["check"]}, "extraArgs"),
    ({"extraEnv": {"A": "b"}}, "extraEnv"),
    ({"extraVolumes": [{"emptyDir": {}}]}, "name"),
    ({"extraObjects": [{"kind": "Secret"}]}, "apiVersion"),
    ({"serviceAccount": {"name": "Not_A_Name"}}, "name"),
    ({"global": {"imagePullSecrets": [{"secret": "a"}]}}, "secret"),
    ({"nri": {"mount": "yes"}}, "mount"),
    ({"networkPolicy": {"scrapers": [{"cidr": "192.0.2.1/32"}]}}, "cidr"),
    ({"uninstall": "yes"}, "uninstall"),
    ({"enabled": "no"}, "enabled"),
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


def own_labels_replaced() -> Iterator[str]:
    """Labels of users that replace those by which oomward's objects find each other."""
    mine = {"app.kubernetes.io/name": "mine"}
    values = {"commonLabels": mine, "podLabels": mine, "monitoring": {"enabled": True, "labels": mine}}
    for item in helm(values):
        if item["metadata"]["labels"]["app.kubernetes.io/name"] == "mine":
            yield f"{name(item)} is not found any more with {values}"
    if of_kind(helm(values), "DaemonSet")["spec"]["template"]["metadata"]["labels"] != OWN:
        yield "the pods are not found any more"


def test_pod_taken_for_an_agent() -> Iterator[str]:
    """Whether `helm test` runs what an agent may, in a pod that the DaemonSet does not adopt."""
    for values in ({}, {"profile": "least-privilege"}, {"tls": {"secretName": "a"}}):
        items = helm(values)
        daemonset, pod = of_kind(items, "DaemonSet")["spec"], of_kind(items, "Pod")
        if daemonset["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items():
            yield "the DaemonSet would adopt it"
        (agent,), (check,) = daemonset["template"]["spec"]["containers"], pod["spec"]["containers"]
        yield from (
            f"its {key} is not the agent's"
            for key in ("image", "env", "securityContext", "volumeMounts", "resources")
            if check[key] != agent[key]
        )
        if (check["args"], pod["spec"]["volumes"]) != (["check"], daemonset["template"]["spec"]["volumes"]):
            yield "it does not run oomward check on the node's files"


def wrong_as_a_dependency() -> Iterator[str]:
    """What is wrong with the chart in another one: switched off it must render nothing, and it must use the release's pull secrets."""
    if items := helm_as_dependency({"oomward": {"enabled": False}}):
        yield f"switched off, it renders {len(items)} objects"
    values: Values = {"global": {"imagePullSecrets": ["key"], "other": 1}, "oomward": {"profile": "least-privilege"}}
    pod = of_kind(helm_as_dependency(values), "DaemonSet")["spec"]["template"]["spec"]
    if pod.get("imagePullSecrets") != [{"name": "key"}]:
        yield f"its pull secrets are {pod.get('imagePullSecrets')}"
    if pod["containers"][0]["securityContext"]["privileged"]:
        yield "the parent's values do not reach it"


def notes_without() -> Iterator[str]:
    """What the notes should say and do not."""
    for values, said in (
        ({}, "pod-security.kubernetes.io/enforce=privileged"),
        ({"uninstall": True}, "helm -n oomward uninstall oomward"),
        ({"enabled": False}, "enabled is false"),
    ):
        if said not in notes(values):
            yield f"{said} is not in the notes for {values}: {notes(values)}"


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
