"""Dates and times of any zone."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.blocks.dates import get_current_date, get_current_date_and_time, get_current_time
from treadle.blocks.numbers_in_text import whole_number
from treadle.sdk.errors import BlockError, InputRefused
from treadle.sdk.testing import make_context, run_block

NOW = "2026-03-01T02:30:45.123456Z"


@given(st.integers(-3000, 3000))
async def test_days_back(days: int) -> None:
    outputs = await run_block(get_current_date, {"trigger": "", "offset": days}, make_context(clock=NOW))
    assert outputs == [("date", (date(2026, 3, 1) - timedelta(days=days)).isoformat())]


@pytest.mark.parametrize(
    "form",
    [
        {"discriminator": "strftime", "timezone": "../../etc/passwd"},
        {"discriminator": "strftime", "timezone": "Mars/Base"},
        {"discriminator": "strftime", "format": "%Y" * 1000},
        {"discriminator": "other"},
        {},
        "iso8601",
    ],
)
async def test_forms_that_are_refused(form: Mapping[str, Any] | str) -> None:
    for each in (get_current_time, get_current_date, get_current_date_and_time):
        with pytest.raises(BlockError, match="format_type"):
            await run_block(each, {"trigger": "", "format_type": form}, make_context(clock=NOW))


async def test_a_profile_with_an_unknown_zone_says_so() -> None:
    form = {"discriminator": "iso8601", "use_user_timezone": True}
    with pytest.raises(BlockError, match="Bad/Zone"):
        context = make_context(clock=NOW, timezone="Bad/Zone")
        await run_block(get_current_time, {"trigger": "", "format_type": form}, context)


@pytest.mark.parametrize(
    ("text", "number"),
    [("", 0), (" 7 ", 7), ("-7", -7), ("1e2", 100), ("1.9", 1), ("9007199254740993", 9007199254740993)],
)
def test_numbers_in_text(text: str, number: int) -> None:
    assert whole_number(text, "p") == number


@pytest.mark.parametrize("text", ["soon", "nan", "inf", "1,5", "0x10"])
def test_text_that_is_no_number(text: str) -> None:
    with pytest.raises(InputRefused, match="p: "):
        whole_number(text, "p")
