"""Text from elsewhere on screens and in logs: nothing that a terminal would obey."""

import json
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from penstock.plain_text import escaped_json, many_lines, one_line

OBEYED = {"Cc", "Cs", "Zl", "Zp"}  # categories: controls, surrogates, separators
TURNS = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff\u200b")


def obeyed(text):
    return [one for one in text if unicodedata.category(one) in OBEYED or one in TURNS]


@given(st.text(st.characters()))
def test_one_line_is_one_line_and_holds_nothing_that_is_obeyed(text):
    shown = one_line(text)
    assert not obeyed(shown)
    assert len(shown.splitlines()) <= 1
    assert one_line(shown) == shown


@given(st.text(st.characters()))
def test_many_lines_keeps_lines_and_tabs_and_nothing_else(text):
    shown = many_lines(text, "  ")
    assert set(obeyed(shown)) <= {"\n", "\t"}
    assert all(line.startswith("  ") for line in shown.split("\n"))
    assert shown.count("\n") == text.count("\n")


@given(st.text(st.characters()))
def test_json_says_the_same(text):
    for written in (json.dumps([text]), json.dumps([text], ensure_ascii=False)):
        shown = escaped_json(written)
        assert json.loads(shown) == [text]
        assert not obeyed(shown)


def test_plain_text_stays_as_it_is():
    for text in ("", "tasks.add", "Grüße, 世界", "می‌خواهم", "👩‍👩‍👧", "a\\nb", "[31m"):
        assert one_line(text) == many_lines(text) == text


def test_what_is_seen_instead():
    assert one_line("a\nb\r\x1b[2J\x9b1m\u202e\ud800") == r"a\nb\r\x1b[2J\x9b1m\u202e\ud800"
    assert many_lines("a\n\tb\x07") == "a\n\tb\\x07"
    assert escaped_json('"\x9b\x7f"') == r'"\u009b\u007f"'
