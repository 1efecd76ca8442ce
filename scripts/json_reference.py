"""docs/reference/json.md and docs/reference/oomward.schema.json, from the dataclasses that the commands print as JSON."""

from __future__ import annotations

import json
import types
import typing
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from agent.commands.once import WriteRow
from agent.commands.probes.checks import Check
from agent.fleet.answers import Unanswered
from agent.fleet.events import EventRow
from agent.look.advice import Advice
from agent.look.containers import ContainerRow
from agent.look.explanation import PodExplanation
from agent.look.patches import Patch
from agent.look.view import DOCUMENT_VERSION
from agent.model.diagnosis import Diagnosis
from agent.runtime.drop_in import DropIn
from agent.wording.kill_record import KillRecord

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"
PAGE, SCHEMA = REFERENCE / "json.md", REFERENCE / "oomward.schema.json"
WIDTH = 140


@dataclass(frozen=True, slots=True)
class Document:
    """What a command prints: its ``lists`` of rows, and ``more`` keys with their types."""

    command: str
    lists: dict[str, type]
    more: dict[str, Any]


DOCUMENTS = (
    Document("ps", {"containers": ContainerRow}, {}),
    Document("explain", {"pods": PodExplanation}, {}),
    Document("diagnose", {"diagnoses": Diagnosis}, {}),
    Document("history", {"kills": KillRecord}, {}),
    Document("advise", {"workloads": Advice, "patches": Patch}, {"node": str, "kills_since_unix_s": float}),
    Document("check", {"checks": Check}, {}),
    Document("once", {"writes": WriteRow}, {}),
    Document("uninstall", {"writes": WriteRow}, {}),
    Document("oom-policy", {"drop_ins": DropIn}, {}),
    Document("version", {}, {"version": str, "python": str}),
    Document("events", {"events": EventRow, "unanswered": Unanswered}, {}),
)

