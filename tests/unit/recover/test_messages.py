"""What is said about a recovery, and the page that lists what it does."""

from __future__ import annotations

import importlib.util
import unicodedata
from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from agent.model.diagnosis import Category
from agent.model.recover import Action, State
from agent.recover import messages
from agent.recover.table import BY_CATEGORY
from tests.unit.recover.pods import no_image, past, step

ROOT = Path(__file__).parents[3]


def test_each_end_is_a_sentence() -> None:
    attempt = replace(
        past(Action.IMAGE).attempts[0], cause="ImagePullBackOff (image not found)", what="image 2 of 3", result="why"
    )
    said = {
        state: messages.ended(replace(attempt, state=state), [attempt, replace(attempt, number=2)]) for state in State
    }
    assert said[State.SUCCEEDED] == "ImagePullBackOff (image not found). Recovered with image 2 of 3 after 1 attempt."
    assert said[State.FAILED] == "ImagePullBackOff (image not found). Image 2 of 3 did not help: why (1 attempt)."
    assert (
        said[State.REFUSED]
        == "ImagePullBackOff (image not found). Not possible: image 2 of 3: why. It is not repeated."
    )
    others = replace(attempt, state=State.REFUSED, result="Cannot evict pod.")
    assert messages.ended(others, [others]).endswith(": Cannot evict pod. It is not repeated.")
    assert said[State.DONE].startswith("ImagePullBackOff (image not found). Done: image 2 of 3; ")
    assert (
        messages.trying(step(no_image())) == "ImagePullBackOff (image not found). Trying image 2 of 3 (attempt 1 of 3)."
    )


@given(st.text(), st.text(max_size=5000), st.sampled_from(State))
def test_messages_are_safe_to_print(what: str, result: str, state: State) -> None:
    attempt = replace(past(Action.IMAGE).attempts[0], what=what, result=result, state=state, cause="x")
    text = messages.ended(attempt, [attempt])
    assert all(char.isprintable() or unicodedata.category(char) == "Zs" for char in text)
    assert len(text.encode("utf-8", "replace")) <= 4096


def test_every_category_has_its_actions() -> None:
    assert set(BY_CATEGORY) == set(Category)


def test_the_page_has_the_table_of_the_code() -> None:
    spec = importlib.util.spec_from_file_location("recovery_table", ROOT / "scripts" / "recovery_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.table() in (ROOT / "docs" / "reference" / "recovery.md").read_text()
