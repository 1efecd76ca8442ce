"""What filled a limit when it was hit, in words, and what to do about it. The one place that decides this. Pure.

A limit is full when the kernel kills, so the kind with the largest share filled it. Memory that was read right after the kill lacks
what the kill freed, which was its processes'.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from agent.model import Filled, MemoryUse, MemoryVolume, OomKill, Pod, Scope
from agent.wording.text import bytes_text, safe

MIB = 1 << 20
LEAST_SHARE = 0.01  # of all; what is less, or less than a MiB, is left out of a sentence
UNWRITTEN_SHARE = 4  # page cache is called unwritten from a quarter on: the rest can be freed
LARGEST_LISTED = 3  # tasks of which a kill has the size; fewer: these are all
UNBOUNDED = (Filled.SHARED, Filled.KERNEL, Filled.SOCKETS)  # they fill a higher limit, too
WHOSE: dict[Scope | None, str] = {Scope.POD: " of the pod", Scope.KUBEPODS: " of all pods"}
NO_VOLUME = (
    "{size} {was} shared memory and tmpfs: files in /dev/shm and other tmpfs count until they are deleted, shared segments until the "
    "last process detaches them (`df`, `ipcs -m` in the container)"
)
VOLUME = (
    "{size} {was} shared memory and tmpfs: files in {volumes} count toward the limit until they are deleted; keep fewer there, "
    "set a sizeLimit that fits below the limit, or use an emptyDir on disk"
)
UNWRITTEN = (
    "{size} {was} page cache not yet written to disk: write smaller pieces with fsync, use direct I/O or a faster disk, "
    "lower the node's vm.dirty_bytes, or raise the limit"
)
CACHED = (
    "{size} {was} page cache, which is freed before a kill unless it is locked or in use: see what the container maps "
    "and locks (mlock), or raise the limit"
)
FILES = (
    "{size} {was} kernel memory, most of it for names and inodes of files (dentries): look up or create fewer files, "
    "since a higher limit fills, too"
)
KERNEL = (
    "{size} {was} kernel memory, as for connections, open files, threads and page tables: look for many of them, "
    "since a higher limit fills, too"
)
SOCKETS = (
    "{size} {was} buffers of network connections: have fewer, read them faster, or limit their buffers "
    "(net.ipv4.tcp_rmem, tcp_wmem), since a higher limit fills, too"
)
SWAP = "{size} more was in swap: raise the limit by that much, or run fewer or smaller processes"
MOST_USED = (
    "container {name} used most of the pod's memory ({size}): give it a limit of its own, or raise the pod's limit"
)


def filled_by(kill: OomKill) -> Filled | None:
    """The kind with the largest share of the memory below the limit that was hit; None: not known, or what is not known may be larger."""
    return _by_processes(kill) if kill.use is None else kind_of(kill.use, kill.limit_bytes or kill.usage_bytes or 0)


def kind_of(use: MemoryUse, full_bytes: int) -> Filled | None:
    """The same of memory that was ``full_bytes`` in all; 0: that is not known."""
    shares = dict(_shares(use))
    known_bytes = sum(size for kind, size in shares.items() if kind is not Filled.SWAP)
    rest_bytes = max(0, full_bytes - known_bytes)
    if not use.by_report:
        shares[Filled.PROCESSES] = shares.get(Filled.PROCESSES, 0) + rest_bytes
        rest_bytes = 0
    kind = max(shares, key=lambda one: shares[one], default=None)
    return kind if kind is not None and shares[kind] > 0 and shares[kind] >= rest_bytes else None


def _by_processes(kill: OomKill) -> Filled | None:
    """From the sizes of the largest tasks alone."""
    resident_bytes = sum(task.rss_bytes for task in kill.largest)
    usage_bytes = kill.usage_bytes or kill.limit_bytes
    if not kill.largest or not usage_bytes:
        return None
    if 2 * resident_bytes >= usage_bytes:
        return Filled.PROCESSES
    return Filled.NOT_PROCESSES if len(kill.largest) < LARGEST_LISTED and 4 * resident_bytes < usage_bytes else None


def _shares(use: MemoryUse) -> Iterator[tuple[Filled, int]]:
    """Of the kinds that are known."""
    sizes = (
        (Filled.PROCESSES, use.anon),
        (Filled.PAGE_CACHE, use.file),
        (Filled.SHARED, use.shmem),
        (Filled.KERNEL, use.kernel),
        (Filled.SOCKETS, use.sock),
        (Filled.SWAP, use.swap),
    )
    return ((kind, size) for kind, size in sizes if size is not None)


def memory_text(use: MemoryUse) -> str:
    """``241 MiB processes, 9 MiB page cache, 6 MiB kernel``, the largest first, swap last; "": nothing is known."""
    shares = [(kind, size) for kind, size in _shares(use) if kind is not Filled.SWAP and size > 0]
    shares.sort(key=lambda share: -share[1])
    least = max(MIB, LEAST_SHARE * sum(size for _, size in shares))
    parts = [
        f"{bytes_text(size)} {kind.value}{_unwritten(use, least) if kind is Filled.PAGE_CACHE else ''}"
        for i, (kind, size) in enumerate(shares)
        if size >= least or i == 0
    ]
    if (use.swap or 0) >= least:
        parts.append(f"{bytes_text(use.swap or 0)} in swap")
    return ", ".join(parts)


def _unwritten(use: MemoryUse, least: float) -> str:
    return f" ({bytes_text(use.dirty)} not yet written back)" if use.dirty is not None and use.dirty >= least else ""


def memory_sentence(kill: OomKill) -> str:
    """``Memory then: 241 MiB processes, …``; "" if it is not known."""
    text = memory_text(kill.use) if kill.use is not None else ""
    when = "then" if kill.use is not None and kill.use.by_report else "right after the kill"
    return f"Memory{WHOSE.get(kill.scope, '')} {when}: {text}." if text else ""


def containers_sentence(kill: OomKill) -> str:
    """Which containers of the pod used the memory of a pod's limit; "" if it is not known."""
    shown = [f"{name_of(one.name)} {bytes_text(one.usage_bytes)}" for one in kill.containers]
    return f"Used by containers: {', '.join(shown)}." if shown else ""


