"""Records for the tests of the ledger, made in a line."""

from __future__ import annotations

from agent.model import (
    Baseline,
    KeptDecision,
    Mode,
    Notice,
    ObjectRef,
    OomKill,
    Original,
    Reason,
    Scope,
    Victim,
)

BOOT = "5f0c1f0e-33c9-4d0f-a1de-0d7e5a8b3a11"
OTHER_BOOT = "e7c3a2d4-0000-4444-8888-5d1c2b3a4f5e"
POD_UID = "0b9d6a64-6c2f-4a5e-8f53-7e3a5c0e9d11"


def a_kill(
    ordinal: int = 1,
    *,
    inode: int = 7,
    at: float = 1000.0,
    processes: int = 1,
    namespace: str = "shop",
    pod: str = "herder-1",
    pod_uid: str = POD_UID,
    container: str = "herder",
    mode: Mode | None = Mode.SINGLE,
    scope: Scope | None = Scope.CONTAINER,
) -> OomKill:
    return OomKill(
        boot_id=BOOT,
        cgroup_inode=inode,
        ordinal=ordinal,
        at_unix_s=at,
        node="node-1",
        cgroup_path="kubepods/podx/y",
        processes=processes,
        namespace=namespace,
        pod=pod,
        pod_uid=pod_uid,
        container=container,
        victims=(Victim(4312, "worker", anon_bytes=180 << 20),),
        mode=mode,
        scope=scope,
        sources=frozenset({"counters", "kmsg"}),
    )


def a_baseline(ordinal: int = 1, *, inode: int = 7) -> Baseline:
    return Baseline(inode, "kubepods/podx/y", ordinal, 0, ordinal, ordinal, ordinal)


def an_original(inode: int = 7, value: int = 1) -> Original:
    return Original(inode, "kubepods/podx/y", value, POD_UID, 900.0)


def a_decision(container: str = "herder", *, pod_uid: str = POD_UID, container_id: str | None = "c1") -> KeptDecision:
    return KeptDecision(pod_uid, pod_uid, "shop", "herder-1", container, container_id, Mode.SINGLE, "oomward.dev/mode")


def a_notice(name: str = "herder-1.x", *, at: float = 1000.0) -> Notice:
    about = ObjectRef("Pod", "herder-1", "shop", POD_UID)
    return Notice(name, about, Reason.PROCESS_OOM_KILLED, True, "OOMKill", "a note", at)
