"""The API: does it answer, does it let us do what we need, and has it this node's pods?"""

from __future__ import annotations

from collections.abc import Iterator

from agent import __version__
from agent.commands.output.checklist import Check
from agent.commands.probes.answers import count, failed, passed, some, warned
from agent.commands.survey import Survey
from agent.kube.access import NEEDED, Permission, review, server_version
from agent.kube.api import Api, ApiError, ApiRefusedError, ApiUnreachableError, NoApiError, connect
from agent.settings import Settings

NOT_ASKED = "what we may do, and which pods are here, was not asked, since the API can't be"
NETWORK = (
    "See that the API server can be reached from here (firewall, proxy, NetworkPolicy) and that --kubeconfig, or the pod's service "
    "account, leads to it."
)
TOKEN = (
    "See that the credentials are valid and not expired: in a pod the service account's token, else the kubeconfig's."
)


def access(settings: Settings) -> Iterator[Check]:
    """The API itself, then a check for each verb that we need."""
    try:
        api = connect(settings.kubeconfig, user_agent=f"oomward/{__version__} (check)", lax_ca=settings.api_lax_ca)
    except NoApiError as error:
        yield failed("API", str(error), "Name a kubeconfig with --kubeconfig, or run in a pod with a service account.")
        yield warned("RBAC", NOT_ASKED, "Mend the API's check first.")
        return
    try:
        yield passed("API", f"Kubernetes {server_version(api)} answers at {api.server}")
    except ApiRefusedError as error:
        if error.status != 403:
            yield failed("API", f"{api.server}: {error}", TOKEN if error.status == 401 else NETWORK)
            yield warned("RBAC", NOT_ASKED, "Mend the API's check first.")
            return
        yield passed("API", f"answers at {api.server}, but doesn't tell us its version ({error})")
    except ApiError as error:
        yield failed("API", str(error), NETWORK)
        yield warned("RBAC", NOT_ASKED, "Mend the API's check first.")
        return
    yield from _permissions(api)


def _permissions(api: Api) -> Iterator[Check]:
    for needed in NEEDED:
        name = f"RBAC {needed.verb} {needed.resource}"
        try:
            verdict = review(api, needed)
        except ApiUnreachableError as error:
            yield failed(name, str(error), NETWORK)
            return  # and not a time-out for each of the others
        except ApiError as error:
            yield failed(
                name,
                f"whether {needed.verb} {needed.full_resource} is allowed can't be asked: {error}",
                f"Bind the ClusterRole system:basic-user to all who are logged in, as clusters do by default. {_rule(needed)}",
            )
            continue
        if verdict.allowed:
            yield passed(name, f"{needed.verb} {needed.full_resource} is allowed in all namespaces")
        else:
            why = f" ({verdict.why})" if verdict.why else ""
            yield failed(
                name, f"{needed.verb} {needed.full_resource} is not allowed in all namespaces{why}", _rule(needed)
            )


def _rule(needed: Permission) -> str:
    return (
        f"A ClusterRole of the agent's service account needs the rule apiGroups: [{needed.group!r}], "
        f"resources: [{needed.resource!r}], verbs: [{needed.verb!r}]; bind it with a ClusterRoleBinding."
    )


def pods(found: Survey) -> Iterator[Check]:
    """Whether the API told of this node's pods, and what of them it could not tell."""
    name, node = "pods", found.settings.node_name
    if not found.registry.listed:
        yield failed(name, "; ".join(found.troubles), "Mend what the checks of the API and of RBAC name.")
    elif not found.registry.pods:
        yield warned(
            name,
            f"the API has no pod on node {node!r}",
            "Give the node's name as `kubectl get nodes` shows it: --node-name, or NODE_NAME by the downward API (spec.nodeName).",
        )
    elif found.troubles:
        yield warned(
            name,
            f"{count(len(found.registry.pods), 'pod')} on node {node}, but: {some(found.troubles)}",
            "The rest is watched as usual: look at what is named there.",
        )
    else:
        yield passed(name, f"{count(len(found.registry.pods), 'pod')} on node {node}")