# What a key means, wherever it is.
TEXTS = {
    "advice": "what to do",
    "anon_bytes": "anonymous memory of processes",
    "any_scope": "kills at a limit above the pod count too",
    "at_unix_s": "when it happened",
    "back_off_s": "the kubelet's waiting time",
    "by_report": "from the kernel's OOM report; else read right after the kill",
    "category": "the kind of failure, in Kubernetes' words where it has one",
    "cgroup": "its cgroup's memory; null: it has none here",
    "cgroup_path": "path below the mount of the memory hierarchy; of a kill: where its counter was seen",
    "cgroup_version": "`v1` or `v2`",
    "comm": "name of a process as the kernel has it: at most 15 bytes",
    "command": "command line, secrets replaced; empty: not known, or none",
    "kubectl_command": "the command for a shell; null: no patch can change it",
    "container": "name of the container; null: not known, or (`diagnose`, `advise`) the whole pod",
    "container_state": "state of the container; empty: not reported yet",
    "container_state_reason": "why it is in this state",
    "container_usage": "at the pod's limit: the containers that run, the largest first",
    "container_id": "the runtime's id of the container",
    "containers": "the pod's containers, init containers first",
    "decided_by": "the systemd file that decides; empty: none sets it",
    "details_missing": "the kernel's log has only part of the report",
    "diagnoses": "as `diagnose` has them",
    "dirty_bytes": "the part of `file_bytes` that is not written back yet",
    "due_unix_s": "when Kubernetes does it",
    "event_name": "name of the Event",
    "event_reason": "[reason](events.md) of the Event",
    "event_type": "`Normal` or `Warning`",
    "exceeded": "the tolerance is exceeded",
    "file_bytes": "page cache without `shmem_bytes`",
    "files": "names of the files that values come from, on both cgroup versions",
    "filled_by": "what most of the memory below the limit was used for; null: not known",
    "found": "what the check found",
    "group_kill": "the kernel killed the cgroup as a group",
    "grouped_above": "cgroups above the containers with memory.oom.group 1",
    "kernel_bytes": "slab, stacks, page tables, per-CPU",
    "kill_count": "number of OOM kills",
    "kill_id": "names the kill forever",
    "killed_in_window": "killed processes that are used up now",
    "kills_since_unix_s": "since when kills count, if the ledger is that old",
    "kind": "kind of container: `regular`, `init`, `sidecar` or `ephemeral`",
    "largest": "the largest processes in the kernel's report, the largest first",
    "last_exit_code": "exit code of the previous instance",
    "last_finished_unix_s": "when the previous instance ended",
    "last_kill_unix_s": "time of the newest kill",
    "last_process": "the process of the last kill and its parents, as a sentence; null: not known",
    "last_reason": "why the previous instance ended",
    "limit_bytes": "memory limit in force (of a kill: the limit that was hit); null: none, or not known",
    "limits": "how the pod's limit compares with its containers', as a sentence",
    "limits_sum_bytes": "sum of the containers' limits; null: one has none",
    "local_oom": "times that this cgroup's own limit was hit",
    "looked_at_unix_s": "with `--watch`: when this was looked at",
    "memory": "the memory by kind at the kill, of the cgroup at its limit; null: not known",
    "memory_text": "the memory at the last kill as a sentence; null: not known",
    "message": "the kubelet's or the runtime's; empty: none",
    "mode": "mode in force at the kill; null: not known, or cgroup v1",
    "mode_actual": "mode in force; null: it does not run, or could not be read",
    "mode_desired": "mode that is asked for; null: none",
    "mode_rule": "the annotation, label or rule that decided; empty: none",
    "mode_why": "why that mode, as a sentence",
    "mount": "mount point of the memory hierarchy",
    "name": "name of the check",
    "namespace": "namespace of the pod",
    "next_limit_bytes": "next memory limit; null: kills ask for none, or the newest pod has no such container",
    "next_limit_quantity": "the same as a manifest has it",
    "next_step": "what Kubernetes does by itself",
    "node": "name of the node; of an Event null: it is of recover",
    "note": "the Event's sentences",
    "notes": "why a desired mode is not in force, and labels and annotations without an effect, as sentences",
    "object_kind": "kind of the object that the Event is about",
    "object_name": "name of the object that the Event is about",
    "on_exceeded": "what follows when the tolerance is exceeded",
    "oom": "memory.events: times that a limit of this cgroup or one below was hit",
    "oom_group": "value of memory.oom.group",
    "oom_group_before": "value before; null: not readable, or there is no such file",
    "oom_group_desired": "value that is written",
    "oom_group_kill": "memory.events: group kills",
    "oom_group_original": "value before oomward's first write in this boot; null: it wrote none",
    "oom_groups": "of the container and of crun's cgroup below it",
    "oom_kill": "memory.events: killed processes",
    "oom_policy": "OOMPolicy of the systemd scope; null: it has none, or none is visible",
    "oom_policy_after_reload": "after a daemon-reload; null: the same",
    "oomward": "version of this format",
    "outcome": "what became of the container; null: not known, or not yet",
    "parent_commands": "the parents' command lines, secrets replaced; empty where they are not recorded",
    "parents": "names of its parents in the container, the nearest first",
    "patch": "a strategic merge patch; null: none can change it",
    "path": "path of the file on the node",
    "peak_bytes": "highest usage of the running instance; null: not available (before Linux 5.19)",
    "peak_since_unix_s": "start of the oldest instance with such a peak; null: not known",
    "phase": "the pod's phase; null: not known",
    "pid": "process id on the node",
    "pod": "name of the pod; null: not known, or none",
    "pod_count": "the workload's pods on this node, with this container; 0: all were deleted",
    "pod_uid": "uid of the pod; of a static pod perhaps its config hash",
    "prefix": "the scopes' prefix",
    "processes_allowed": "killed processes that are allowed within the window",
    "processes_killed": "number of killed processes; null: not known",
    "python": "version of Python",
    "report_sequence": "record of the kernel's log with which the report begins",
    "reasons": "why, one sentence per limit",
    "restarts": "restarts of the container",
    "retry_helps": "whether a retry with the same configuration can help",
    "rss_bytes": "resident memory of the process; null: not known",
    "rule": "row of the [decision table](diagnosis.md)",
    "said_by": "the annotation or rule that sets the tolerance",
    "sandbox": "the kill was in the pod's sandbox",
    "sandbox_name": "what the sandboxes are called",
    "sandboxes": "paths of the pod's cgroups without a container name",
    "says": "all of it as a sentence",
    "scope": "which limit was hit; null: not known",
    "seen": "processes of the container, read shortly before the kill or right after: the victims first, then the largest others",
    "shmem_bytes": "shared memory and tmpfs, such as an emptyDir in memory",
    "slab_reclaimable_bytes": "the part of `kernel_bytes` that can be freed",
    "sock_bytes": "buffers of sockets",
    "sources": "where the kill was seen: `counters`, `kmsg`, `hierarchy`",
    "spec_limit_bytes": "memory limit in the pod's spec; null: none, or not known",
    "state": "whether the drop-in is there",
    "status": "result of the check",
    "stops_survivors": "systemd stops the scope after the OOM kill of a single process",
    "survived_count": "kills that the container survived",
    "swap_bytes": "swapped out, not part of the memory",
    "systemd": "the systemd scope of the container; null: none, or none is visible",
    "systemd_version": "major version of systemd; null: not known",
    "text": "as a sentence",
    "times": "how often it happened",
    "tolerance": "how many kills are allowed; null: any number",
    "transient": "whether it may pass by itself",
    "uid": "user of the process",
    "unit": "name of the systemd unit",
    "unread": "keys that could not be read",
    "usage_bytes": "memory in use; null: not known",
    "version": "version of oomward",
    "victims": "killed processes that the kernel's log names, the one it chose first",
    "what": "what happened",
    "why": "the reason, as a sentence",
    "write_outcome": "what became of the write",
    "will": "what Kubernetes does",
    "window_s": "length of the window",
    "workload": "name of the workload",
    "workload_kind": "kind of the workload",
}
NAMES = {str: "string", bool: "boolean", int: "integer", float: "number", dict: "object", type(None): "null"}
OTHER_TYPES = {
    ("files", "PodExplanation"): {
        "type": "array",
        "items": {"type": "object", "additionalProperties": {"type": "string"}},
    }
}

