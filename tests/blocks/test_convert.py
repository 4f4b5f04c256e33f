"""Types, escape sequences and JSON text."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.blocks.convert import convert_type, decode_text, json_decode, json_encode
from treadle.sdk.errors import BlockError
from treadle.sdk.testing import run_block

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("value", "target", "result"),
    [
        (True, "number", 1.0),
        ([1, 2], "number", 2.0),
        ("maybe", "boolean", False),
        (" Yes ", "boolean", True),
        ([], "boolean", False),
        ({"a": 1}, "list", [["a", 1]]),
        ([1, "a"], "dictionary", {"0": 1, "1": "a"}),
        ("abc", "dictionary", {"value": "abc"}),
        ({"a": [1]}, "string", '{"a": [1]}'),
    ],
)
async def test_converting(value: Any, target: str, result: Any) -> None:
    assert await run_block(convert_type, {"value": value, "type": target}) == [("value", result)]


@pytest.mark.parametrize("text", ["", "12abc", "one"])
async def test_what_is_no_number_is_an_error(text: str) -> None:
    with pytest.raises(BlockError, match="cannot be turned into a number"):
        await run_block(convert_type, {"value": text, "type": "number"})


@pytest.mark.parametrize(
    ("text", "decoded"),
    [
        (r"\a\b\f\v\r\t", "\a\b\f\v\r\t"),
        (r"\'\"\\", "'\"\\"),
        (r"\x41\101\u00e9\U0001F600\N{BULLET}", "AAé😀•"),
        (r"\q café", r"\q café"),
        (r"\ud83d\ude00", "😀"),
        ("a\\\nb", "ab"),
        (r"\\n", r"\n"),
    ],
)
async def test_escape_sequences(text: str, decoded: str) -> None:
    assert await run_block(decode_text, {"text": text}) == [("decoded_text", decoded)]


@pytest.mark.parametrize("text", [r"\u12", r"\x1", r"\U00110000", r"\N{no such sign}", r"\N", "end\\", r"\ud83d"])
async def test_wrong_escape_sequences_are_errors(text: str) -> None:
    with pytest.raises(BlockError):
        await run_block(decode_text, {"text": text})


@given(st.text(st.characters(codec="utf-8")))
async def test_text_without_backslashes_is_left_as_it_is(text: str) -> None:
    plain = text.replace("\\", "")
    assert await run_block(decode_text, {"text": plain}) == [("decoded_text", plain)]


@given(JSON.filter(lambda value: value is not None))
async def test_json_there_and_back(value: Any) -> None:
    [(name, text)] = await run_block(json_encode, {"value": value})
    assert name == "json_text"
    assert json.loads(text) == value
    assert await run_block(json_decode, {"json_text": text}) == [("value", value)]


@pytest.mark.parametrize("text", ["", "{", "NaN", "[" * 100_000, "```json\n{\n```"])
async def test_text_that_is_no_json_is_an_error(text: str) -> None:
    with pytest.raises(BlockError, match="not JSON"):
        await run_block(json_decode, {"json_text": text})


async def test_infinity_has_no_json_form() -> None:
    with pytest.raises(BlockError, match="no JSON form"):
        await run_block(json_encode, {"value": float("inf")})
