"""Waits: durable, resumed where they were, and bounded."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from treadle.blocks.timers import MOST_REPEATS, countdown_timer, wait
from treadle.sdk.block import Block, Emission
from treadle.sdk.context import Context, Decision, Suspend
from treadle.sdk.errors import BlockError
from treadle.sdk.testing import EPOCH, RecordedSleep, attempt, make_context


async def once(block: Block, inputs: Mapping[str, Any], context: Context) -> tuple[list[Emission], Suspend | None]:
    """One attempt, as the engine runs it: until it ends or waits."""
    sent: list[Emission] = []
    try:
        async for emission in block.run(block.reader.read(inputs), context):
            sent.append(emission)
    except Suspend as wish:
        return sent, wish
    return sent, None


async def test_a_countdown_waits_durably_before_each_message() -> None:
    inputs, context = {"minutes": 1, "repeat": 2, "input_message": "m"}, make_context()
    sent, first = await once(countdown_timer, inputs, context)
    assert sent == []
    assert first is not None
    assert (first.kind, first.until) == ("timer", EPOCH + timedelta(minutes=1))
    context.decision, context.resume = Decision(), first.payload
    sent, second = await once(countdown_timer, inputs, context)
    assert sent == [("output_message", "m")]
    assert second is not None
    context.resume, context.emitted = second.payload, 1
    assert await once(countdown_timer, inputs, context) == ([("output_message", "m")], None)


async def test_a_crash_after_a_message_repeats_neither_it_nor_the_wait() -> None:
    context = make_context(decision=Decision(), resume={"waited": 1}, emitted=1)
    sent, wish = await once(countdown_timer, {"seconds": 5, "repeat": 2}, context)
    assert sent == []
    assert wish is not None
    assert wish.payload == {"waited": 2}


@pytest.mark.parametrize(
    "inputs", [{"days": 4000}, {"days": 10**12}, {"seconds": "soon"}, {"repeat": MOST_REPEATS + 1}, {"hours": "inf"}]
)
async def test_countdowns_that_are_refused(inputs: Mapping[str, Any]) -> None:
    assert (await attempt(countdown_timer, inputs, make_context())).error is not None


async def test_short_waits_do_not_suspend() -> None:
    sleep = RecordedSleep()
    outcome = await attempt(wait, {"seconds": 0.5, "data": 1}, make_context(sleep=sleep))
    assert outcome.outputs[0] == ("data", 1)
    assert sleep.seconds == [0.5]


@pytest.mark.parametrize(
    ("until", "zone", "moment"),
    [
        ("2026-01-01T09:00", "Europe/Berlin", "2026-01-01T08:00:00+00:00"),
        ("2026-01-01T09:00+02:00", "Europe/Berlin", "2026-01-01T07:00:00+00:00"),
        ("2026-01-02", "UTC", "2026-01-02T00:00:00+00:00"),
    ],
)
async def test_waiting_until_a_moment(until: str, zone: str, moment: str) -> None:
    _, wish = await once(wait, {"until": until}, make_context(timezone=zone))
    assert wish is not None
    assert wish.until is not None
    assert wish.until.isoformat() == moment


@pytest.mark.parametrize("until", ["tomorrow", "2099-01-01", "9999-12-31T23:59-23:00"])
async def test_moments_that_are_refused(until: str) -> None:
    with pytest.raises(BlockError, match="until"):
        await once(wait, {"until": until}, make_context())
