"""Blocks on patterns: what their examples and the recorded vectors leave open."""

from typing import Any

import pytest

from treadle.blocks.patterns import MATCH_CAP, extract_text_information, match_text_pattern
from treadle.sdk.errors import BlockError
from treadle.sdk.testing import run_block


@pytest.mark.parametrize(("data", "sent"), [(0, 0), (False, False), ("", "abc"), ([], "abc"), ({"k": 1}, {"k": 1})])
async def test_what_is_sent_on(data: Any, sent: Any) -> None:
    assert await run_block(match_text_pattern, {"text": "abc", "match": "b", "data": data}) == [("positive", sent)]


async def test_other_values_are_searched_as_json() -> None:
    inputs = {"text": {"a": [1, "é"]}, "pattern": '"a":.*é'}
    assert await run_block(extract_text_information, inputs) == [
        ("positive", '"a":[1,"é'),
        ("matched_results", ['"a":[1,"é']),
        ("matched_count", 1),
    ]


async def test_matches_without_the_group_are_left_out() -> None:
    outputs = await run_block(
        extract_text_information, {"text": "a1 b a2", "pattern": r"[ab](\d)?", "group": 1, "find_all": True}
    )
    assert outputs == [
        ("positive", "1"),
        ("positive", "2"),
        ("matched_results", ["1", "2"]),
        ("matched_count", 2),
    ]


async def test_matches_are_capped() -> None:
    outputs = await run_block(extract_text_information, {"text": "a" * 1500, "pattern": "a", "find_all": True})
    assert outputs[-1] == ("matched_count", MATCH_CAP)


async def test_a_wrong_pattern_fails_both() -> None:
    with pytest.raises(BlockError):
        await run_block(extract_text_information, {"text": "abc", "pattern": "["})
    with pytest.raises(BlockError):
        await run_block(match_text_pattern, {"text": "abc", "match": "[", "data": 1})
