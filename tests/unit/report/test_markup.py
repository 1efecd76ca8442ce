"""Markup: whatever the text, it is text; nothing that it has becomes an element, an attribute or a change of direction."""

from __future__ import annotations

import unicodedata
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from agent.report.markup import MOST_NAME, Html, join, name_of, tag, text


class Read(HTMLParser):
    """What a browser would find: elements with their attributes, and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.said = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.said += data


@given(st.text(max_size=80))
def test_any_text_is_read_as_one_text_and_no_element(words: str) -> None:
    read = Read(tag("p", words, title=words))
    assert [name for name, _ in read.elements] == ["p"]
    assert read.elements[0][1] == {"title": read.said}
    shown = [unicodedata.category(char) for char in read.said]
    assert not {"Cc", "Cf", "Cs", "Zl", "Zp"} & set(shown)


def test_a_script_in_a_name_is_shown_and_not_run() -> None:
    assert name_of("<script>alert(1)</script>") == "<bdi>&lt;script&gt;alert(1)&lt;/script&gt;</bdi>"
    assert tag("a", title='x" onload="y') == '<a title="x&quot; onload=&quot;y"></a>'


def test_direction_marks_and_escape_sequences_are_shown_as_escapes() -> None:
    assert text("\u202egnp.exe\x1b[31m") == "\\u202egnp.exe\\x1b[31m"


def test_the_middle_of_a_long_name_is_left_out() -> None:
    assert name_of("a" * 253) == f"<bdi>{'a' * 253}</bdi>"
    assert len(Read(name_of("a" * 100_000)).said) == MOST_NAME


def test_html_is_not_escaped_again_and_nothing_is_nothing() -> None:
    assert join("a & b", None, Html("<b>c</b>")) == "a &amp; b<b>c</b>"


def test_attributes_of_none_and_false_are_not_there() -> None:
    assert (
        tag("p", class_=None, hidden=False, open=True, aria_label="a", x=1.5) == '<p open aria-label="a" x="1.5"></p>'
    )
    assert tag("meta", charset="utf-8") == '<meta charset="utf-8">'


def test_a_name_that_is_not_known_is_said_so() -> None:
    assert Read(name_of(None)).said == "not known"


@given(st.text(max_size=600), st.integers(12, 300))
def test_a_text_has_at_most_two_bytes_for_each_character_that_it_may_have(words: str, limit_chars: int) -> None:
    assert len(text(words, limit_chars).encode()) <= 2 * limit_chars