HEAD = f"""# JSON

Commands print JSON with `--output json`, and the same data as YAML with `--output yaml`. A document has `"oomward": {DOCUMENT_VERSION}`,
the version of this format, and one list of rows. The version rises when a key is renamed, removed or changes its meaning; new keys may come
at any time, so ignore those that you don't know.

- A name means one thing everywhere. Its end is its unit: `_bytes`, `_s` (seconds), `_unix_s` (seconds since 1970, UTC).
- Every key is always there. null: not known, or there is none; the table says which.
- Text is as it was found (names, command lines): JSON escapes it, so escape it again where you show it.
- With `--watch` each refresh is a document on a line of its own, with `looked_at_unix_s`.

[oomward.schema.json](oomward.schema.json) is the JSON Schema; its `$defs` have a schema per command. This page is generated from the code.

```sh
oomward ps -o json | jq -r '.containers[] | select(.limit_bytes and .usage_bytes > .limit_bytes * 0.9) | "\\(.namespace)/\\(.pod)"'
oomward history --since 1d -o json | jq -r '.kills[] | [(.at_unix_s | todate), .pod, .victims[0].comm] | @tsv'
```

The [JSON log](log.md) has the same names: a line about a kill has the keys of [KillRecord](#killrecord).

## The whole cluster

`kubectl oomward` prints the documents of the same names, and `events`. Each row also has its `node`, and the document has `unanswered`, a
list of [Unanswered](#unanswered). A row of `advise` has `nodes`, all that know of the workload; its counts are sums, and its patch has
the highest of the nodes' next limits. The rows of `top` are those of `ps` with `used_ratio`, the usage by the limit (null: no limit). Of
one pod (`explain POD`, `diagnose POD`) it is the node's document with the `node`.
"""


