"""Blocks on lists: what their examples and the recorded vectors leave open."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.blocks.lists import (
    _parts,
    add_to_list,
    concatenate_lists,
    create_list,
    find_in_list,
    get_list_item,
    remove_from_list,
    replace_list_item,
    reverse_list,
)
from treadle.blocks.tokens import count_tokens
from treadle.sdk.errors import BlockError, InputRefused
from treadle.sdk.testing import run_block


@given(st.lists(st.text(max_size=30)), st.integers(1, 5), st.integers(1, 20))
def test_parts_are_within_both_limits_and_lose_nothing(values: list[Any], size: int, tokens: int) -> None:
    parts = _parts(values, size, tokens)
    assert [value for part in parts for value in part] == values
    assert all(len(part) <= size for part in parts)
    assert all(len(part) <= 1 or sum(map(count_tokens, part)) <= tokens for part in parts)
    assert all(parts) or (parts == [[]] and not values)


async def test_a_negative_size_means_single_items() -> None:
    assert await run_block(create_list, {"values": [1, 2], "max_size": -1}) == [("list", [1]), ("list", [2])]


@pytest.mark.parametrize(
    ("inputs", "result"),
    [
        ({"entry": 2}, [2]),
        ({"list": [1], "entry": False}, [1, False]),
        ({"list": [1], "entry": ""}, [1]),
        ({"list": [1], "entries": ["", None, 0]}, [1, "", None, 0]),
        ({"list": [1], "entry": 2, "entries": [3], "position": 0}, [3, 2, 1]),
        ({"list": [1, 2], "entry": 9, "position": -1}, [1, 9, 2]),
        ({"list": [1], "entry": 9, "position": 99}, [1, 9]),
    ],
)
async def test_adding(inputs: dict[str, Any], result: list[Any]) -> None:
    assert await run_block(add_to_list, inputs) == [("updated_list", result)]


async def test_given_lists_are_left_as_they_are() -> None:
    items = [1, 2, 3]
    for block, more in (
        (add_to_list, {"entry": 4}),
        (remove_from_list, {"index": 0}),
        (replace_list_item, {"index": 0, "value": 9}),
    ):
        await run_block(block, {"list": items, **more})
    await run_block(reverse_list, {"input_list": items})
    assert items == [1, 2, 3]


async def test_true_is_not_found_as_one() -> None:
    assert await run_block(find_in_list, {"list": [True, 1.0], "value": 1}) == [("index", 1), ("found", True)]
    assert await run_block(remove_from_list, {"list": [True, 1], "value": 1}) == [("updated_list", [True])]


@pytest.mark.parametrize(
    ("block", "inputs"),
    [
        (get_list_item, {"list": [], "index": 0}),
        (get_list_item, {"list": [1], "index": -2}),
        (replace_list_item, {"list": [1], "index": 1, "value": 2}),
        (remove_from_list, {"list": [1], "index": 1}),
        (remove_from_list, {"list": [1], "value": "1"}),
        (remove_from_list, {"list": [1]}),
    ],
)
async def test_what_is_not_there_is_an_error(block: Any, inputs: dict[str, Any]) -> None:
    with pytest.raises(BlockError) as caught:
        await run_block(block, inputs)
    assert caught.value.fix


async def test_an_index_that_is_no_number_is_refused() -> None:
    with pytest.raises(InputRefused, match="index"):
        await run_block(remove_from_list, {"list": [1, 2], "index": "first"})


async def test_joining_wraps_what_is_no_list() -> None:
    assert await run_block(concatenate_lists, {"lists": [[1], "x", None]}) == [("concatenated_list", [1, "x", None])]
