"""The running containers: their runtimes, whether all were found and their processes are visible, and memory.oom.group on and
above those without a requested mode."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from agent.commands.probes.checks import Check, failed, passed, warned
from agent.commands.probes.kubelet import KubeletSetting, kubelet_setting
from agent.commands.survey import OwnSurvey
from agent.kernel.limits import is_first_pid_namespace
from agent.model import Cgroup, CgroupKind, Mode, Vanished, levels_above
from agent.wording.text import count, some

NO_CONTAINER = "no container runs here"
HOST_PID = "Set hostPID: true in the pod template of the DaemonSet."
SOME_LOST = (
    "They may have started or ended during this check: run it again. If they are still listed, oomward does not know the "
    "cgroup paths of their runtime: report /proc/<pid>/cgroup of one."
)
ALL_LOST = (
    "Check that --node-name is this node and --cgroup-mount its own cgroup tree; else report /proc/<pid>/cgroup of one."
)
RESET = "systemd wrote 0, as it does to running containers after a daemon-reload"
SET_MODE = "Set their mode with the label oomward.dev/mode, which oomward then enforces; or restart their pods."
SEE_KUBELET = "The kubelet's setting is shown by: kubectl get --raw /api/v1/nodes/NODE/proxy/configz."
ON_V1 = "cgroup v1 has no memory.oom.group"
ABOVE_CONTAINERS = (CgroupKind.KUBEPODS, CgroupKind.QOS, CgroupKind.POD)


def runtimes(found: OwnSurvey) -> Iterator[Check]:
    """Runtimes and the forms of their cgroup names, including pause sandboxes."""
    containers = found.containers()
    if not containers:
        yield warned("runtimes", NO_CONTAINER, "Start a pod here and run the check again.")
        return
    forms = Counter((cgroup.place.runtime or "an unnamed runtime", _form(cgroup)) for cgroup in containers)
    forms_text = "; ".join(f"{number} of {runtime} as {form}" for (runtime, form), number in sorted(forms.items()))
    crun = sum(found.child(cgroup) is not None for cgroup in containers)
    inner = f"; {crun} with crun's own cgroup (container/)" if crun else ""
    yield passed("runtimes", f"{count(len(containers), 'cgroup')} of containers and sandboxes: {forms_text}{inner}")


def _form(cgroup: Cgroup) -> str:
    name = cgroup.path.rpartition("/")[2]
    pod, colon, rest = name.partition(".slice:")
    shown = f"….slice:{rest}" if colon else pod
    return shown.replace(cgroup.place.container_id or "<id>", "<id>")


def all_found(found: OwnSurvey) -> Iterator[Check]:
    """Whether each container that runs according to the API has a cgroup here."""
    if not found.registry.listed:
        return
    seen = {cgroup.place.container_id for cgroup in found.containers()}
    running = [
        (f"{pod.namespace}/{pod.name} {container.name}", container.container_id)
        for pod in found.registry.pods.values()
        for container in pod.containers
        if container.running and container.container_id is not None
    ]
    lost = sorted(name for name, container_id in running if container_id not in seen)
    number = count(len(running), "running container")
    if not running:
        yield passed("containers", "the API has no running container on this node")
    elif not lost:
        yield passed("containers", f"all {number} of the API have a cgroup here")
    elif len(lost) < len(running):
        yield warned("containers", f"{len(lost)} of {number} have no cgroup here: {some(lost)}", SOME_LOST)
    else:
        yield failed("containers", f"none of the {number} of the API has a cgroup here: {some(lost)}", ALL_LOST)


def pids(found: OwnSurvey) -> Iterator[Check]:
    """Whether the containers' processes have a PID here. cgroup.procs shows 0 for those outside of our PID namespace.

    Without a container: whether our PID namespace is the machine's own. A node in a container (kind) has another one, which
    is fine.
    """
    populated = [cgroup for cgroup in found.containers() if found.files.populated(cgroup) is True]
    listed = {cgroup.path: found.files.pids(cgroup) for cgroup in populated}
    hidden = [path for path, pids in listed.items() if not isinstance(pids, Vanished) and pids and not any(pids)]
    number = count(len(populated), "cgroup")
    if hidden:
        where = f"{len(hidden)} of {number} of containers have no PID here ({some(hidden)})"
        unknown = "so whether a container survives a kill is not known"
        yield warned("pids", f"the processes of {where}, {unknown}", HOST_PID)
    elif populated:
        yield passed("pids", f"processes of {number} of containers and sandboxes are visible")
    elif is_first_pid_namespace():
        yield passed("pids", "this is the machine's own PID namespace: processes of containers will be visible")
    else:
        why = f"{NO_CONTAINER}, and this is not the machine's own PID namespace"
        yield warned("pids", why, f"Start a pod here and run the check again. {HOST_PID}")


def kubelet(found: OwnSurvey, setting: Callable[[], KubeletSetting] = kubelet_setting) -> Iterator[Check]:
    """What the kubelet makes of containers without a requested mode, by its own configuration and by their values.

    Since 1.28 the kubelet asks for 1 for each new container, or for nothing with singleProcessOOMKill: true (since 1.32); it never
    asks for 0. systemd may have reset a value to 0 after a daemon-reload. Pause sandboxes are always 0, so only containers known to the
    API count.
    """
    if found.hierarchy.version == "v1":
        yield passed("kubelet", ON_V1)
        return
    values, configured = _without_mode(found), setting()
    zeros = sorted(name for name, value in values if value == 0)
    number = f"{count(len(values), 'container')} without a requested mode"
    single, seen = configured.single_process, f"memory.oom.group is 0 on {len(zeros)} of {number}"
    seen += f" ({some(zeros)})" if zeros else ""
    if single is True:
        effect = "an OOM kill ends one process, except in mode group"
        yield passed("kubelet", f"singleProcessOOMKill is true in {configured.source}: {effect}; {seen}")
    elif zeros and single is False:
        at = f"false in {configured.source}" if configured.source else "not set in the kubelet's configuration"
        yield warned(
            "kubelet", f"singleProcessOOMKill is {at}, but {seen}: {RESET}, or the kubelet is older than 1.28", SET_MODE
        )
    elif zeros:
        others = "" if len(zeros) == len(values) else " and 1 on the others"
        what = (
            f"{seen}{others}: either singleProcessOOMKill is or was set, or the kubelet is older than 1.28, or {RESET}"
        )
        yield warned("kubelet", f"{what} ({configured.why})", f"{SEE_KUBELET} {SET_MODE}")
    elif values:
        effect = "an OOM kill ends the whole container, except in mode single"
        yield passed("kubelet", f"sets memory.oom.group=1 (default since 1.28), seen on {number}: {effect}")
    elif single is False:
        yield passed("kubelet", "singleProcessOOMKill is not set: since 1.28 the kubelet sets memory.oom.group=1")
    else:
        unseen = "no container known to the API is without a requested mode"
        why = f"cannot see whether singleProcessOOMKill is set: {configured.why}, and {unseen}"
        yield warned(
            "kubelet",
            why,
            f"Start a pod without a mode (with the API reachable) and run the check again. {SEE_KUBELET}",
        )


def _without_mode(found: OwnSurvey) -> list[tuple[str, int]]:
    """Name and memory.oom.group of each container that is known by name and has no requested mode."""
    values = []
    for container in found.containers() if found.registry.listed else ():
        named, pod = found.registry.identity(container.place), found.registry.pod_of(container.place)
        if named is not None and pod is not None and found.desired(container).decision.mode is None:
            value = found.files.read_oom_group(found.child(container) or container)
            if not isinstance(value, Vanished):
                values.append((f"{named.namespace}/{named.pod} {named.container}", value))
    return values


def ancestors(found: OwnSurvey) -> Iterator[Check]:
    """Whether memory.oom.group is 1 above containers: the kernel uses the highest such cgroup within the OOM domain.

    Then everything below it dies, whatever the container's value (mem_cgroup_get_oom_group, mm/memcontrol.c; cgroup-v2.rst).
    """
    if found.hierarchy.version == "v1":
        yield passed("ancestors", ON_V1)
        return
    above = _above_containers(found)
    grouped = sorted(cgroup.path for cgroup in above if found.files.read_oom_group(cgroup) == 1)
    if not above:
        yield passed("ancestors", "no cgroup above containers exists yet")
    elif not grouped:
        where = f"all {count(len(above), 'cgroup')} above containers (pods, QoS, kubepods and up)"
        yield passed("ancestors", f"memory.oom.group is 0 in {where}")
    else:
        singles = [c.path for c in found.containers() if found.desired(c).decision.mode is Mode.SINGLE]
        affected = [path for path in singles if not set(grouped).isdisjoint(levels_above(path))]
        text = f"memory.oom.group is 1 at {some(grouped)}: if this level or one above it reaches its limit, everything below is killed"
        advice = "Write 0 there, and find out what set it: OOMPolicy=kill of a systemd slice, or another agent."
        if affected:
            yield failed("ancestors", f"{text}, including {count(len(affected), 'container')} in mode single", advice)
        else:
            yield warned("ancestors", f"{text}. No container in mode single runs there now", advice)


def _above_containers(found: OwnSurvey) -> list[Cgroup]:
    """kubepods roots, QoS levels, pods, and the cgroups above the roots except the top, which has no such file."""
    above = {c.path: c for c in found.tree.cgroups.values() if c.place.kind in ABOVE_CONTAINERS}
    for path in {path for root in found.tree.roots for path in levels_above(root.path)}:
        if (cgroup := found.at(path)) is not None:
            above[path] = cgroup
    return list(above.values())
