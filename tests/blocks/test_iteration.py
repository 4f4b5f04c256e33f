"""Going through collections."""

from typing import Any

import pytest

from treadle.blocks.iteration import TEXT_CAP, step_through_items
from treadle.sdk.errors import BlockError
from treadle.sdk.testing import attempt, make_context, run_block


async def test_all_three_collections_are_walked_in_order() -> None:
    outputs = await run_block(step_through_items, {"items": [1], "items_object": {"z": 2}, "items_str": "[3]"})
    assert outputs == [("item", 1), ("key", 0), ("item", 2), ("key", "z"), ("item", 3), ("key", 0)]


async def test_long_lists_are_walked() -> None:
    outputs = await run_block(step_through_items, {"items": list(range(20_000))})
    assert outputs[-2:] == [("item", 19_999), ("key", 19_999)]


async def test_a_list_over_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("treadle.blocks.iteration.ITEM_CAP", 2)
    assert len(await run_block(step_through_items, {"items": [1, 2]})) == 4
    with pytest.raises(BlockError, match="3 items"):
        await run_block(step_through_items, {"items": [1, 2, 3]})


@pytest.mark.parametrize(
    "text", ["abc", "[1,2", "[NaN]", "null", "5", "true", "[" * 5000, " " * (TEXT_CAP + 1), "é" * (TEXT_CAP // 2 + 1)]
)
async def test_wrong_text_is_an_error_after_what_came_before(text: str) -> None:
    outcome = await attempt(step_through_items, {"items": ["a"], "items_str": text}, make_context())
    assert outcome.outputs == [("item", "a"), ("key", 0)]
    assert outcome.error is not None
    assert outcome.error.fix


@pytest.mark.parametrize("inputs", [{}, {"items": []}, {"items_str": "{}"}])
async def test_nothing_to_walk_sends_nothing(inputs: dict[str, Any]) -> None:
    assert await run_block(step_through_items, inputs) == []
