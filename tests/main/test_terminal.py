"""What reaches a terminal and a program."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.base.errors import BadInput
from treadle.main.agent_input import read_value, split_pair, takes_text
from treadle.main.history import bar
from treadle.main.terminal import one_line, plain, shown, to_json


@given(st.text())
def test_no_text_moves_the_cursor_or_reorders_the_line(text: str) -> None:
    for letter in plain(text):
        assert letter in "\t\n" or (ord(letter) >= 32 and not 0x7F <= ord(letter) <= 0x9F)
        assert letter not in "\u2028\u2029\u202e\u2066"


@given(st.text(st.characters()))
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    if text.isprintable():
        assert plain(text) == text


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)))
def test_json_for_people_reads_back(value: Any) -> None:
    assert json.loads(to_json(value)) == value


def test_half_a_surrogate_pair_is_written_as_an_escape() -> None:
    assert to_json("\ud83d").encode() == b'"\\ud83d"'


@given(st.text(), st.integers(2, 50))
def test_one_line_is_one_line_of_bounded_length(text: str, longest: int) -> None:
    line = one_line(text, longest)
    assert "\n" not in line
    assert len(line) <= longest * 10  # an escape takes up to ten characters


def test_a_long_value_says_how_long_it_is() -> None:
    assert shown("x" * 5_000, 10) == "xxxxxxxxxx… (5,000 characters in all)"


@pytest.mark.parametrize(
    ("text", "schema", "value"),
    [
        ("5", {"type": "string"}, "5"),
        ("5", {"type": "integer"}, 5),
        ("5", {}, "5"),
        ("5", None, "5"),
        ("true", {"type": "boolean"}, True),
        ("[1]", {"type": "array"}, [1]),
        ("not json", {"type": "object"}, "not json"),
        ("7", {"anyOf": [{"type": "number"}, {"type": "null"}]}, 7),
        ("7", {"anyOf": [{"type": "number"}, {"type": "string"}]}, "7"),
        ("2026-01-01", {"type": "string", "format": "date"}, "2026-01-01"),
    ],
)
def test_a_value_is_text_or_json_as_the_schema_says(text: str, schema: dict[str, Any] | None, value: Any) -> None:
    assert read_value(text, schema) == value


def test_an_enumeration_is_no_free_text() -> None:
    assert not takes_text({"enum": [1, 2]})


def test_a_value_may_hold_equals_signs() -> None:
    assert split_pair("a=b=c") == ("a", "b=c")
    with pytest.raises(BadInput):
        split_pair("=x")


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(1, 1e6))
def test_a_bar_always_has_the_same_width(start: float, took: float, whole: float) -> None:
    drawn = bar(start, took, whole)
    assert len(drawn) == 24
    assert "█" in drawn
