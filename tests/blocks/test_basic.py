"""Stored and shown values."""

from typing import Any

import pytest

from treadle.blocks.basic import is_given, print_to_console, store_value
from treadle.sdk.testing import make_context, run_block


@pytest.mark.parametrize("value", [0, False, 0.0, "x", [None], {"a": None}, float("nan")])
def test_values_that_count_as_given(value: Any) -> None:
    assert is_given(value)


@pytest.mark.parametrize("value", [None, "", [], {}])
def test_what_an_empty_form_leaves_is_not_given(value: Any) -> None:
    assert not is_given(value)


@pytest.mark.parametrize(("data", "held"), [(0, 0), (False, False), ("", 5), (None, 5), ([], 5), ({"z": 1}, {"z": 1})])
async def test_fixed_data_is_held_before_the_input(data: Any, held: Any) -> None:
    assert await run_block(store_value, {"input": 5, "data": data}) == [("output", held)]


async def test_printing_shows_the_value_live() -> None:
    shown: list[str] = []
    outputs = await run_block(print_to_console, {"text": [1, "a"]}, make_context(on_progress=shown.append))
    assert outputs == [("output", [1, "a"]), ("status", "printed")]
    assert shown == ["[1, 'a']"]
