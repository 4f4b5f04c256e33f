"""Text blocks: their limits. What they do is in their examples and the recorded vectors."""

from typing import Any

import pytest

from treadle.blocks.text import TEXT_CAP, combine_texts, fill_text_template, replace_text, split_text
from treadle.sdk.errors import BlockError
from treadle.sdk.testing import run_block


@pytest.mark.parametrize(
    ("block", "inputs"),
    [
        (replace_text, {"text": "a" * 20_000, "old": "a", "new": "b" * 2_000}),
        (replace_text, {"text": "a" * 20_000, "old": "", "new": "b" * 2_000}),
        (combine_texts, {"input": [""] * 20_001, "delimiter": "b" * 1_000}),
    ],
)
async def test_no_text_grows_without_limit(block: Any, inputs: dict[str, Any]) -> None:
    with pytest.raises(BlockError, match=f"{TEXT_CAP:,}"):
        await run_block(block, inputs)


async def test_shrinking_is_always_allowed() -> None:
    assert await run_block(replace_text, {"text": "ab" * 10, "old": "b", "new": ""}) == [("output", "a" * 10)]


async def test_splitting_at_nothing_is_an_error() -> None:
    with pytest.raises(BlockError, match="delimiter is empty"):
        await run_block(split_text, {"text": "abc", "delimiter": ""})


@pytest.mark.parametrize("template", ["{{ a.b.c }}", "{{ x + 1 }}", "{% if x %}", "{{ ''.__class__.__mro__ }}"])
async def test_a_template_that_cannot_be_filled_in_is_an_error(template: str) -> None:
    with pytest.raises(BlockError, match="template cannot be filled in") as caught:
        await run_block(fill_text_template, {"values": {"x": "5", "a": {}}, "format": template})
    assert "object at" not in caught.value.message
