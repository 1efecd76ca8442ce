"""diagnose -f: a status from anywhere, without node or cluster; and what is no status gets a sentence."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.cli import main
from agent.commands import EXIT_FAILED, EXIT_OK
from tests.unit.diagnose.recorded import recorded
from tests.unit.diagnose.reports import reports

LOOPING = "crash-loop-oom-kubelet-1.29"


def pod(name: str = LOOPING) -> dict[str, Any]:
    return recorded(name).pod


def put(folder: Path, text: str, name: str = "pod.json") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_pod_in_json_is_diagnosed_without_node_or_cluster(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diagnose", "-f", put(tmp_path, json.dumps(pod()))]) == EXIT_OK
    out = capsys.readouterr().out
    assert "raise the limit from 256Mi to 320Mi" in out
    assert "next try" not in out or "next try is due now" in out, "the status is old"


def test_a_list_in_yaml_on_standard_input_is_a_table(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = {"kind": "List", "items": [pod(), pod("running-well-kubelet-1.29")]}
    monkeypatch.setattr("sys.stdin", StringIO(yaml.safe_dump(listed)))
    assert main(["diagnose", "-f", "-", "--output", "json"]) == EXIT_OK
    assert [one["rule"] for one in json.loads(capsys.readouterr().out)["diagnoses"]] == ["ended-oom"]


def test_standard_input_that_is_closed_is_a_sentence_with_what_to_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in ``oomward diagnose -f - <&-``."""
    monkeypatch.setattr("sys.stdin", None)
    assert main(["diagnose", "-f", "-"]) == EXIT_FAILED
    said = "standard input is closed: `kubectl get pod POD -o json | oomward diagnose -f -`"
    assert capsys.readouterr() == ("", f"oomward: {said}\n")