def row_types() -> list[type]:
    """Dataclasses of rows, and those in them, each once."""
    found: dict[type, None] = {}
    for document in DOCUMENTS:
        for kind in document.lists.values():
            _add(kind, found)
    return list(found)


def _add(kind: Any, found: dict[type, None]) -> None:
    if is_dataclass(kind) and isinstance(kind, type) and kind not in found:
        found[kind] = None
        for hint in typing.get_type_hints(kind).values():
            _add(hint, found)
    for inner in typing.get_args(kind):
        _add(inner, found)


def schema_of(hint: Any) -> dict[str, Any]:
    """JSON Schema of an annotation."""
    inner = typing.get_args(hint)
    if isinstance(hint, types.UnionType):
        return {"anyOf": [schema_of(one) for one in inner]}
    if typing.get_origin(hint) is tuple:
        return {"type": "array", "items": schema_of(inner[0])}
    if is_dataclass(hint):
        return {"$ref": f"#/$defs/{hint.__name__}"}  # type: ignore[union-attr]
    if isinstance(hint, type) and issubclass(hint, Enum):
        return {"enum": [one.value for one in hint]}
    return {"type": NAMES[typing.get_origin(hint) or hint]}


def field_schemas(kind: type) -> dict[str, dict[str, Any]]:
    """By name of the field."""
    hints = typing.get_type_hints(kind)
    return {one.name: OTHER_TYPES.get((one.name, kind.__name__)) or schema_of(hints[one.name]) for one in fields(kind)}


def schema() -> dict[str, Any]:
    """Of every command's document."""
    defs: dict[str, Any] = {}
    for document in DOCUMENTS:
        properties: dict[str, Any] = {"oomward": {"const": DOCUMENT_VERSION, "description": TEXTS["oomward"]}}
        for name, kind in document.lists.items():
            properties[name] = {"type": "array", "items": {"$ref": f"#/$defs/{kind.__name__}"}}
        for name, hint in document.more.items():
            properties[name] = schema_of(hint) | {"description": TEXTS[name]}
        required = list(properties)
        properties["looked_at_unix_s"] = {"type": "number", "description": TEXTS["looked_at_unix_s"]}
        defs[document.command] = {"type": "object", "required": required, "properties": properties}
    for kind in row_types():
        found = field_schemas(kind)
        described = {name: one | {"description": TEXTS[name]} for name, one in found.items()}
        defs[kind.__name__] = {"type": "object", "required": list(found), "properties": described}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What the commands of oomward print with --output json",
        "anyOf": [{"$ref": f"#/$defs/{document.command}"} for document in DOCUMENTS],
        "$defs": defs,
    }


def type_text(one: dict[str, Any]) -> str:
    """For people."""
    if "anyOf" in one:
        return " or ".join(type_text(part) for part in one["anyOf"])
    if "enum" in one:
        return ", ".join(f"`{value}`" for value in one["enum"])
    if "$ref" in one:
        name = one["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if one["type"] == "array":
        return f"list of {type_text(one['items'])}"
    return str(one["type"])


def page() -> str:
    parts = [HEAD, "\n## Documents\n\n| command | its keys beside `oomward` |\n|---|---|\n"]
    for document in DOCUMENTS:
        lists = [
            f"`{name}`: list of [{kind.__name__}](#{kind.__name__.lower()})" for name, kind in document.lists.items()
        ]
        more = [f"`{name}`: {type_text(schema_of(hint))}, {TEXTS[name]}" for name, hint in document.more.items()]
        parts.append(f"| `{document.command}` | {'; '.join(lists + more)} |\n")
    for kind in row_types():
        parts.append(f"\n## {kind.__name__}\n\n| key | type | meaning |\n|---|---|---|\n")
        for name, one in field_schemas(kind).items():
            parts.append(f"| `{name}` | {type_text(one)} | {TEXTS[name]} |\n")
    return "".join(parts)


def schema_text() -> str:
    return json.dumps(schema(), indent=1) + "\n"


def write() -> None:
    """Both files."""
    PAGE.write_text(page(), encoding="utf-8")
    SCHEMA.write_text(schema_text(), encoding="utf-8")
