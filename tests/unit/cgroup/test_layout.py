"""What a path is, on every layout that is known, and on any text at all."""

from __future__ import annotations

import os

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.cgroup.layout import classify, is_in_pod, place_of_kernel_path
from agent.model import CgroupKind, CgroupPlace
from tests.unit.cgroup.kubelet_paths import container_path, pod_path
from tests.unit.cgroup.layouts import NAMES, Layout, layouts

UID, ID, ID2 = NAMES["uid"], NAMES["id"], NAMES["id2"]
ROOTS = (
    "kubepods", "kubepods.slice", "kubelet/kubepods", "kubelet.slice/kubelet-kubepods.slice", "custom.slice/custom-kubepods.slice",
    f"system.slice/docker-{ID2}.scope/kubelet.slice/kubelet-kubepods.slice", f"docker/{ID2}/kubelet/kubepods",
)  # fmt: skip
PARTS = (
    "kubepods", "kubepods.slice", "burstable", "kubepods-burstable.slice", f"pod{UID}", f"pod{NAMES['hash']}",
    f"kubepods-burstable-pod{NAMES['uid_']}.slice", ID, f"crio-{ID}", f"cri-containerd-{ID}.scope", "container", "exec", "..", "",
    f"kubepods-pod{NAMES['uid_']}.slice:cri-containerd:{ID}", "kubelet-kubepods.slice", f"crio-conmon-{ID}.scope", "pod\n", "\udcff",
)  # fmt: skip

uids = st.uuids().map(str)
hashes = st.text("0123456789abcdef", min_size=32, max_size=32)
ids = st.text("0123456789abcdef", min_size=64, max_size=64)
runtimes = st.sampled_from(["containerd", "cri-o", "docker", "nerdctl", "podman"])
qos_classes = st.sampled_from(["guaranteed", "burstable", "besteffort"])


def test_the_table_has_at_least_sixty_different_layouts() -> None:
    assert len({row.path for row in layouts()}) >= 60


@pytest.mark.parametrize("row", layouts(), ids=lambda row: row.what)
def test_a_path_is_known_for_what_it_is(row: Layout) -> None:
    place = classify(row.path)
    assert (place.kind.value, place.pod_key, place.container_id, place.runtime) == (
        row.kind,
        row.pod_key,
        row.container_id,
        row.runtime,
    )
    assert place.path == row.path


@pytest.mark.parametrize("row", layouts(), ids=lambda row: row.what)
def test_slashes_in_front_and_behind_change_nothing(row: Layout) -> None:
    assert classify(f"/{row.path}/") == classify(row.path)


@given(st.text() | st.lists(st.sampled_from(PARTS), max_size=9).map("/".join))
@example("/")
@example("kubepods.slice\n")
@example("kubepods//burstable")
def test_any_text_is_some_place(path: str) -> None:
    place = classify(path)
    assert place.path == path.strip("/")
    if place.kind in (CgroupKind.CONTAINER, CgroupKind.NESTED):
        assert place.pod_key is not None
        assert place.container_id is not None
        assert "kubepods" in path
    elif place.kind is not CgroupKind.POD:
        assert place.container_id is None
    if place.pod_key is not None:
        assert "_" not in place.pod_key


@given(st.lists(st.sampled_from(PARTS), min_size=1, max_size=9))
def test_whatever_lies_below_a_container_belongs_to_it(parts: list[str]) -> None:
    container = classify(f"kubepods/burstable/pod{UID}/{ID2}")
    place = classify("/".join((container.path, *parts, "x")))
    assert (place.kind, place.pod_key, place.container_id) == (CgroupKind.NESTED, UID, ID2)


@given(st.sampled_from(ROOTS), qos_classes, uids | hashes, ids, runtimes)
def test_a_path_made_by_the_rules_is_read_back(root: str, qos: str, key: str, container_id: str, runtime: str) -> None:
    pod = pod_path(root, qos, key)
    assert classify(pod) == CgroupPlace(pod, CgroupKind.POD, key)
    path = container_path(pod, container_id, runtime)
    told = None if not path.endswith(".scope") and runtime != "cri-o" else runtime
    assert classify(path) == CgroupPlace(path, CgroupKind.CONTAINER, key, container_id, told)


@pytest.mark.parametrize(
    ("root", "qos", "runtime", "wanted"),
    [
        ("kubepods", "burstable", "containerd", "kubepods/burstable/pod{uid}/{id}"),
        ("kubepods", "guaranteed", "cri-o", "kubepods/pod{uid}/crio-{id}"),
        ("kubepods.slice", "guaranteed", "docker", "kubepods.slice/kubepods-pod{uid_}.slice/docker-{id}.scope"),
        (
            "kubelet.slice/kubelet-kubepods.slice",
            "besteffort",
            "containerd",
            (
                "kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/"
                "kubelet-kubepods-besteffort-pod{uid_}.slice/cri-containerd-{id}.scope"
            ),
        ),
    ],
)
def test_the_paths_of_kubelet_and_runtimes_are_made_as_they_make_them(
    root: str, qos: str, runtime: str, wanted: str
) -> None:
    assert container_path(pod_path(root, qos, UID), ID, runtime) == wanted.format(**NAMES)


