"""The API: does it answer, does it grant the needed permissions, does it have this node's pods?"""

from __future__ import annotations

from collections.abc import Iterator

from agent import __version__
from agent.commands.probes.checks import Check, failed, passed, warned
from agent.kube.access import NEEDED, Permission, review, server_version
from agent.kube.api import (
    Api,
    ApiCertificateError,
    ApiError,
    ApiRefusedError,
    ApiUnreachableError,
    NoApiError,
    connect,
)
from agent.look.survey import Survey
from agent.settings import Settings
from agent.wording.text import count, some

NO_RBAC = warned(
    "RBAC", "permissions and pods were not checked, since the API is not reachable", "Fix the failed API check first."
)
CONNECTION = "Give a kubeconfig with --kubeconfig, or run in a pod with a service account."
NETWORK = (
    "Check that the API server is reachable from here (firewall, proxy, NetworkPolicy) and that --kubeconfig, or the pod's service "
    "account, points to it."
)
CERTIFICATE = (
    "Check that the CA of --kubeconfig, or of the pod's service account (ca.crt), is the one that signed the API server's certificate, "
    "that the certificate is valid now (clock) and for this address, and that nothing between replaces it."
)
TOKEN = (
    "Check that the credentials are valid and not expired: in a pod the service account's token, else the kubeconfig's."
)
NODE_NAME = (
    "Give the node's name as in `kubectl get nodes`: --node-name, or NODE_NAME from the downward API (spec.nodeName)."
)


def access(settings: Settings) -> Iterator[Check]:
    """The API itself, then a check per permission."""
    try:
        api = connect(settings.kubeconfig, user_agent=f"oomward/{__version__} (check)", lax_ca=settings.api_lax_ca)
        yield passed("API", f"Kubernetes {server_version(api)} answers at {api.server}")
    except NoApiError as error:
        yield from (failed("API", str(error), CONNECTION), NO_RBAC)
        return
    except ApiRefusedError as error:
        if error.status != 403:
            advice = TOKEN if error.status == 401 else NETWORK
            yield from (failed("API", f"{api.server}: {error}", advice), NO_RBAC)
            return
        yield passed("API", f"answers at {api.server}, but does not show its version ({error})")
    except ApiError as error:
        yield from (failed("API", str(error), _advice(error)), NO_RBAC)
        return
    yield from _permissions(api)


def _permissions(api: Api) -> Iterator[Check]:
    for needed in NEEDED:
        name, action = f"RBAC {needed.verb} {needed.resource}", f"{needed.verb} {needed.full_resource}"
        try:
            verdict = review(api, needed)
        except ApiUnreachableError as error:
            yield failed(name, str(error), _advice(error))
            return  # else each of the others would time out
        except ApiError as error:
            bind = (
                "Bind the ClusterRole system:basic-user to the group system:authenticated, as clusters do by default."
            )
            yield failed(name, f"cannot check whether {action} is allowed: {error}", f"{bind} {_rule(needed)}")
            continue
        if verdict.allowed:
            yield passed(name, f"{action} is allowed in all namespaces")
        else:
            why = f" ({verdict.why})" if verdict.why else ""
            yield failed(name, f"{action} is not allowed in all namespaces{why}", _rule(needed))


def _advice(error: ApiError) -> str:
    return CERTIFICATE if isinstance(error, ApiCertificateError) else NETWORK


def _rule(needed: Permission) -> str:
    return (
        f"A ClusterRole of the agent's service account needs the rule apiGroups: [{needed.group!r}], "
        f"resources: [{needed.resource!r}], verbs: [{needed.verb!r}]; bind it with a ClusterRoleBinding."
    )


def pods(found: Survey) -> Iterator[Check]:
    """Whether the API lists this node's pods, and which of them could not be read."""
    node, troubles = found.settings.node_name, found.troubles
    number = f"{count(len(found.registry.pods), 'pod')} on node {node}"
    if not found.registry.listed:
        yield failed("pods", "; ".join(troubles), "Fix the failed checks of the API and of RBAC.")
    elif not found.registry.pods:
        yield warned("pods", f"the API has no pod on node {node!r}", NODE_NAME)
    elif troubles:
        advice = "The other pods are watched as usual. Look at the pods named here."
        yield warned("pods", f"{number}, but: {some(troubles)}", advice)
    else:
        yield passed("pods", number)
