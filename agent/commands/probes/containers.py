"""The running containers: their runtimes, whether all were found, and whether their processes are visible."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from agent.commands.output.checklist import Check
from agent.commands.probes.answers import count, failed, passed, some, warned
from agent.commands.survey import Survey
from agent.kernel.limits import is_first_pid_namespace
from agent.model import Cgroup, Vanished

NO_CONTAINER = "no container runs here"
HOST_PID = "Set hostPID: true in the pod template of the DaemonSet."
WITHOUT_PIDS = "so whether a container survives a kill is not known"


def runtimes(found: Survey) -> Iterator[Check]:
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


def all_found(found: Survey) -> Iterator[Check]:
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
    if not running:
        yield passed("containers", "the API has no running container on this node")
    elif not lost:
        yield passed("containers", f"all {count(len(running), 'running container')} of the API have a cgroup here")
    elif len(lost) < len(running):
        yield warned(
            "containers",
            f"{len(lost)} of {count(len(running), 'running container')} have no cgroup here: {some(lost)}",
            "They may have started or ended during this check: run it again. If they are still listed, oomward does not know the "
            "cgroup paths of their runtime: report /proc/<pid>/cgroup of one.",
        )
    else:
        yield failed(
            "containers",
            f"none of the {count(len(running), 'running container')} of the API has a cgroup here: {some(lost)}",
            "Check that --node-name is this node and --cgroup-mount its own cgroup tree; else report /proc/<pid>/cgroup of one.",
        )


def pids(found: Survey) -> Iterator[Check]:
    """Whether the containers' processes have a PID here. cgroup.procs shows 0 for those outside of our PID namespace.

    Without a container: whether our PID namespace is the machine's own. A node in a container (kind) has another one, which
    is fine.
    """
    populated = [cgroup for cgroup in found.containers() if found.files.populated(cgroup) is True]
    hidden = [cgroup.path for cgroup in populated if found.files.pids(cgroup) == ()]
    hidden = [path for path in hidden if not isinstance(found.files.inode(path), Vanished)]
    if hidden:
        yield warned(
            "pids",
            f"the processes of {len(hidden)} of {count(len(populated), 'cgroup')} of containers have no PID here ({some(hidden)}), "
            f"{WITHOUT_PIDS}",
            HOST_PID,
        )
    elif populated:
        yield passed("pids", f"processes of {count(len(populated), 'cgroup')} of containers and sandboxes are visible")
    elif is_first_pid_namespace():
        yield passed("pids", "this is the machine's own PID namespace: processes of containers will be visible")
    else:
        yield warned(
            "pids",
            f"{NO_CONTAINER}, and this is not the machine's own PID namespace",
            f"Start a pod here and run the check again. {HOST_PID}",
        )
