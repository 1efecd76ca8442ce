"""A pod's JSON becomes a Pod or a message that names the field; nothing else."""

from __future__ import annotations

import copy
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model import ContainerKind, MemoryVolume, PodContainer
from agent.model.status import ContainerState, Phase
from agent.pods.parse import MOST_CONTAINERS, UnreadablePodError, parse_pod, parse_quantity
from tests.unit.kube.world import pod_json

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
FIELDS = ["metadata", "spec", "status", "labels", "annotations", "containers", "initContainers", "containerStatuses", "name", "uid",
          "namespace", "nodeName", "resources", "limits", "memory", "state", "lastState", "terminated", "containerID",
          "waiting", "reason", "exitCode", "finishedAt"]  # fmt: skip
PODLIKE = st.recursive(
    ANY_JSON, lambda inner: st.dictionaries(st.sampled_from(FIELDS), inner, max_size=6), max_leaves=30
)

VICTIM = "11111111-2222-3333-4444-555555555555"  # the uid of somebody else's pod

WHOLE = {
    "metadata": {"uid": "u", "namespace": "n", "name": "p", "labels": {"a": "b"}, "annotations": {"mode.oomward.dev/c": "single"}},
    "spec": {
        "nodeName": "node-1",
        "resources": {"limits": {"memory": "1Gi"}},
        "containers": [{"name": "c", "resources": {"limits": {"memory": "64Mi"}}}],
        "initContainers": [{"name": "i", "restartPolicy": "Always"}],
    },
    "status": {
        "containerStatuses": [
            {"name": "c", "containerID": "containerd://x", "restartCount": 1, "state": {"running": {}},
             "lastState": {"terminated": {"containerID": "containerd://w"}}},
        ]
    },
}  # fmt: skip


def places(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of everything inside."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path for key, item in inner for path in ((*here, key), *places(item, (*here, key)))]


@given(st.sampled_from(places(WHOLE)), ANY_JSON)
def test_a_pod_with_anything_in_any_place_gives_a_pod_or_says_what_is_wrong(path: tuple[Any, ...], value: Any) -> None:
    pod = copy.deepcopy(WHOLE)
    at: Any = pod
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    with suppress(UnreadablePodError):
        found = parse_pod(pod)
        assert all(isinstance(text, str) for text in (found.uid, found.name, found.namespace, found.node_name))
        assert all(0 < (c.limit_bytes or 1) < 2**63 for c in found.containers)


@given(PODLIKE)
def test_any_json_gives_a_pod_or_says_what_is_wrong(obj: Any) -> None:
    with suppress(UnreadablePodError):
        assert parse_pod(obj).uid


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("256Mi", 256 << 20),
        ("1Gi", 1 << 30),
        ("1e9", 10**9),
        ("1.5Gi", 3 << 29),
        ("128974848", 128974848),
        ("129M", 129 * 10**6),
        ("100m", 1),
        ("123456789k", 123456789000),
        ("0.5Ki", 512),
        (".5Ki", 512),
        ("16Ei", 2**63 - 1),
        ("1e999", 2**63 - 1),
        ("0", 0),
        ("1n", 1),
        ("-1Ki", -1024),
        ("+1Ki", 1024),
        ("1E", 10**18),
        ("1E2", 100),
        ("9223372036854775807", 9223372036854775807),
    ],
)
def test_quantities_are_read_as_the_api_reads_them(text: str, size: int) -> None:
    assert parse_quantity(text) == size


@pytest.mark.parametrize(
    "text", ["", "Mi", "1 Mi", "1mi", "0x10", None, 5, "1e", "nan", "1000Zi", "1" * 3_000_000, "٣Mi", "1Mi\n"]
)
def test_what_is_no_quantity_is_said_to_be_none(text: object) -> None:
    with pytest.raises(ValueError, match="is no quantity"):
        parse_quantity(text)


@given(st.integers(0, 2**53), st.sampled_from(["", "Ki", "Mi", "k", "M"]))
def test_whole_quantities_are_exact(number: int, unit: str) -> None:
    factor = {"": 1, "Ki": 1024, "Mi": 1 << 20, "k": 1000, "M": 10**6}[unit]
    assert parse_quantity(f"{number}{unit}") == min(number * factor, 2**63 - 1)