# ------------------------------------------------------------------------------------------------ paths of the log

CONTAINER = f"kubelet/kubepods/burstable/pod{UID}/{ID}"
KNOWN = ("kubelet/kubepods", f"kubelet/kubepods/burstable/pod{UID}", CONTAINER)


@pytest.mark.parametrize("prefix", ["/", f"/docker/{ID2}/"])
def test_a_kernel_path_is_found_among_ours_from_within_a_namespace(prefix: str) -> None:
    for known in KNOWN:
        assert place_of_kernel_path(prefix + known, KNOWN) == classify(known)


@pytest.mark.parametrize("prefix", ["/", f"/docker/{ID2}/"])
def test_a_kernel_path_below_one_of_our_pods_is_ours_too(prefix: str) -> None:
    nested, late = f"{CONTAINER}/docker/x", f"kubelet/kubepods/burstable/pod{UID}/{ID2}"
    assert place_of_kernel_path(prefix + nested, KNOWN) == classify(nested)
    assert place_of_kernel_path(prefix + late, KNOWN) == classify(late)


@pytest.mark.parametrize("prefix", ["/", f"/docker/{ID2}/"])
def test_a_cgroup_below_a_container_that_is_named_as_another_pods_is_the_containers(prefix: str) -> None:
    victim = f"kubelet/kubepods/burstable/pod{NAMES['uid2']}/{NAMES['id3']}"
    known = (*KNOWN, victim.rpartition("/")[0], victim)
    nested = f"{CONTAINER}/{victim}"
    assert place_of_kernel_path(prefix + nested, known) == classify(nested)
    assert classify(nested).kind is CgroupKind.NESTED


def test_where_our_view_is_the_logs_nothing_in_front_of_a_path_is_left_out() -> None:
    foreign = f"/user.slice/user-1000.slice/user@1000.service/{CONTAINER}"
    assert place_of_kernel_path(foreign, KNOWN, whole=True) is None
    assert place_of_kernel_path(f"/{CONTAINER}", KNOWN, whole=True) == classify(CONTAINER)


def test_a_pod_of_another_kind_node_on_the_same_host_is_not_ours() -> None:
    other = f"/docker/{ID2}/kubelet/kubepods/burstable/pod{NAMES['uid2']}/{NAMES['id3']}"
    assert place_of_kernel_path(other, KNOWN) is None
    assert place_of_kernel_path("/system.slice/sshd.service", KNOWN) is None


@given(st.sampled_from(ROOTS), qos_classes, uids, ids, runtimes, st.sampled_from(["", "docker/x", "a/b/c"]))
def test_every_containers_kernel_path_leads_back_to_it(
    root: str, qos: str, key: str, container_id: str, runtime: str, prefix: str
) -> None:
    path = container_path(pod_path(root, qos, key), container_id, runtime)
    assert place_of_kernel_path(f"/{prefix}/{path}" if prefix else f"/{path}", (root, path)) == classify(path)


# ------------------------------------------------------------------------------------------------ paths of /proc/PID/cgroup

OF_NODE = (
    "system.slice/kubelet.service", "kubelet.slice/kubelet.service", "podruntime/kubelet", "init.scope", f"docker/{ID2}",
    f"system.slice/docker-{ID2}.scope", "user.slice/user-0.slice/session-1.scope",
)  # fmt: skip


@given(
    st.sampled_from(ROOTS), qos_classes, qos_classes, uids, ids, runtimes, st.sampled_from(["", "/a", f"/{OF_NODE[0]}"])
)
def test_a_process_of_a_pod_is_known_for_one_from_within_another_pods_container(
    root: str, qos: str, ours: str, key: str, container_id: str, runtime: str, nested: str
) -> None:
    path = "/" + container_path(pod_path(root, qos, key), container_id, runtime) + nested
    assert is_in_pod(path)
    our_own = "/" + container_path(pod_path(root, ours, UID), ID, runtime)
    assert is_in_pod("/" + os.path.relpath(path, our_own)) or key == UID


@given(st.sampled_from(OF_NODE), st.sampled_from(ROOTS[:5]), qos_classes, runtimes)
def test_a_process_of_the_node_is_in_no_pod_however_it_is_looked_at(
    path: str, root: str, qos: str, runtime: str
) -> None:
    our_own = "/" + container_path(pod_path(root, qos, UID), ID, runtime)
    assert not is_in_pod(f"/{path}")
    assert not is_in_pod("/" + os.path.relpath(f"/{path}", our_own))
    assert not is_in_pod("/")
