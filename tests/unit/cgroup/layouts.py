"""The table of layouts (layouts.tsv) with its placeholders filled in: what a path is, told apart from the room's own code."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

NAMES = {
    "uid": "11111111-2222-4333-8444-555555555555",
    "uid_": "11111111_2222_4333_8444_555555555555",
    "uid2": "99999999-aaaa-4bbb-8ccc-dddddddddddd",
    "uid2_": "99999999_aaaa_4bbb_8ccc_dddddddddddd",
    "hash": "0123456789abcdef0123456789abcdef",
    "id": "a1" * 32,
    "id2": "b2" * 32,
    "id3": "c3" * 32,
}


@dataclass(frozen=True, slots=True)
class Layout:
    what: str
    path: str
    kind: str
    pod_key: str | None
    container_id: str | None
    runtime: str | None


def layouts() -> list[Layout]:
    """Every row."""
    with (Path(__file__).parent / "layouts.tsv").open(newline="") as file:
        return [
            Layout(
                row["what"],
                row["path"].format(**NAMES),
                row["kind"],
                NAMES.get(row["pod"]),
                NAMES.get(row["container"]),
                None if row["runtime"] == "-" else row["runtime"],
            )
            for row in csv.DictReader(file, delimiter="\t")
        ]