def test_containers_of_every_kind_are_found_with_their_ids() -> None:
    pod = pod_json()
    pod["spec"] = {
        "nodeName": "node-1",
        "initContainers": [{"name": "setup"}, {"name": "proxy", "restartPolicy": "Always"}],
        "containers": [{"name": "main", "resources": {"limits": {"memory": "64Mi"}}}],
        "ephemeralContainers": [{"name": "debugger"}],
    }
    last = {"terminated": {"containerID": "containerd://old", "exitCode": 137}}
    pod["status"] = {
        "initContainerStatuses": [{"name": "proxy", "containerID": "cri-o://p", "state": {"running": {}}}],
        "containerStatuses": [
            {
                "name": "main",
                "containerID": "containerd://new",
                "restartCount": 3,
                "state": {"running": {}},
                "lastState": last,
            }
        ],
        "ephemeralContainerStatuses": [{"name": "debugger", "containerID": "docker://d", "state": {"terminated": {}}}],
    }
    setup, proxy, main, debugger = parse_pod(pod).containers
    assert [c.kind for c in (setup, proxy, main, debugger)] == [
        ContainerKind.INIT, ContainerKind.SIDECAR, ContainerKind.REGULAR, ContainerKind.EPHEMERAL
    ]  # fmt: skip
    assert (setup.container_id, proxy.container_id, debugger.container_id) == (None, "p", "d")
    assert (main.container_id, main.previous_id, main.status.restart_count, main.running, main.limit_bytes) == (
        "new",
        "old",
        3,
        True,
        64 << 20,
    )
    assert not debugger.running


def a_status(**more: Any) -> PodContainer:
    """The container of a pod whose status says this of it."""
    pod = pod_json()
    pod["status"]["containerStatuses"] = [{"name": "herder", **more}]
    return parse_pod(pod).containers[0]


def test_how_a_container_is_and_how_the_instance_before_ended_are_told() -> None:
    last = {"containerID": "x://old", "reason": "OOMKilled", "exitCode": 137, "finishedAt": "2025-10-09T08:53:20Z"}
    found = a_status(state={"waiting": {"reason": "CrashLoopBackOff"}}, lastState={"terminated": last})
    state, before = found.status.state, found.status.last
    assert (state.phase, state.reason, found.running) == (Phase.WAITING, "CrashLoopBackOff", False)
    assert (before.reason, before.exit_code, before.finished_unix_s) == ("OOMKilled", 137, 1760000000.0)
    assert found.previous_id == "old"


@pytest.mark.parametrize(
    ("state", "phase"), [({}, Phase.NONE), ({"running": {}}, Phase.RUNNING), ({"terminated": {}}, Phase.TERMINATED)]
)
def test_a_state_that_says_no_more_has_no_reason_and_a_first_instance_none_before(state: Any, phase: Phase) -> None:
    found = a_status(state=state)
    assert (found.status.state, found.running) == (ContainerState(phase), phase is Phase.RUNNING)
    assert found.status.last == ContainerState()


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ({"state": ["running"]}, "state is list"),
        ({"containerID": 7}, "containerID is int"),
        ({"lastState": {"terminated": "x"}}, "lastState.terminated is str"),
        ({"lastState": {"terminated": {"containerID": []}}}, "containerID is list"),
    ],
)
def test_what_decides_and_has_the_wrong_type_is_named_with_its_container(status: dict[str, Any], words: str) -> None:
    with pytest.raises(UnreadablePodError, match=f"status of container herder.{words}".replace(".", r"\.")):
        a_status(**status)


