"""What a watch keeps has a limit in bytes: the namespace with the most gives way, its oldest objects first."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agent.recover.kept import Kept

MOST = 3000
PUTS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 30), st.integers(0, 800)), max_size=60)


def obj(namespace: str, name: str, size: int) -> dict[str, Any]:
    return {"metadata": {"namespace": namespace, "name": name}, "note": "x" * size}


def names(kept: Kept) -> list[str]:
    return [one["metadata"]["name"] for one in kept]


def test_the_oldest_of_the_namespace_with_the_most_give_way() -> None:
    kept = Kept(MOST)
    kept.put("good", obj("shop", "good", 500))
    for number in range(50):
        kept.put(f"u{number}", obj("evil", f"evil-{number}", 200))
    found = names(kept)
    assert found[0] == "good"
    assert found[1:] == [f"evil-{number}" for number in range(51 - len(found), 50)]
    assert (kept.crowded(), kept.crowded()) == ("evil", None)


def test_an_object_that_changes_takes_its_own_place_and_one_that_goes_leaves_it() -> None:
    kept = Kept(MOST)
    for size in (1000, 2000, 2500):
        kept.put("u", obj("shop", "a", size))
    kept.put("u2", obj("shop", "b", 100))
    assert (names(kept), kept.crowded()) == (["a", "b"], None)
    assert (kept.pop("u"), kept.pop("u")) == (True, False)
    kept.put("u3", obj("shop", "c", 2500))
    assert (names(kept), kept.crowded()) == (["b", "c"], None)


def test_objects_without_a_namespace_have_a_share_each() -> None:
    """Namespaces: the administrator of one must not close the others by long annotations."""
    kept = Kept(MOST)
    kept.put("u1", {"metadata": {"name": "shop"}})
    kept.put("u2", {"metadata": {"name": "evil"}, "note": "x" * MOST})
    assert (names(kept), kept.crowded()) == (["shop"], "evil")


@given(PUTS)
def test_whatever_comes_it_stays_within_its_bytes_and_no_smaller_namespace_loses_anything(
    puts: list[tuple[str, int, int]],
) -> None:
    kept = Kept(MOST)
    for namespace, number, size in puts:
        before = {one["metadata"]["name"] for one in kept}
        new = f"{namespace}-{number}"
        kept.put(new, obj(namespace, new, size))
        sizes: dict[str, int] = {}
        for one in kept:
            space = one["metadata"]["namespace"]
            sizes[space] = sizes.get(space, 0) + len(json.dumps(one))
        assert sum(sizes.values()) <= MOST
        for gone in before - {one["metadata"]["name"] for one in kept} - {new}:
            assert sizes.get(gone[0], 0) + 900 > max(sizes.values())