def name_of(container: str | None) -> str:
    return "sandbox" if container is None else safe(container)


def filled_advice(kill: OomKill, volumes: Sequence[MemoryVolume] = ()) -> str | None:
    """What to do where it isn't processes that filled the limit of a container or pod, or where another container of the pod did.

    A clause, without a full stop. ``volumes``: the emptyDirs in memory that count toward the limit. None: the usual advice applies.
    """
    if kill.scope not in (Scope.CONTAINER, Scope.POD) or kill.sandbox:
        return None
    kind = filled_by(kill)
    if kind is None or kind in (Filled.PROCESSES, Filled.NOT_PROCESSES) or kill.use is None:
        return _most_used(kill)
    return _filled_text(kind, kill.use, volumes, was="was")


def advice_now(use: MemoryUse, usage_bytes: int, volumes: Sequence[MemoryVolume] = ()) -> str | None:
    """What to do where it isn't processes that fill a limit now. A clause, without a full stop. None: the usual advice applies."""
    # As by a report: nothing was freed, so the rest is not known to be processes'.
    kind = kind_of(replace(use, by_report=True), usage_bytes)
    return None if kind in (None, Filled.PROCESSES, Filled.SWAP) else _filled_text(kind, use, volumes, was="is")


def _filled_text(kind: Filled, use: MemoryUse, volumes: Sequence[MemoryVolume], was: str) -> str:
    size = dict(_shares(use))[kind]
    return _template(kind, use, volumes).format(size=bytes_text(size), volumes=_volumes(volumes), was=was)


def volumes_of(pod: Pod | None, kill: OomKill) -> tuple[MemoryVolume, ...]:
    """The emptyDirs in memory that count toward the limit that was hit: the container's, at the pod's limit all; each once."""
    if pod is None:
        return ()
    if kill.scope is Scope.POD:
        return all_volumes(pod)
    return container_volumes(pod, kill.container)


def container_volumes(pod: Pod, name: str | None) -> tuple[MemoryVolume, ...]:
    """The emptyDirs in memory of one of its containers."""
    container = pod.container(name) if name is not None else None
    return container.memory_volumes if container is not None else ()


def all_volumes(pod: Pod) -> tuple[MemoryVolume, ...]:
    """The emptyDirs in memory of all its containers, each once."""
    return tuple(dict.fromkeys(volume for one in pod.containers for volume in one.memory_volumes))


def _most_used(kill: OomKill) -> str | None:
    if not kill.containers or kill.containers[0].name is None:
        return None
    first = kill.containers[0]
    return MOST_USED.format(name=name_of(first.name), size=bytes_text(first.usage_bytes))


def _template(kind: Filled, use: MemoryUse, volumes: Sequence[MemoryVolume]) -> str:
    match kind:
        case Filled.PAGE_CACHE:
            unwritten = use.dirty is None or UNWRITTEN_SHARE * use.dirty >= (use.file or 0)
            return UNWRITTEN if unwritten else CACHED
        case Filled.SHARED:
            return VOLUME if volumes else NO_VOLUME
        case Filled.SOCKETS:
            return SOCKETS
        case Filled.SWAP:
            return SWAP
    return FILES if 2 * (use.slab_reclaimable or 0) >= (use.kernel or 0) else KERNEL


def _volumes(volumes: Sequence[MemoryVolume]) -> str:
    """``emptyDir cache (in memory, sizeLimit 200 MiB)``."""
    return " and ".join(f"emptyDir {safe(one.name)} (in memory, {_bound(one)})" for one in volumes)


def _bound(volume: MemoryVolume) -> str:
    return "no sizeLimit" if volume.size_limit_bytes is None else f"sizeLimit {bytes_text(volume.size_limit_bytes)}"


def unbounded(kind: Filled | None, volumes: Sequence[MemoryVolume]) -> bool:
    """Whether this kind fills a higher limit as well, as far as is known: nothing bounds it."""
    bounded = bool(volumes) and all(one.size_limit_bytes is not None for one in volumes)
    return kind in UNBOUNDED and not (kind is Filled.SHARED and bounded)
