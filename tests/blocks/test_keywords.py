"""Keyword records: which values are taken."""

from typing import Any

import pytest

from treadle.blocks.keywords import extract_keyword_suggestion, extract_related_keyword
from treadle.sdk.errors import InputRefused
from treadle.sdk.testing import run_block


@pytest.mark.parametrize(
    ("figures", "sent"),
    [
        ({"search_volume": 1000.0}, ("search_volume", 1000)),
        ({"keyword_difficulty": 60.0}, ("keyword_difficulty", 60)),
        ({"competition": 1}, ("competition", 1.0)),
        ({"keyword_difficulty": 0}, ("keyword_difficulty", 0)),
    ],
)
async def test_a_number_may_be_written_with_or_without_decimals(figures: dict[str, Any], sent: tuple[str, Any]) -> None:
    outputs = await run_block(extract_keyword_suggestion, {"suggestion": {"keyword": "k", **figures}})
    assert sent in outputs
    assert type(dict(outputs)[sent[0]]) is type(sent[1])


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"keyword": None},
        {"keyword": "k", "search_volume": 10.5},
        {"keyword": "k", "search_volume": True},
        {"keyword": "k", "search_volume": "100"},
        {"keyword": "k", "search_volume": float("inf")},
        {"keyword": "k", "serp_info": []},
        '{"keyword": "k"}',
    ],
)
async def test_other_values_are_refused(record: Any) -> None:
    with pytest.raises(InputRefused):
        await run_block(extract_related_keyword, {"related_keyword": record})
