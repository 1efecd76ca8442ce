"""An object that is passed over undecoded ends where it ends, wherever the answer's parts and the windows of the search are cut."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.pods import list as pods_list
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
