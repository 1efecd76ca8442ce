"""explain: one pod with all that its modes, cgroups, limits and kills are, however it is called; and what stands in their way."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from agent.cgroup.files import CgroupFiles
from agent.commands import EXIT_OK
from agent.commands.explain import explain
from agent.commands.output.table import Output
from agent.look.explanation import CgroupFacts
from agent.look.limits import limits_sentence
from agent.model import VANISHED, AgentError, Cgroup, MemoryUse, Original, Scope, SeenProcess, Vanished
from tests.unit.commands.world import (
    CONTAINER,
    ID,
    ID2,
    MIB,
    MODE,
    OTHER,
    POD,
    SANDBOX,
    SANDBOX_ID,
    UID,
    UID2,
    LookedAtNode,
    Terminal,
    a_kill,
    pod_json,
)

HERDER = "herder-1"


def told(node: LookedAtNode, pod: str = HERDER) -> dict[str, Any]:
    file = StringIO()
    assert explain(node.settings, pod, Output.JSON, file) == EXIT_OK
    assert file.getvalue().isascii()
    found: dict[str, Any]
    (found,) = json.loads(file.getvalue())["pods"]
    return found


def text(node: LookedAtNode, pod: str = HERDER) -> str:
    file = StringIO()
    assert explain(node.settings, pod, Output.TABLE, file) == EXIT_OK
    return file.getvalue()


def section(page: str, title: str) -> dict[str, str]:
    """The lines below a title, by name; of those with the same name the last."""
    lines = page.split(f"{title}\n")[1].partition("\n\n")[0].splitlines()
    return {line[:10].strip(): line[11:].strip() for line in lines}


# ------------------------------------------------------------------------------------------------------ how it is called


@pytest.mark.parametrize(
    "pod", [HERDER, "default/herder-1", UID, UID.upper(), UID.replace("-", "_"), ID, ID[:6], f"containerd://{ID}", SANDBOX_ID[:8]]
)  # fmt: skip
def test_a_pod_is_found_by_name_uid_and_the_beginning_of_an_id(node: LookedAtNode, pod: str) -> None:
    assert told(node, pod)["pod_uid"] == UID


def test_the_container_before_the_last_restart_names_the_pod_too(node: LookedAtNode) -> None:
    pod = pod_json()
    pod["status"]["containerStatuses"][0]["lastState"] = {"terminated": {"containerID": f"containerd://{'d' * 64}"}}
    node.server.put_pod(pod)
    assert told(node, "d" * 10)["pod"] == HERDER


def test_a_name_in_two_namespaces_needs_the_namespace(node: LookedAtNode) -> None:
    node.server.put_pod(pod_json(uid=UID2, ids={"main": ID2}, namespace="shop"))
    with pytest.raises(AgentError, match="Give namespace/name") as caught:
        told(node)
    assert f"default/herder-1 (uid {UID}), shop/herder-1 (uid {UID2})" in str(caught.value)
    assert told(node, "shop/herder-1")["pod_uid"] == UID2


def test_the_beginning_of_two_ids_is_not_enough(node: LookedAtNode) -> None:
    node.server.put_pod(pod_json("other", UID2, {"main": "a" * 63 + "0"}))
    with pytest.raises(
        AgentError, match=r"starts with aaaaaa: default/herder-1 .*, default/other .*Give more of the id"
    ):
        told(node, "aaaaaa")


@pytest.mark.parametrize("pod", ["nobody", "shop/herder-1", "aaaaa", "a" * 65, "", "\x1b[31m"])
def test_a_pod_that_is_not_here_is_said_to_be_so_and_where_to_look(node: LookedAtNode, pod: str) -> None:
    with pytest.raises(AgentError, match=r"on node node-1: `oomward ps` .* `kubectl get pods -A -o wide`") as caught:
        told(node, pod)
    assert "\x1b" not in str(caught.value)


def test_without_the_api_the_uid_or_an_id_is_asked_for(node: LookedAtNode, capsys: pytest.CaptureFixture[str]) -> None:
    node.server.close()
    with pytest.raises(AgentError, match="the API is not reachable, so give its uid or a container id"):
        told(node)
    assert "no answer from the API" in capsys.readouterr().err, "why it is not reachable"
    found = told(node, ID[:7])
    assert (found["pod_uid"], found["pod"], found["phase"]) == (UID, None, None)
    assert {one["container_id"] for one in found["containers"]} == {ID, SANDBOX_ID}
    assert section(text(node, UID), "Pod of unknown name")["Cgroup"] == POD


def test_without_the_api_the_ledger_has_the_name_of_what_it_decided(node: LookedAtNode) -> None:
    node.remember(a_kill(1), decided=(node.decided(),))
    node.server.close()
    (herder,) = (one for one in told(node)["containers"] if one["container"] == "herder")
    assert (herder["mode_desired"], herder["mode_rule"], herder["processes_killed"]) == ("single", MODE, 1)
    assert f"the last decision: the API has not been reachable since the start ({MODE})" in text(node)


# ----------------------------------------------------------------------------------------------------------- containers


def test_what_filled_the_limit_at_a_containers_last_kill_is_shown(node: LookedAtNode) -> None:
    node.server.put_pod(pod_json(limits={"herder": "256Mi"}))
    full = MemoryUse(20 * MIB, 212 * MIB, 208 * MIB)
    earlier = replace(a_kill(1, at=1000.0), scope=Scope.CONTAINER, use=MemoryUse(anon=MIB))
    node.remember(earlier, replace(a_kill(2, at=2000.0), scope=Scope.CONTAINER, limit_bytes=256 * MIB, use=full))
    (herder,) = (one for one in told(node)["containers"] if one["container"] == "herder")
    assert (herder["last_kill_unix_s"], herder["filled_by"]) == (2000.0, "page cache")
    assert (herder["memory"]["file_bytes"], herder["memory"]["dirty_bytes"]) == (212 * MIB, 208 * MIB)
    lines = section(text(node), "Container herder (regular)")
    assert lines["Kills"].endswith("the last 1970-01-01T00:33:20Z")
    assert lines["At kill"] == "Memory then: 212 MiB page cache (208 MiB not yet written back), 20 MiB processes."


def test_a_container_is_explained_with_mode_and_rule_knob_memory_counters_and_last_state(node: LookedAtNode) -> None:
    pod = pod_json(labels={MODE: "single"}, limits={"herder": "256Mi"})
    last = {"containerID": "x://y", "reason": "OOMKilled", "exitCode": 137, "finishedAt": "2025-10-09T08:53:20Z"}
    pod["status"]["containerStatuses"][0] |= {"restartCount": 2, "lastState": {"terminated": last}}
    node.server.put_pod(pod)
    inode = (node.mount / CONTAINER).stat().st_ino
    node.remember(a_kill(1), a_kill(2), original=Original(inode, CONTAINER, 0, UID, 1.0))
    node.write(f"{CONTAINER}/memory.peak", f"{250 * MIB}\n")
    node.write(f"{CONTAINER}/memory.events", "oom 5\noom_kill 4\noom_group_kill 1\n")
    node.write(f"{CONTAINER}/memory.events.local", "oom 3\n")
    assert section(text(node), "Container herder (regular)") == {
        "Desired": "single: label oomward.dev/mode=single",
        "Actual": "group: memory.oom.group is 1 (0 before oomward's first write)",
        "Id": ID,
        "Cgroup": CONTAINER,
        "Limit": "256 MiB",
        "Usage": "200 MiB, 78 % of the limit; peak 250 MiB",
        "OOM": "oom_kill 4, oom_group_kill 1, oom 5 (this cgroup's own limit: 3)",
        "Kills": "2 processes in the ledger, the last 1970-01-01T00:16:40Z",
        "State": "running, 2 restarts; the previous instance ended: OOMKilled, exit code 137, at 2025-10-09T08:53:20Z",
    }


def test_the_process_of_its_last_kill_is_shown_with_its_parents(node: LookedAtNode) -> None:
    seen = SeenProcess(4312, "worker", "python -m celery \x1b[2J", ("celery", "tini"), ("", ""))
    node.remember(a_kill(1, at=1.0), replace(a_kill(2, at=2.0), seen=(seen,)))
    assert section(text(node), "Container herder (regular)")["Killed"] == "python -m celery \\x1b[2J ← celery ← tini"
    assert told(node)["containers"][0]["last_process"] == "python -m celery \\x1b[2J ← celery ← tini"


def test_what_it_tolerates_is_told_with_who_said_so_and_whether_it_is_armed(node: LookedAtNode) -> None:
    node.remember_tolerant(2)
    said = section(text(node), "Container herder (regular)")
    assert said["Allows"] == "5 killed processes in 10m, 2 used up now (annotation oomward.dev/tolerate)"
    assert said["Desired"].startswith("single: ")


def test_a_tolerance_of_one_is_of_one_process(node: LookedAtNode) -> None:
    node.remember_tolerant(0)
    node.server.put_pod(pod_json(labels={MODE: "single"}, annotations={"oomward.dev/tolerate": "1/10m"}))
    said = section(text(node), "Container herder (regular)")
    assert said["Allows"] == "1 killed process in 10m, 0 used up now (annotation oomward.dev/tolerate)"


def test_an_armed_container_is_wanted_as_a_group(node: LookedAtNode) -> None:
    node.remember_tolerant(6)
    said = section(text(node), "Container herder (regular)")
    assert said["Desired"].startswith("group: ")
    assert said["Allows"].startswith("5 killed processes in 10m, 6 used up now")
    assert "exceeded: the next OOM kill ends the whole container" in said["Allows"]


def test_the_configured_rule_that_decided_is_named(node: LookedAtNode, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("rules: [{name: all-single, mode: single, namespaces: [default]}]\n")
    node.options["config"] = str(tmp_path / "config.yaml")
    (herder,) = told(node)["containers"]
    assert (herder["mode_desired"], herder["mode_rule"]) == ("single", "all-single")
    assert "single: configured rule all-single: single" in text(node)


def test_containers_that_do_not_run_are_there_with_their_mode_and_state(node: LookedAtNode) -> None:
    pod = pod_json(ids={"herder": ID, "loops": "c" * 64}, labels={MODE: "group"}, limits={"loops": "64Mi"})
    pod["spec"]["initContainers"] = [{"name": "setup"}]
    pod["status"]["containerStatuses"][1]["state"] = {"waiting": {"reason": "CrashLoopBackOff"}}
    node.server.put_pod(pod)
    page = text(node)
    assert re.findall(r"^Container (\w+)", page, re.MULTILINE) == ["setup", "herder", "loops"]
    loops = section(page, "Container loops (regular)")
    assert (loops["Desired"], loops["Cgroup"]) == (
        "group: label oomward.dev/mode=group",
        "none: the container does not run",
    )
    assert (loops["Limit"], loops["State"]) == ("64 MiB in the spec", "waiting (CrashLoopBackOff)")
    assert section(page, "Container setup (init)")["State"] == "not reported yet"
    assert "Sandbox (pause), or a container that is starting" in page


def test_the_sandbox_is_named_with_its_path(node: LookedAtNode) -> None:
    assert section(text(node), "Sandbox (pause)") == {"Cgroup": SANDBOX}
    assert told(node)["sandboxes"] == [SANDBOX]


def test_cruns_knob_is_shown_at_both_levels(node: LookedAtNode) -> None:
    node.write(f"{CONTAINER}/memory.oom.group", "0\n")
    node.container(f"{CONTAINER}/container", knob=1)
    (herder,) = told(node)["containers"]
    assert herder["mode_actual"] == "group"
    assert [(knob["cgroup_path"], knob["oom_group"]) for knob in herder["oom_groups"]] == [
        (CONTAINER, 0),
        (f"{CONTAINER}/container", 1),
    ]
    assert "group: memory.oom.group is 0 and 1 at container below, crun's cgroup of the processes" in text(node)


def test_a_limit_that_is_not_the_specs_is_shown_beside_it(node: LookedAtNode) -> None:
    """While a resize in place is under way."""
    node.server.put_pod(pod_json(limits={"herder": "512Mi"}))
    assert section(text(node), "Container herder (regular)")["Limit"] == "256 MiB (512 MiB in the spec)"


def test_what_can_not_be_read_is_a_question_mark_and_is_said_on_standard_error(
    node: LookedAtNode, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("memory.oom.group", "memory.max", "memory.current", "memory.events"):
        node.unreadable(f"{CONTAINER}/{name}")
    page = text(node)
    herder = section(page, "Container herder (regular)")
    assert [herder[name] for name in ("Actual", "Limit", "Usage", "OOM")] == [
        "?",
        "? (256 MiB in the spec)",
        "?; peak not available",
        "?",
    ]
    assert section(page, "Pod default/herder-1")["Limits"] == "some limits could not be read"
    assert "memory.events of cgroup" in capsys.readouterr().err


def test_a_container_that_vanishes_meanwhile_is_one_that_does_not_run(
    node: LookedAtNode, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def gone(files: CgroupFiles, cgroup: Cgroup) -> Vanished:
        return VANISHED

    node.remember()
    monkeypatch.setattr(CgroupFiles, "usage_bytes", gone)
    found = told(node)
    assert (found["cgroup"], [one["cgroup"] for one in found["containers"]]) == (None, [None])
    assert capsys.readouterr().err == ""


# ------------------------------------------------------------------------------------------------- what stands in the way


def test_a_1_above_the_containers_is_named(node: LookedAtNode) -> None:
    assert told(node)["grouped_above"] == []
    node.write(f"{POD}/memory.oom.group", "1\n")
    node.write("kubepods/memory.oom.group", "1\n")
    assert told(node)["grouped_above"] == ["kubepods", POD]
    assert "memory.oom.group is 1 at kubepods: if this level" in text(node)


def test_labels_and_annotations_that_are_no_modes_are_shown(node: LookedAtNode) -> None:
    node.server.put_pod(pod_json(labels={MODE: "sinlge"}, annotations={"mode.oomward.dev/nix": "group"}))
    notes = told(node)["notes"]
    assert [re.search(r"'sinlge'|no container of that name", note) is not None for note in notes] == [True, True]
    assert "'sinlge', which is not a mode" in text(node)


def test_annotations_about_tolerance_and_stalls_that_are_invalid_are_shown(node: LookedAtNode) -> None:
    node.server.put_pod(pod_json(annotations={"oomward.dev/tolerate": "5 in 10m", "oomward.dev/on-stall": "kill"}))
    tolerate, on_stall = told(node)["notes"]
    assert "oomward.dev/tolerate has the invalid value '5 in 10m'" in tolerate
    assert "oomward.dev/on-stall has the invalid value 'kill'" in on_stall


def test_a_namespace_whose_labels_do_not_count_is_named_with_the_setting(node: LookedAtNode, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("ignoreLabelsIn: [default]\n")
    node.options["config"] = str(tmp_path / "config.yaml")
    assert told(node)["notes"] == []
    node.server.put_pod(pod_json(labels={MODE: "single"}))
    assert told(node)["notes"] == [
        "labels and annotations are ignored in namespace default (ignoreLabelsIn): only rules apply"
    ]


def test_on_cgroup_v1_group_can_not_be_had_and_the_files_have_other_names(node: LookedAtNode) -> None:
    node.server.put_pod(pod_json(labels={MODE: "group"}))
    node.to_v1()
    page = text(node)
    herder = section(page, "Container herder (regular)")
    assert herder["Actual"] == "single: cgroup v1 has no memory.oom.group, and each OOM kill ends one process"
    assert herder["OOM"] == "oom_kill 2"
    assert "this node runs cgroup v1" in page
    files = section(page, f"Files below {node.mount}/memory/<cgroup>")
    assert (files[""].split("  ")[0], files["Limit"].split()) == ("v2", ["memory.max", "memory.limit_in_bytes"])


# ----------------------------------------------------------------------------------------------------------------- limits


@pytest.mark.parametrize(
    ("pod", "limits", "words"),
    [
        (256, {"a": 256}, r"add up to 256 MiB; the pod's limit is the same, and the kernel log names the pod's cgroup"),
        (256, {"a": 192, "b": 64}, r"192 MiB \+ 64 MiB = 256 MiB; the pod's limit is the same$"),
        (200, {"a": 192, "b": 64}, r"the pod's limit is 56 MiB less, so it is hit before"),
        (300, {"a": 192, "b": 64}, r"the pod's limit is 44 MiB more \(init containers, or the RuntimeClass overhead\)"),
        (None, {"a": 192}, r"add up to 192 MiB; the pod has no limit of its own"),
        (None, {"a": 192, "b": None, "c": None}, r"b, c have no limit, and the pod has none: only the node's memory"),
        (256, {"a": None}, r"a has no limit: all containers of the pod together hit the pod's limit first"),
        (256, {}, r"the containers have no limit: all containers of the pod"),
    ],
)
def test_how_the_pods_limit_relates_to_the_sum_of_its_containers(
    pod: int | None, limits: dict[str, int | None], words: str
) -> None:
    sizes = [(name, None if size is None else size * MIB) for name, size in limits.items()]
    facts = CgroupFacts("pod", None if pod is None else pod * MIB)
    assert re.search(words, limits_sentence(facts, sizes))


def test_init_and_ephemeral_containers_are_no_part_of_the_sum(node: LookedAtNode) -> None:
    pod = pod_json(limits={"herder": "256Mi"})
    pod["spec"]["initContainers"] = [{"name": "setup", "resources": {"limits": {"memory": "1Gi"}}}]
    pod["spec"]["ephemeralContainers"] = [{"name": "debugger"}]
    node.server.put_pod(pod)
    found = told(node)
    assert (found["limits_sum_bytes"], found["cgroup"]["limit_bytes"]) == (256 * MIB, 256 * MIB)


def test_a_pod_without_a_cgroup_here_is_explained_as_far_as_it_goes(node: LookedAtNode) -> None:
    node.server.put_pod(pod_json("done", UID2, {"main": ID2}))
    page = text(node, "done")
    assert section(page, "Pod default/done")["Limits"] == "the pod has no cgroup here, so it has no limit"
    assert not (node.mount / OTHER).exists()


# ------------------------------------------------------------------------------------------------------------------- print


def test_a_terminal_is_not_written_over_its_edge_nor_harmed(
    node: LookedAtNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "60")
    node.server.put_pod(pod_json(labels={MODE: "\x1b[2Jsingle"}))
    file = Terminal()
    explain(node.settings, HERDER, Output.TABLE, file)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", file.getvalue())
    assert all(len(line) <= 60 or len(line.split()) <= 2 for line in plain.splitlines()), (
        "only a single word stands out"
    )
    assert "\x1b" not in plain
    assert CONTAINER in plain.split(), "a path is neither broken nor cut"


def test_no_color_is_obeyed(node: LookedAtNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    node.server.put_pod(pod_json(labels={MODE: "single"}))
    for no_color, found in ((None, True), ("1", False)):
        if no_color:
            monkeypatch.setenv("NO_COLOR", no_color)
        file = Terminal()
        explain(node.settings, HERDER, Output.TABLE, file)
        assert ("\x1b[1;31m" in file.getvalue()) is found
