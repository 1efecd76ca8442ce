"""systemd's OOMPolicy: what it does after an OOM kill in a container's scope, and whether the drop-in is installed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from agent.commands.probes.checks import Check, failed, passed, warned
from agent.commands.probes.containers import NO_CONTAINER, ON_V1
from agent.look.survey import Survey
from agent.model import Cgroup, Mode, ScopePolicy
from agent.runtime.drop_in import DropIns, NoSystemdError
from agent.runtime.oom_policy import SCOPE
from agent.wording.text import count, some

NAME = "OOMPolicy"
TO_CONTINUE = (
    "For mode single, let the runtime ask the agent (NRI), or install the drop-in: `oomward oom-policy install`, or "
    "components/oom-policy. See docs/howto/oom-policy.md."
)
TO_SEE = (
    "Mount the node's /run/systemd/transient read-only at the same path, or run as root with the node's PIDs (hostPID)."
)
RELOAD = "Run systemctl daemon-reload on the node: files have changed since systemd read them."


def oom_policy(found: Survey) -> Iterator[Check]:
    """The policies of the running containers' scopes, and what they mean for mode single."""
    if found.hierarchy.version == "v1":
        yield passed(NAME, ON_V1)
        return
    containers = [one for one in found.containers() if not found.is_sandbox(one)]
    seen = [(one, policy) for one in containers if (policy := found.scope_policy(one)) is not None]
    in_scopes = [one for one in containers if one.path.endswith(SCOPE)]
    if not containers:
        yield passed(NAME, f"{NO_CONTAINER}{_drop_in(found)}")
    elif not in_scopes:
        yield passed(
            NAME,
            "no container runs in a systemd scope (cgroup driver cgroupfs), so systemd does nothing after an OOM kill",
        )
    elif not seen:
        yield warned(NAME, f"the unit files of {count(len(in_scopes), 'scope')} are not visible", TO_SEE)
    else:
        yield from _of_scopes(found, seen)


def _of_scopes(found: Survey, seen: Sequence[tuple[Cgroup, ScopePolicy]]) -> Iterator[Check]:
    counted = Counter(policy.policy.value for _, policy in seen)
    version = next((f" of systemd {policy.systemd}" for _, policy in seen if policy.systemd is not None), "")
    text = f"{', '.join(f'{number} with {policy}' for policy, number in sorted(counted.items()))}{version}{_drop_in(found)}"
    scopes = f"{count(len(seen), 'scope')} of containers: {text}"
    stopped = [one for one, policy in seen if policy.stops_survivors]
    singles = [one.path for one in stopped if found.desired(one).decision.mode is Mode.SINGLE]
    unread = any(policy.after_reload is not None for _, policy in seen)
    advice = RELOAD if unread else TO_CONTINUE
    if singles:
        effect = f"systemd stops {count(len(singles), 'container')} in mode single after an OOM kill ({some(singles)})"
        yield failed(NAME, f"{scopes}. {effect}", advice)
    elif stopped:
        effect = (
            "after an OOM kill, systemd stops the whole container there. No container in mode single is affected now"
        )
        yield warned(NAME, f"{scopes}: {effect}", advice)
    elif unread:
        yield warned(
            NAME, f"{scopes}: systemd does nothing after an OOM kill now, but has changed files to read", RELOAD
        )
    else:
        yield passed(NAME, f"{scopes}: systemd does nothing after an OOM kill, so mode single is in force")


def _drop_in(found: Survey) -> str:
    """Where oomward's drop-in is installed; "" if that is not visible."""
    try:
        prefixes = DropIns(found.policies).installed()
    except NoSystemdError:
        return ""
    return (
        f"; oomward's drop-in is installed for {', '.join(prefixes)}"
        if prefixes
        else "; oomward's drop-in is not installed"
    )
