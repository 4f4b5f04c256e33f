"""Comparing and matching."""

import math
from typing import Any

import pytest

from treadle.blocks.logic import _matches, condition
from treadle.sdk.errors import BlockError, InputRefused
from treadle.sdk.testing import run_block


@pytest.mark.parametrize(
    ("first", "operator", "second", "expected"),
    [
        (" 10 ", ">", "9", [("result", True), ("yes_output", 10.0)]),
        ("1_000", "==", 1000, [("result", True), ("yes_output", 1000.0)]),
        ("abc", "!=", " abc", [("result", False), ("no_output", "abc")]),
        ("a", "<", "b", [("result", True), ("yes_output", "a")]),
        ([1], "<=", [1, 2], [("result", True), ("yes_output", [1])]),
    ],
)
async def test_comparing(first: Any, operator: str, second: Any, expected: list[Any]) -> None:
    assert await run_block(condition, {"value1": first, "operator": operator, "value2": second}) == expected


async def test_not_a_number_equals_nothing() -> None:
    outputs = await run_block(condition, {"value1": "nan", "operator": "==", "value2": "nan"})
    assert outputs[0] == ("result", False)
    assert math.isnan(outputs[1][1])


@pytest.mark.parametrize(("first", "second"), [("abc", 5), ({"a": 1}, {"a": 2}), ([1], 1)])
async def test_what_has_no_order_is_an_error(first: Any, second: Any) -> None:
    with pytest.raises(BlockError, match="cannot be compared"):
        await run_block(condition, {"value1": first, "operator": ">", "value2": second})


async def test_an_unknown_operator_is_refused() -> None:
    with pytest.raises(InputRefused, match="operator"):
        await run_block(condition, {"value1": 1, "operator": "=", "value2": 1})


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (1, "1"),
        ("1", 1),
        (10, "10.0"),
        (1.5, " 1.5"),
        (True, "true"),
        (False, "no"),
        ([1], 1),
        ([1], "[1]"),
        (["x"], "x"),
        ({"a": 1}, '{"a": 1}'),
        ('{"a": 1}', {"a": 1}),
        ({}, []),
    ],
)
def test_matching(value: Any, wanted: Any) -> None:
    assert _matches(value, wanted)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (0, "abc"),
        (0, ""),
        (1, "1.9"),
        (2, [5, 6]),
        (False, "anything"),
        (True, 5),
        (0, []),
        ("1.0", 1),
        ([1], 2),
        (["x"], "y"),
    ],
)
def test_unlike_things_do_not_match(value: Any, wanted: Any) -> None:
    assert not _matches(value, wanted)
