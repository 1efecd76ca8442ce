"""What the running containers tell: which runtimes made them, that all of them were found, and that we see their processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from agent.commands.output.checklist import Check
from agent.commands.probes.answers import count, failed, passed, some, warned
from agent.commands.survey import Survey
from agent.kernel.limits import is_first_pid_namespace
from agent.model import Cgroup, Vanished

NO_CONTAINER = "no container runs here"
HOST_PID = "Set hostPID: true in the DaemonSet's pod template."
WITHOUT_PIDS = "whether a container outlived a kill can't be told then"


def runtimes(found: Survey) -> Iterator[Check]:
    """Runtimes and the forms of their cgroups' names (pause sandboxes among them)."""
    containers = found.containers()
    if not containers:
        yield warned("runtimes", NO_CONTAINER, "Start a pod here and run the check again.")
        return
    forms = Counter((cgroup.place.runtime or "a runtime that it does not name", _form(cgroup)) for cgroup in containers)
    told = "; ".join(f"{number} of {runtime} as {form}" for (runtime, form), number in sorted(forms.items()))
    crun = sum(found.child(cgroup) is not None for cgroup in containers)
    inner = f"; {crun} with crun's own cgroup below (container/)" if crun else ""
    yield passed("runtimes", f"{count(len(containers), 'cgroup')} of containers and sandboxes: {told}{inner}")


def _form(cgroup: Cgroup) -> str:
    name = cgroup.path.rpartition("/")[2]
    pod, colon, rest = name.partition(".slice:")
    shown = f"….slice:{rest}" if colon else pod
    return shown.replace(cgroup.place.container_id or "<id>", "<id>")


def all_found(found: Survey) -> Iterator[Check]:
    """Whether each container that the API names as running has a cgroup that we found."""
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
    if not running:
        yield passed("containers", "the API names no running container on this node")
    elif not lost:
        yield passed(
            "containers", f"all {count(len(running), 'running container')} of the API's have their cgroup here"
        )
    elif len(lost) < len(running):
        yield warned(
            "containers",
            f"{len(lost)} of {count(len(running), 'running container')} have no cgroup here: {some(lost)}",
            "They may have begun or ended during this check: run it again. If they stay, their runtime's paths are not known to "
            "oomward: report /proc/<pid>/cgroup of one.",
        )
    else:
        yield failed(
            "containers",
            f"none of the {count(len(running), 'running container')} that the API names has a cgroup here: {some(lost)}",
            "See that --node-name names this very node and --cgroup-mount its own cgroup tree; else report /proc/<pid>/cgroup of "
            "one.",
        )


def pids(found: Survey) -> Iterator[Check]:
    """Whether processes of containers have a pid here. In cgroup.procs those of foreign pid namespaces read as 0.

    Without a container: whether our pid namespace is the machine's own. A node in a container (kind) has another one, and
    is all right all the same.
    """
    populated = [cgroup for cgroup in found.containers() if found.files.populated(cgroup) is True]
    hidden = [cgroup.path for cgroup in populated if found.files.pids(cgroup) == ()]
    hidden = [path for path in hidden if not isinstance(found.files.inode(path), Vanished)]
    if hidden:
        yield warned(
            "pids",
            f"the processes of {len(hidden)} of {count(len(populated), 'cgroup')} of containers have no pid here ({some(hidden)}): "
            f"{WITHOUT_PIDS}",
            HOST_PID,
        )
    elif populated:
        yield passed("pids", f"processes of {count(len(populated), 'cgroup')} of containers and sandboxes are visible")
    elif is_first_pid_namespace():
        yield passed("pids", "this is the machine's own pid namespace: processes of containers will be visible")
    else:
        yield warned(
            "pids",
            f"{NO_CONTAINER} to tell by, and this is not the machine's own pid namespace",
            f"Start a pod here and run the check again. {HOST_PID}",
        )
