"""An object that is passed over undecoded ends where it ends, wherever the answer's parts and the windows of the search are cut."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.kube.api import Answer
from agent.model import PodSkipped
from agent.pods import list as pods_list
from agent.pods import watch as pods_watch
from agent.pods.list import Unread, read_list

TEXTS = st.text(alphabet='ab"\\{}[],:é\n', max_size=12)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
PODS = st.lists(st.dictionaries(TEXTS, VALUES, max_size=4), max_size=4)


@given(pods=PODS, cut=st.integers(1, 40), window=st.integers(2, 16), spaces=st.booleans(), ascii_only=st.booleans())
def test_what_follows_a_pod_that_is_passed_over_is_read(
    pods: list[dict[str, Any]], cut: int, window: int, spaces: bool, ascii_only: bool
) -> None:
    large = {"large": "x" * 40, "and": pods}
    body = {"kind": "PodList", "items": [large, *pods, large, 5], "metadata": {"resourceVersion": "7"}}
    text = json.dumps(body, indent=1 if spaces else None, ensure_ascii=ascii_only).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pods_list, "WINDOW", window)
        patch.setattr(pods_list, "too_many", lambda found, at=0: "xxxxx" in found[at:])
        found, version = read_list(iter([text[i : i + cut] for i in range(0, len(text), cut)]), lambda item: [item])
    assert version == "7"
    assert [isinstance(item, Unread) for (item,) in found] == [True, *[False] * len(pods), True, False]
    assert [item for (item,) in found if not isinstance(item, Unread)] == [*pods, 5]


class Parts:
    """An answer that comes in parts of one size."""

    def __init__(self, body: bytes, size: int) -> None:
        self._parts = [body[i : i + size] for i in range(0, len(body), size)]

    def parts(self) -> list[bytes]:
        return self._parts


@given(lines=st.lists(st.text(alphabet='ab",é ', max_size=30), max_size=8), cut=st.integers(1, 40))
def test_the_lines_of_a_watch_are_the_same_however_they_arrive_and_a_large_one_keeps_its_beginning_only(
    lines: list[str], cut: int
) -> None:
    body = "".join(f"{line}\n" for line in lines).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pods_watch, "MOST_LINE_BYTES", 20)
        patch.setattr(pods_watch, "MOST_SIGNS", 6)
        patch.setattr(pods_watch, "FRONT", 4)
        found = list(pods_watch._lines(cast("Answer", Parts(body, cut))))
    expected: list[bytes | str] = []
    for line in filter(None, (line.encode() for line in lines)):
        signs, large = line.count(b'"') + line.count(b","), len(line) > 20
        if large or signs > 6:
            expected.append(line[:4].decode("latin-1"))
        elif line.strip():
            expected.append(line.strip())
    assert [one.front if isinstance(one, Unread) else one for one in found] == expected


@pytest.mark.parametrize(("more", "text"), [(1, "1 more object"), (2, "2 more objects")])
def test_those_of_a_list_that_are_not_named_are_counted(more: int, text: str) -> None:
    told: list[PodSkipped] = []
    skipped = pods_list._Skipped(told.append)
    for number in range(pods_list.MOST_NAMED + more):
        skipped.add({"metadata": {"name": f"bad-{number}", "uid": f"u-{number}"}}, "it is bad")
    skipped.end()
    assert told[-1] == PodSkipped(text, "as with those before", more)
