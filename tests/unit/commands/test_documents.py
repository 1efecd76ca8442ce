"""What the commands print as JSON is what docs/reference/json.md and its schema say."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.commands import once
from agent.commands.advise import advise
from agent.commands.check import check
from agent.commands.diagnose import diagnose
from agent.commands.explain import explain
from agent.commands.output.table import Output, show_rows
from agent.commands.ps import ps
from agent.look.kills import KILLS
from agent.model import MemoryUse, Mode, SeenProcess
from scripts import json_reference as reference
from tests.unit.commands.world import CONTAINER, MIB, MODE, LookedAtNode, a_kill, pod_json
from tests.unit.wording.kills import CASES, KILL


def checked(command: str, text: str) -> dict[str, Any]:
    """The document, which is as the schema says and has no other key."""
    document: dict[str, Any] = json.loads(text)
    schema, jsonschema = reference.schema(), importlib.import_module("jsonschema")
    jsonschema.validate(document, {"$ref": f"#/$defs/{command}", "$defs": _strict(schema["$defs"])})
    return document


def _strict(defs: dict[str, Any]) -> dict[str, Any]:
    return {name: one | {"additionalProperties": False} for name, one in defs.items()}


def printed(show: Any) -> str:
    file = StringIO()
    show(file)
    return file.getvalue()


def test_the_page_and_the_schema_are_what_the_code_says() -> None:
    """Else: PYTHONPATH=. python scripts/reference.py."""
    assert reference.PAGE.read_text() == reference.page()
    assert reference.SCHEMA.read_text() == reference.schema_text()


def test_every_key_has_one_meaning_and_one_type_and_none_is_described_that_is_not_there() -> None:
    seen: dict[str, set[str]] = {}
    for kind in reference.row_types():
        for name, one in reference.field_schemas(kind).items():
            seen.setdefault(name, set()).add(reference.type_text(one).replace(" or null", ""))
    assert {name: types for name, types in seen.items() if len(types) > 1} == {}
    more = {name for document in reference.DOCUMENTS for name in document.more}
    assert reference.TEXTS.keys() == seen.keys() | more | {"oomward", "looked_at_unix_s"}


def test_numbers_have_their_unit_in_their_names() -> None:
    """Of what is measured; counts, ids and the kernel's own counters have none."""
    floats = {
        name
        for kind in reference.row_types()
        for name, one in reference.field_schemas(kind).items()
        if "number" in reference.type_text(one)
    }
    assert {name for name in floats if not name.endswith("_s")} == set()
    sizes = {name for kind in reference.row_types() for name in reference.field_schemas(kind) if "limit" in name}
    assert {name for name in sizes if not name.endswith(("_bytes", "_quantity"))} == {"limits"}


@pytest.mark.parametrize("name", CASES)
def test_history(name: str) -> None:
    text = printed(lambda file: show_rows(KILLS, [CASES[name]], Output.JSON, file))
    assert checked("history", text)["kills"][0]["kill_id"] == CASES[name].kill_id


def test_a_kill_has_the_memory_by_kind_and_the_processes_that_were_seen() -> None:
    use, seen = (
        MemoryUse(anon=3 * MIB, file=MIB, by_report=False),
        SeenProcess(7, "sh", "sh -c x", ("tini",), ("tini -- sh",), MIB),
    )
    kill = replace(KILL, use=use, seen=(seen,))
    (found,) = checked("history", printed(lambda file: show_rows(KILLS, [kill], Output.JSON, file)))["kills"]
    assert (found["memory"]["anon_bytes"], found["memory"]["swap_bytes"], found["memory"]["by_report"]) == (
        3 * MIB,
        None,
        False,
    )
    assert found["seen"] == [
        {
            "pid": 7,
            "comm": "sh",
            "command": "sh -c x",
            "parents": ["tini"],
            "parent_commands": ["tini -- sh"],
            "rss_bytes": MIB,
        }
    ]


def test_the_commands_of_a_node(node: LookedAtNode, tmp_path: Path) -> None:
    node.server.put_pod(pod_json(labels={MODE: "single"}, limits={"herder": "256Mi"}))
    node.remember_tolerant(2)
    settings = node.settings
    (row,) = checked("ps", printed(lambda file: ps(settings, Output.JSON, file)))["containers"]
    assert (row["cgroup_path"], row["tolerance"]["killed_in_window"]) == (CONTAINER, 2)
    (pod,) = checked("explain", printed(lambda file: explain(settings, "herder-1", Output.JSON, file)))["pods"]
    assert pod["containers"][0]["cgroup"]["cgroup_path"] == CONTAINER
    checked("diagnose", printed(lambda file: diagnose(settings, None, Output.JSON, file)))
    found = checked("advise", printed(lambda file: advise(settings, Output.JSON, file, since_unix_s=None)))
    assert [one["workload"] for one in found["workloads"]] == ["herder-1"]
    checked("once", printed(lambda file: once.dry_run(settings, Output.JSON, file)))
    assert checked("check", printed(lambda file: check(settings, Output.JSON, file)))["checks"]


def test_yaml_has_the_same_data(node: LookedAtNode) -> None:
    node.remember(a_kill(1))
    shown = {one: printed(lambda file, one=one: ps(node.settings, one, file)) for one in (Output.JSON, Output.YAML)}
    assert yaml.safe_load(shown[Output.YAML]) == json.loads(shown[Output.JSON])
    assert "mode_actual: group" in shown[Output.YAML]
    assert shown[Output.YAML].isascii()


def test_a_mode_is_a_word_in_yaml() -> None:
    text = printed(
        lambda file: show_rows(KILLS, [replace(KILL, mode=Mode.SINGLE, pod="\x1b[2J\u202e")], Output.YAML, file)
    )
    assert "mode: single" in text
    assert "\x1b" not in text
    assert text.isascii()
