"""Do kustomize, Helm and Kubernetes take the manifests, and do the first two make the same of them? ``python -m tests.manifests.run``

Renders base, components, overlays and the chart with kubectl's kustomize and Helm's engine, compares them, and validates
all of it, and every example, with the schemas of each supported Kubernetes version. Needs the environment of
requirements/manifests.lock (``make manifests`` makes it), no cluster and no network.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from tests.manifests import chart, effects, howto, schemas
from tests.manifests.cases import CASES, Case, build
from tests.manifests.objects import (
    BASE,
    CHART,
    EXAMPLES,
    OVERLAYS,
    ROOT,
    Object,
    differences,
    mapping,
    of_kind,
    parse,
    without_helms_own,
)
from tests.manifests.tools import ToolError, helm, kustomize, lint, versions

Check = tuple[str, Callable[[], Iterable[str]]]
IN_OUR_NAMESPACE: dict[str, object] = {"namespace": {"create": True}}
ELSEWHERE = "elsewhere"
VALUES = sorted((CHART / "ci").glob("*-values.yaml"))  # as chart-testing (ct) has them


def renders_with(file: Path) -> Iterator[str]:
    """Whether a DaemonSet does not come out of the chart with the values of this file."""
    if not any(item["kind"] == "DaemonSet" for item in helm(mapping(file.read_text(), file.name))):
        yield "there is no DaemonSet in it"


def renders_nothing(folder: Path) -> Iterator[str]:
    """Whether nothing comes out of a folder that is to be applied as it is."""
    if not kustomize(folder):
        yield "there is nothing in it"


def compare(case: Case) -> Iterator[str]:
    """How the chart differs from kustomize: with the Namespace, and without, as it is by default."""
    ours = build(case.components)
    yield from differences(ours, without_helms_own(helm(case.values | IN_OUR_NAMESPACE)))
    rest = [item for item in ours if item["kind"] != "Namespace"]
    yield from differences(rest, without_helms_own(helm(case.values)))


def forbidden(case: Case) -> Iterator[str]:
    """Containers that OpenShift's constraints of this case do not allow: then it makes no pod at all."""
    for made in (build(case.components), helm(case.values)):
        scc, pod = of_kind(made, "SecurityContextConstraints"), of_kind(made, "DaemonSet")["spec"]["template"]["spec"]
        for container in (*pod.get("initContainers", ()), *pod["containers"]):
            if container["securityContext"]["privileged"] and not (
                scc["allowPrivilegedContainer"] and scc["allowPrivilegeEscalation"]
            ):
                yield f"{container['name']} is privileged, which the constraints forbid"


def compare_elsewhere() -> Iterator[str]:
    """The same in a namespace of somebody's own choice."""
    ours = build(("least-privilege", "monitoring", "network-policy"), ELSEWHERE)
    values = {"profile": "least-privilege", "monitoring": {"enabled": True}, "networkPolicy": {"enabled": True}}
    yield from differences(ours, without_helms_own(helm(values | IN_OUR_NAMESPACE, ELSEWHERE)))
    yield from (
        f"{item['kind']} is still in oomward" for item in ours if item["metadata"].get("namespace") == "oomward"
    )


def everything() -> list[Object]:
    """All that the manifests can become."""
    items = [item for folder in (BASE, *OVERLAYS) for item in kustomize(folder)]
    items += [item for case in CASES for item in build(case.components)]
    items += [item for case in CASES for item in helm(case.values | IN_OUR_NAMESPACE)]
    items += [item for file in VALUES for item in helm(mapping(file.read_text(), file.name))]
    items += [item for effect in effects.EFFECTS for item in helm(effect.values)]
    return items + helm({"config": chart.CONFIG})


def examples() -> list[Path]:
    """Every file for users to apply."""
    return sorted(path for path in EXAMPLES.rglob("*") if path.suffix in (".yaml", ".yml"))


def validate_example(path: Path, known: list[str]) -> Iterator[str]:
    """What Kubernetes finds wrong in the file. One called …values.yaml is for another project's chart, and has to be a mapping."""
    text, where = path.read_text(), str(path.relative_to(ROOT))
    if path.stem.endswith("values"):
        yield from () if mapping(text, where) else ("there is nothing in it",)
        return
    items = parse(text, where)
    if not items:
        yield "there is no object in it"
    yield from schemas.complaints(items, known)


def misspelt(known: list[str]) -> Iterator[str]:
    """Versions that take a field which does not exist: their silence about the others would mean nothing."""
    daemonset = copy.deepcopy(of_kind(kustomize(BASE), "DaemonSet"))
    daemonset["spec"]["template"]["spec"]["hostPid"] = True
    yield from (
        f"{version} takes hostPid for hostPID" for version in known if not schemas.complaints([daemonset], [version])
    )


def checks() -> Iterator[Check]:
    """Each check: what it is, and what gives its complaints."""
    for folder in (BASE, *OVERLAYS):
        yield f"kubectl kustomize {folder.relative_to(ROOT)}", partial(renders_nothing, folder)
    yield "helm lint --strict", lint
    for case in CASES:
        yield f"the chart renders what kustomize does: {case}", partial(compare, case)
    yield "and in another namespace", compare_elsewhere
    for case in CASES:
        if "openshift" in case.values:
            yield f"OpenShift's constraints allow the pod: {case}", partial(forbidden, case)
    yield f"{len(chart.REFUSED)} wrong values of the chart are refused by name", chart.accepted_though_wrong
    yield f"the chart's values change what they should: {len(effects.EFFECTS)} effects", effects.without_effect
    yield "each value of the chart changes what is rendered", effects.idle
    yield "a changed setting replaces the pods, a changed rule does not", effects.replaced_or_not
    yield "no label of users replaces those that oomward needs", chart.own_labels_replaced
    yield "helm test runs oomward check as the agent runs", chart.test_pod_taken_for_an_agent
    yield "another chart can depend on it, and switch it off", chart.wrong_as_a_dependency
    yield "the notes say what is to be done", chart.notes_without
    yield "the overlay of docs/howto/recover.md has the policy that it names", howto.recover_overlay
    yield "the patch of docs/howto/alert.md changes the severities that it names", howto.severities
    for file in VALUES:
        yield f"the chart with {file.relative_to(ROOT)}", partial(renders_with, file)
    yield "the agent takes the configuration files", chart.config_that_the_agent_refuses
    known, items = schemas.supported_versions(), everything()
    for version in known:
        yield f"Kubernetes {version} takes all objects", partial(schemas.complaints, items, [version])
    yield "a misspelt field is refused by each version", partial(misspelt, known)
    for path in examples():
        name = f"Kubernetes {known[0]} to {known[-1]} take {path.relative_to(ROOT)}"
        yield name, partial(validate_example, path, known)


def results() -> Iterator[tuple[str, bool, str]]:
    """Each check: what it is, whether it passed, what it complains of."""
    for name, check in checks():
        try:
            said = list(check())
        except (ToolError, ValueError) as error:
            said = [str(error)]
        yield name, not said, "\n".join(said)


def main() -> int:
    """Print a line a check, with the complaints of those that failed; returns 1 if any did."""
    passed = failed = 0
    try:
        print(versions())
        for name, good, said in results():
            print(f"{'passed' if good else 'FAILED'}  {name}", flush=True)
            if not good:
                print("    " + said.replace("\n", "\n    "))
            passed, failed = passed + good, failed + (not good)
    except (ToolError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