def test_a_crash_loop_that_turns_from_one_state_to_the_next_decides_nothing() -> None:
    ended = {"exitCode": 1, "containerID": "x://old"}
    waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}}
    pods = []
    for count, state in ((3, {"terminated": ended}), (3, waiting), (4, waiting)):
        pod = pod_json()
        status = {"name": "herder", "state": state, "restartCount": count, "lastState": {"terminated": ended}}
        pod["status"]["containerStatuses"] = [status]
        pods.append(parse_pod(pod))
    first, second, third = pods
    assert first == second == third
    assert first.same_request(third)
    assert not first.same_status(second)
    assert not second.same_status(third)
    assert third.same_status(third)


def test_a_limit_that_is_none_is_unreadable_wherever_it_is() -> None:
    pod = pod_json()
    pod["spec"]["resources"] = {"limits": {"memory": "lots"}}
    with pytest.raises(UnreadablePodError, match=r"spec\.resources\.limits\.memory"):
        parse_pod(pod)


def test_a_static_pods_cgroup_is_called_by_its_config_hash() -> None:
    mirrored = {"kubernetes.io/config.hash": "a" * 32, "kubernetes.io/config.mirror": "a" * 32, "other": "dropped"}
    pod = parse_pod(pod_json(annotations=mirrored))
    assert pod.cgroup_key == "a" * 32
    assert dict(pod.annotations) == {}


@pytest.mark.parametrize(
    ("config_hash", "mirror"),
    [
        (VICTIM, None),  # an ordinary pod with the annotation of a static one, naming somebody else's pod
        (VICTIM, VICTIM),
        ("a" * 32, None),
        ("a" * 32, "b" * 32),
        (None, "a" * 32),
        ("a" * 31 + "\n", "a" * 31 + "\n"),
    ],
)
def test_a_pod_that_only_says_so_is_not_taken_for_a_static_one(config_hash: str | None, mirror: str | None) -> None:
    """Anybody may write annotations on a pod: by them nobody gets hold of another pod's cgroup."""
    said = {"kubernetes.io/config.hash": config_hash, "kubernetes.io/config.mirror": mirror}
    pod = parse_pod(pod_json(annotations={key: value for key, value in said.items() if value is not None}))
    assert pod.config_hash is None
    assert pod.cgroup_key == pod.uid


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("metadata", "uid"), None, "metadata.uid is missing"),
        (("metadata", "labels"), {"a": 1}, "metadata.labels has a value that is no text"),
        (("spec", "containers"), {}, "spec.containers"),
        (("spec",), [1], "spec is list"),
    ],
)
def test_the_field_that_is_wrong_is_named(path: tuple[str, ...], value: object, words: str) -> None:
    pod = pod_json()
    at: Any = pod
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    if words == "spec.containers":
        assert parse_pod(pod).containers == (), "an empty mapping is as good as nothing"
        return
    with pytest.raises(UnreadablePodError, match=words.replace(".", r"\.")):
        parse_pod(pod)


def in_memory(name: str, **source: object) -> dict[str, object]:
    return {"name": name, "emptyDir": {"medium": "Memory", **source}}


def mounts(*names: object) -> list[object]:
    return [{"name": name, "mountPath": f"/{name}"} for name in names]


def test_a_container_has_the_empty_dirs_in_memory_that_it_mounts_each_once_with_its_size() -> None:
    pod: Any = pod_json()
    disk = {"name": "disk", "emptyDir": {}}
    pod["spec"]["volumes"] = [in_memory("cache", sizeLimit="200Mi"), in_memory("tmp"), in_memory("other"), disk]
    pod["spec"]["containers"][0]["volumeMounts"] = mounts("tmp", "cache", "cache", "disk", "unknown")
    found = parse_pod(pod).containers[0].memory_volumes
    assert found == (MemoryVolume("cache", 200 << 20), MemoryVolume("tmp"))


@pytest.mark.parametrize(
    ("volumes", "where"),
    [
        ("odd", mounts("a")),
        ([7, None, {"name": 7, "emptyDir": {"medium": "Memory"}}, {"name": "a", "emptyDir": 7}], mounts("a", 7)),
        ([{"name": "a", "emptyDir": {"medium": ["Memory"]}}], mounts("a")),
        ([in_memory("a")], "odd"),
        ([in_memory("a")], [7, {"name": {}}]),
    ],
)
def test_volumes_that_can_not_be_read_are_none_and_no_mode_depends_on_them(volumes: object, where: object) -> None:
    pod: Any = pod_json()
    pod["spec"]["volumes"] = volumes
    pod["spec"]["containers"][0]["volumeMounts"] = where
    assert parse_pod(pod).containers[0].memory_volumes == ()


