"""Waiting. Longer waits are durable: the run sleeps in the database, and no worker is held."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from treadle.blocks.numbers_in_text import whole_number
from treadle.sdk.block import Example, Stream, Work, block
from treadle.sdk.context import Context, Suspend
from treadle.sdk.errors import InputRefused
from treadle.sdk.pins import Inputs, Outputs, pin

LONGEST = timedelta(days=3660)
"""The longest wait."""

MOST_REPEATS = 100_000


class Countdown(Inputs):
    """Pins of the countdown."""

    input_message: Any = pin("What is sent when the time is up.", default="timer finished", advanced=False)
    seconds: int | str = pin("Seconds to wait.", default=0, advanced=False)
    minutes: int | str = pin("Minutes to wait.", default=0, advanced=False)
    hours: int | str = pin("Hours to wait.", default=0, advanced=False)
    days: int | str = pin("Days to wait.", default=0, advanced=False)
    repeat: int = pin("How many times to wait and send.", default=1)


class TimeIsUp(Outputs):
    """What is sent when the time is up."""

    output_message: Any = pin("The message, each time the time is up.")


@block(
    id="d67a9c52-5e4e-11e2-bcfd-0800200c9a71",
    name="CountdownTimerBlock",
    outputs=TimeIsUp,
    work=Work.READ,
    streaming=True,
    resumable=True,
    categories=("TEXT",),
    examples=(
        Example({"input_message": "tea", "minutes": 4}, [("output_message", "tea")]),
        Example(
            {"input_message": "tick", "seconds": 1, "repeat": 2},
            [("output_message", "tick"), ("output_message", "tick")],
        ),
    ),
)
async def countdown_timer(inputs: Countdown, ctx: Context) -> Stream:
    """Wait for some time, then send a message; as often as asked."""
    pause = _pause(inputs)
    if inputs.repeat > MOST_REPEATS:
        raise InputRefused({"repeat": f"at most {MOST_REPEATS:,}"}, fix="Repeat less often.")
    waited = int((ctx.resume or {}).get("waited", 0)) if ctx.decision is not None else 0
    for number in range(ctx.emitted, inputs.repeat):
        if pause > timedelta() and waited <= number:
            raise Suspend("timer", {"waited": number + 1}, ctx.clock.now() + pause)
        yield "output_message", inputs.input_message


def _pause(inputs: Countdown) -> timedelta:
    amounts = {name: whole_number(getattr(inputs, name), name) for name in ("seconds", "minutes", "hours", "days")}
    try:
        pause = timedelta(**amounts)
    except OverflowError:
        pause = LONGEST * 2
    if pause > LONGEST:
        raise InputRefused({"days": f"the wait is longer than {LONGEST.days} days"}, fix="Wait for a shorter time.")
    return pause


class Wait(Inputs):
    """Pins of a wait."""

    data: Any = pin("What is passed on when the wait is over.", default=None, advanced=False)
    seconds: float = pin("How long to wait, in seconds.", default=0.0, advanced=False, ge=0, le=LONGEST.total_seconds())
    until: str = pin(
        "Wait until this moment instead: ISO 8601, such as 2026-05-01T09:00. Without an offset it is meant in the time "
        "zone of your profile.",
        default="",
        advanced=False,
    )


class WaitOver(Outputs):
    """The wait is over."""

    data: Any = pin("What came in.")
    waited_until: str = pin("When the wait ended, as ISO 8601 in UTC.")


@block(
    id="79b5755b-49f7-4e84-aa27-7b0b059bd054",
    name="WaitBlock",
    outputs=WaitOver,
    work=Work.READ,
    categories=("BASIC",),
    examples=(
        Example(
            {"data": "mail", "until": "2025-12-31T23:00:00Z"},
            [("data", "mail"), ("waited_until", "2026-01-01T00:00:00+00:00")],
            title="A moment that has passed is not waited for",
            context={"clock": "2026-01-01T00:00:00Z"},
        ),
        Example(
            {"data": "mail", "seconds": 3600},
            [("data", "mail"), ("waited_until", "2026-01-01T00:00:00+00:00")],
            title="An hour",
            context={"clock": "2026-01-01T00:00:00Z"},
        ),
    ),
)
async def wait(inputs: Wait, ctx: Context) -> Stream:
    """Wait for some seconds or until a moment, then pass the data on. It outlives restarts and holds no worker."""
    now = ctx.clock.now()
    moment = _moment(inputs.until, ctx) if inputs.until.strip() else now + timedelta(seconds=inputs.seconds)
    remaining = (moment - now).total_seconds()
    if remaining >= 1:
        ctx.wait_until(moment)
    elif remaining > 0:
        await (ctx.sleep or asyncio.sleep)(remaining)
    yield "data", inputs.data
    yield "waited_until", ctx.clock.now().astimezone(UTC).isoformat()


def _moment(text: str, ctx: Context) -> datetime:
    try:
        moment = datetime.fromisoformat(text.strip())
        moment = moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(ctx.timezone))
        moment = moment.astimezone(UTC)
    except (ValueError, OverflowError, ZoneInfoNotFoundError):
        raise InputRefused(
            {"until": f"{text[:40]!r} is no moment"}, fix="Write it like 2026-05-01T09:00 or 2026-05-01T09:00:00+02:00."
        ) from None
    if moment - ctx.clock.now() > LONGEST:
        raise InputRefused({"until": f"more than {LONGEST.days} days ahead"}, fix="Wait for a shorter time.")
    return moment


BLOCKS = (countdown_timer, wait)