@pytest.mark.parametrize("form", ["json", "yaml", "documents", "list"])
def test_every_form_has_the_same_answer(form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = {
        "json": json.dumps(pod()),
        "yaml": yaml.safe_dump(pod())
        .replace("'2026", "2026")
        .replace("Z'", "Z"),  # times without quotes, as people write them
        "documents": "---\n" + yaml.safe_dump(pod()) + "---\n",
        "list": json.dumps([pod()]),
    }[form]
    assert main(["diagnose", "--file", put(tmp_path, text), "--output", "json"]) == EXIT_OK
    (one,) = json.loads(capsys.readouterr().out)["diagnoses"]
    assert (one["rule"], one["next_step"]["back_off_s"]) == ("ended-oom", 160)
    assert one["next_step"]["due_unix_s"] is not None


def test_every_public_report_has_the_same_answer_from_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = [one for one in reports() if not one.kills and one.pod["status"].get("startTime")]
    main(["diagnose", "-f", put(tmp_path, json.dumps({"items": [one.pod for one in found]})), "--output", "json"])
    given = [one["rule"] for one in json.loads(capsys.readouterr().out)["diagnoses"]]
    assert given == [one.rule for report in found for one in report.diagnoses()]


def test_a_shortened_pod_may_lack_uid_and_namespace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    short = pod()
    del short["metadata"]["uid"], short["metadata"]["namespace"], short["kind"]
    assert main(["diagnose", "-f", put(tmp_path, json.dumps(short))]) == EXIT_OK
    assert "ended-oom" in capsys.readouterr().out


def test_a_pod_without_problems_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diagnose", "-f", put(tmp_path, json.dumps(pod("running-well-kubelet-1.29")))]) == EXIT_OK
    assert "No problems found in the status of pod shop/" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is empty: `kubectl get pod"),
        ('{"kind": "Pod", ', "is neither JSON nor YAML: Expecting"),
        ("a: b: c", "is neither JSON nor YAML: mapping values are not allowed"),
        ("hello", "has str where a Pod should be: hello"),
        ("[1]", "has int where a Pod should be: 1"),
        ("kind: Deployment", "has a Deployment, which is no Pod: `kubectl get pod POD -o json` prints one"),
        ('{"kind": "List", "items": []}', "has no pod"),
        ('{"kind": "Pod"}', "metadata.name is missing"),
        ('{"metadata": {"name": "web"}, "spec": {"containers": [{}]}}', "spec.containers[0].name is missing"),
        ("[" * 100_000, "is neither JSON nor YAML"),
        ("a: &a [*a]", "has YAML aliases (*name)"),
        ("\x1b[31m: [", "is neither JSON nor YAML"),
        ("a: !!bool maybe", "is neither JSON nor YAML: the value does not fit its YAML tag"),
        ('a: !!int ""', "is neither JSON nor YAML: the value does not fit its YAML tag"),
        ("a: !!timestamp x", "is neither JSON nor YAML: the value does not fit its YAML tag"),
        ("kind: 0x" + "f" * 4000, "has a int, which is no Pod"),
        ("0x" + "f" * 4000, "has int where a Pod should be"),
    ],
)
def test_what_is_no_pod_is_said_in_a_sentence(
    text: str, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diagnose", "-f", put(tmp_path, text)]) == EXIT_FAILED
    captured = capsys.readouterr()
    assert why in captured.err
    assert "\x1b" not in captured.err
    assert captured.out == ""


def test_one_that_cannot_be_read_does_not_hide_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed = {"items": [{"metadata": {"name": "web"}, "spec": {"containers": [{}]}}, pod()]}
    assert main(["diagnose", "-f", put(tmp_path, json.dumps(listed))]) == EXIT_OK
    captured = capsys.readouterr()
    assert "raise the limit" in captured.out
    assert "spec.containers[0].name is missing" in captured.err


BOMB = "\n".join(f"  a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12))
POD = "kind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: app, image: x}]}\n"


@pytest.mark.parametrize(
    "text",
    [POD + "status: &a {again: *a}", f"{POD}status:\n  a0: &a0 [x]\n{BOMB}", "items: &l\n- *l"],
    ids=["ring", "bomb", "list"],
)
def test_aliases_of_yaml_are_refused_since_they_may_be_endless(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diagnose", "-f", put(tmp_path, text)]) == EXIT_FAILED
    assert "aliases" in capsys.readouterr().err


@pytest.mark.parametrize("where", ["name", "namespace", "container"])
def test_a_name_that_no_object_has_is_refused_since_advice_has_commands(
    where: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody's file must not put `kubectl logs -n x; rm -rf ~` on the screen of somebody who helps."""
    odd = pod()
    item = odd["spec"]["containers"][0] if where == "container" else odd["metadata"]
    item["namespace" if where == "namespace" else "name"] = "x; rm -rf ~"
    assert main(["diagnose", "-f", put(tmp_path, json.dumps(odd))]) == EXIT_FAILED
    assert "is no name" in capsys.readouterr().err


def test_no_image_makes_a_command_another_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd = pod("image-inspect-error-containerd-1.6")
    for image, shown in (
        ("registry.example/app:1", "crictl rmi registry.example/app:1"),
        ("x; reboot", "remove the image"),
    ):
        odd["spec"]["containers"][0]["image"] = image
        assert main(["diagnose", "-f", put(tmp_path, json.dumps(odd))]) == EXIT_OK
        out = capsys.readouterr().out
        assert shown in out
        assert "rmi x" not in out


@pytest.mark.parametrize(("name", "why"), [("nowhere.json", "No such file"), (".", "Is a directory")])
def test_a_file_that_cannot_be_read_is_named(
    name: str, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diagnose", "-f", str(tmp_path / name)]) == EXIT_FAILED
    assert why in capsys.readouterr().err


def test_text_that_is_not_utf_8_is_no_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pod.json").write_bytes(b"\xff\xfe")
    assert main(["diagnose", "-f", str(tmp_path / "pod.json")]) == EXIT_FAILED
    assert "cannot be read" in capsys.readouterr().err


def test_only_the_pods_that_are_asked_for_are_diagnosed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    waits = {"name": "main", "state": {"waiting": {"reason": "CreateContainerConfigError"}}}
    pods = [
        {
            "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
            "spec": {"containers": [{"name": "main"}]},
            "status": {"containerStatuses": [waits]},
        }
        for name, namespace in (("web", "shop"), ("api", "shop"), ("db", "data"))
    ]
    path = put(tmp_path, json.dumps({"items": pods}))

    def found(*words: str) -> list[str]:
        assert main(["diagnose", "-f", path, "-o", "json", *words]) == EXIT_OK
        return [one["pod"] for one in json.loads(capsys.readouterr().out)["diagnoses"]]

    assert found() == ["web", "api", "db"]
    assert found("-n", "shop", "--sort-by", "pod") == ["api", "web"]
    assert found("-l", "app in (db, web)") == ["web", "db"]
    assert main(["diagnose", "-f", path, "-n", "nowhere"]) == EXIT_OK
    assert capsys.readouterr().out == "No problems found in the statuses of 0 pods in namespace nowhere.\n"


def test_a_file_is_not_watched(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["diagnose", "-f", "-", "-w"])
    assert "a file is read once" in capsys.readouterr().err