@pytest.mark.parametrize("size", ["lots", "-1Mi", "0", 7])
def test_a_size_limit_that_is_none_is_no_size_limit(size: object) -> None:
    pod: Any = pod_json()
    pod["spec"]["volumes"] = [in_memory("a", sizeLimit=size)]
    pod["spec"]["containers"][0]["volumeMounts"] = mounts("a")
    assert parse_pod(pod).containers[0].memory_volumes == (MemoryVolume("a"),)


def test_of_very_many_volumes_a_few_are_kept() -> None:
    pod: Any = pod_json()
    pod["spec"]["volumes"] = [in_memory(f"v{number}") for number in range(500)]
    pod["spec"]["containers"][0]["volumeMounts"] = mounts(*(f"v{number}" for number in range(500)))
    assert len(parse_pod(pod).containers[0].memory_volumes) == 4


@pytest.mark.parametrize(("memory", "limit"), [("64Mi", 64 << 20), ("0", None), (None, None), ("32Ei", 2**63 - 1)])
def test_a_limit_of_zero_is_none_as_the_kubelet_takes_it(memory: str | None, limit: int | None) -> None:
    pod = pod_json()
    pod["spec"]["containers"][0]["resources"] = {"limits": {"memory": memory}}
    pod["spec"]["resources"] = {"limits": {"memory": memory}}
    found = parse_pod(pod)
    assert (found.status.limit_bytes, found.containers[0].limit_bytes) == (limit, limit)


@pytest.mark.parametrize("memory", ["-1Mi", "lots", 64, "1" * 3_000_000, ["64Mi"]])
def test_a_limit_that_is_none_is_named_with_its_container(memory: object) -> None:
    pod = pod_json()
    pod["spec"]["containers"][0]["resources"] = {"limits": {"memory": memory}}
    with pytest.raises(UnreadablePodError, match=r"spec\.containers\[0\]\.resources\.limits\.memory") as error:
        parse_pod(pod)
    assert len(str(error.value)) < 200


@pytest.mark.parametrize("field", ["name", "namespace", "uid", "labels", "annotations", "nodeName"])
def test_half_a_character_is_not_let_in_anywhere(field: str) -> None:
    """JSON can write one, but no log, database or metrics page can."""
    pod = pod_json()
    half = json.loads('"\\ud800"')
    value = {"oomward.dev/x": half} if field in ("labels", "annotations") else half
    pod["spec" if field == "nodeName" else "metadata"][field] = value
    with pytest.raises(UnreadablePodError, match=f"{field} has half a character"):
        parse_pod(pod)


def test_ten_thousand_annotations_are_reduced_to_ours() -> None:
    annotations = {f"other.example/{i}": "x" for i in range(10_000)} | {"mode.oomward.dev/herder": "single"}
    assert dict(parse_pod(pod_json(annotations=annotations)).annotations) == {"mode.oomward.dev/herder": "single"}


def test_a_pod_cannot_be_changed_once_it_is_read() -> None:
    pod = parse_pod(pod_json(labels={"a": "b"}))
    with pytest.raises(TypeError):
        pod.labels["a"] = "c"  # type: ignore[index]


def test_a_pod_of_more_containers_than_any_node_runs_is_refused_before_they_are_read() -> None:
    pod: Any = copy.deepcopy(WHOLE)
    pod["spec"]["containers"] = [{"name": f"c{number}"} for number in range(MOST_CONTAINERS - 1)]
    assert len(parse_pod(pod).containers) == MOST_CONTAINERS
    pod["spec"]["containers"] += [{"name": "one-more"}, None]
    with pytest.raises(
        UnreadablePodError, match=f"has {MOST_CONTAINERS + 2} containers, more than the {MOST_CONTAINERS}"
    ):
        parse_pod(pod)
