"""Reshaping lists."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.blocks.list_tools import filter_list, flatten_list, group_list, sort_list, unique_list, zip_lists
from treadle.sdk.errors import BlockError, InputRefused
from treadle.sdk.testing import run_block

PEOPLE = [{"name": "Bo", "home": {"city": "Rome"}, "age": 30}, {"name": "Al", "home": {"city": "Oslo"}}, {"name": "Cy"}]


async def one(block: Any, **inputs: Any) -> Any:
    outputs = await run_block(block, inputs)
    return outputs[0][1]


async def test_flattening() -> None:
    deep: Any = 1
    for _ in range(100):
        deep = [deep]
    assert await one(flatten_list, items=[deep], depth=100) == [1]
    assert await one(flatten_list, items=[[], ["ab"], {"k": [1]}]) == ["ab", {"k": [1]}]
    with pytest.raises(InputRefused, match="depth"):
        await one(flatten_list, items=[], depth=0)


async def test_sorting_by_a_nested_field_puts_what_has_none_last() -> None:
    for descending, names in ((False, ["Al", "Bo", "Cy"]), (True, ["Bo", "Al", "Cy"])):
        ordered = await one(sort_list, items=PEOPLE, field="home.city", descending=descending)
        assert [each["name"] for each in ordered] == names


@given(st.lists(st.none() | st.integers() | st.text(max_size=3) | st.floats()))
async def test_any_plain_values_can_be_sorted_and_nothing_is_lost(items: list[Any]) -> None:
    ordered = await one(sort_list, items=items)
    assert sorted(map(repr, ordered)) == sorted(map(repr, items))


async def test_objects_have_no_order() -> None:
    with pytest.raises(BlockError, match="order"):
        await one(sort_list, items=PEOPLE)


async def test_repetitions_are_those_of_json() -> None:
    assert await one(unique_list, items=[1, 1.0, True, "1", [1], [1.0], {"a": 1, "b": 2}, {"b": 2, "a": 1}]) == [
        1,
        True,
        "1",
        [1],
        {"a": 1, "b": 2},
    ]


async def test_zipping() -> None:
    assert await one(zip_lists, lists=[[1, 2], [3]]) == [[1, 3]]
    assert await one(zip_lists, lists=[]) == []
    with pytest.raises(BlockError, match="1 names for 2 lists"):
        await one(zip_lists, lists=[[1], [2]], names=["a"])


@pytest.mark.parametrize(
    ("test", "value", "kept"),
    [
        ("equals", "30", ["Bo"]),
        ("not equals", 30, ["Al", "Cy"]),
        ("greater than", "29.5", ["Bo"]),
        ("less than", 31, ["Bo"]),
        ("is empty", None, ["Al", "Cy"]),
        ("is not empty", None, ["Bo"]),
    ],
)
async def test_filtering_by_a_number(test: str, value: Any, kept: list[str]) -> None:
    outputs = dict(await run_block(filter_list, {"items": PEOPLE, "field": "age", "test": test, "value": value}))
    assert [each["name"] for each in outputs["kept"]] == kept
    assert len(outputs["kept"]) + len(outputs["rest"]) == len(PEOPLE)


@pytest.mark.parametrize(
    ("items", "test", "value", "kept"),
    [
        (["abc", "b", 5], "contains", "b", ["abc", "b"]),
        ([[1, 2], [3], {"1": 0}], "contains", "1", [[1, 2], {"1": 0}]),
        (["abc", "x"], "does not contain", "b", ["x"]),
        (["b", "a", 1], "greater than", "a", ["b"]),
        ([True, 1, "1"], "equals", 1, [1, "1"]),
        ([True, "true"], "equals", True, [True]),
        ([[], {}, "", None, 0, False], "is empty", None, [[], {}, "", None]),
    ],
)
async def test_filtering_plain_values(items: list[Any], test: str, value: Any, kept: list[Any]) -> None:
    got = await one(filter_list, items=items, test=test, value=value)
    assert [repr(each) for each in got] == [repr(each) for each in kept]


async def test_grouping_by_a_nested_field() -> None:
    groups = await one(group_list, items=[*PEOPLE, {"home": {"city": "Rome"}}], field="home.city")
    assert {name: len(items) for name, items in groups.items()} == {"Rome": 2, "Oslo": 1, "null": 1}
