"""The current date and time, in any form and time zone."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, Field, field_validator

from treadle.blocks.numbers_in_text import whole_number
from treadle.sdk.block import Example, Stream, Work, block
from treadle.sdk.context import Context
from treadle.sdk.errors import BlockError
from treadle.sdk.pins import Inputs, Outputs, pin

_LONGEST_FORMAT = 1000


class Zoned(BaseModel):
    """A form of a date or time, with its time zone."""

    timezone: str = Field(default="UTC", description="The IANA name of the time zone, such as Europe/Berlin.")
    use_user_timezone: bool = Field(default=False, description="Use the time zone of your profile instead.")

    @field_validator("timezone")
    @classmethod
    def _known(cls, name: str) -> str:
        _zone(name)
        return name


class _Pattern(Zoned):
    discriminator: Literal["strftime"]
    format: str = Field(max_length=_LONGEST_FORMAT, description="A pattern of strftime codes, such as %Y-%m-%d.")


class TimePattern(_Pattern):
    """A time by a pattern."""

    format: str = Field(default="%H:%M:%S", max_length=_LONGEST_FORMAT, description="A pattern such as %H:%M:%S.")


class DatePattern(_Pattern):
    """A date by a pattern."""

    format: str = Field(default="%Y-%m-%d", max_length=_LONGEST_FORMAT, description="A pattern such as %Y-%m-%d.")


class DateTimePattern(_Pattern):
    """A date and time by a pattern."""

    format: str = Field(
        default="%Y-%m-%d %H:%M:%S", max_length=_LONGEST_FORMAT, description="A pattern such as %Y-%m-%d %H:%M:%S."
    )


class IsoFormat(Zoned):
    """The form of ISO 8601."""

    discriminator: Literal["iso8601"]
    include_microseconds: bool = Field(default=False, description="Show the microseconds.")


class IsoDate(Zoned):
    """The form of ISO 8601 for a date."""

    discriminator: Literal["iso8601"]


class NowTime(Inputs):
    """Pins of the current time."""

    trigger: str = pin("Anything that arrives here asks for the time.")
    format_type: TimePattern | IsoFormat = pin(
        "The form of the time.", default_factory=lambda: TimePattern(discriminator="strftime")
    )


class TimeText(Outputs):
    """The current time."""

    time: str = pin("The time in the chosen form.")


@block(
    id="a892b8d9-3e4e-4e9c-9c1e-75f8efcf1bfa",
    name="GetCurrentTimeBlock",
    outputs=TimeText,
    work=Work.READ,
    categories=("TEXT",),
    examples=(
        Example({"trigger": "go"}, [("time", "14:05:09")], context={"clock": "2026-03-01T14:05:09Z"}),
        Example(
            {"trigger": "go", "format_type": {"discriminator": "iso8601", "timezone": "Europe/Berlin"}},
            [("time", "T15:05:09+01:00")],
            title="ISO 8601, elsewhere",
            context={"clock": "2026-03-01T14:05:09Z"},
        ),
    ),
)
async def get_current_time(inputs: NowTime, ctx: Context) -> Stream:
    """The time of day now, by a pattern or as ISO 8601, in UTC, a zone of your choice, or that of your profile."""
    yield "time", _written(inputs.format_type, _now(inputs.format_type, ctx), lambda iso: f"T{iso.partition('T')[2]}")


class NowDate(Inputs):
    """Pins of the current date."""

    trigger: str = pin("Anything that arrives here asks for the date.")
    offset: int | str = pin("How many days back: 7 is a week ago, -1 is tomorrow.", default=0)
    format_type: DatePattern | IsoDate = pin(
        "The form of the date.", default_factory=lambda: DatePattern(discriminator="strftime")
    )


class DateText(Outputs):
    """The date."""

    date: str = pin("The date in the chosen form.")


@block(
    id="b29c1b50-5d0e-4d9f-8f9d-1b0e6fcbf0b1",
    name="GetCurrentDateBlock",
    outputs=DateText,
    work=Work.READ,
    categories=("TEXT",),
    examples=(
        Example({"trigger": "go"}, [("date", "2026-03-01")], context={"clock": "2026-03-01T14:05:09Z"}),
        Example(
            {"trigger": "go", "offset": 7, "format_type": {"discriminator": "strftime", "format": "%d/%m/%Y"}},
            [("date", "22/02/2026")],
            title="A week ago",
            context={"clock": "2026-03-01T14:05:09Z"},
        ),
    ),
)
async def get_current_date(inputs: NowDate, ctx: Context) -> Stream:
    """Today's date, or the date some days ago, by a pattern or as ISO 8601."""
    days = whole_number(inputs.offset, "offset")
    try:
        day = _now(inputs.format_type, ctx) - timedelta(days=days)
    except OverflowError:
        raise BlockError(f"No calendar reaches {days} days back.", fix="Give a smaller number on offset.") from None
    yield "date", _written(inputs.format_type, day, lambda iso: iso.partition("T")[0])


class NowDateTime(Inputs):
    """Pins of the current date and time."""

    trigger: str = pin("Anything that arrives here asks for the date and time.")
    format_type: DateTimePattern | IsoFormat = pin(
        "The form of the date and time.", default_factory=lambda: DateTimePattern(discriminator="strftime")
    )


class DateTimeText(Outputs):
    """The current date and time."""

    date_time: str = pin("The date and time in the chosen form.")


@block(
    id="716a67b3-6760-42e7-86dc-18645c6e00fc",
    name="GetCurrentDateAndTimeBlock",
    outputs=DateTimeText,
    work=Work.READ,
    categories=("TEXT",),
    examples=(
        Example({"trigger": "go"}, [("date_time", "2026-03-01 14:05:09")], context={"clock": "2026-03-01T14:05:09Z"}),
        Example(
            {"trigger": "go", "format_type": {"discriminator": "strftime", "use_user_timezone": True}},
            [("date_time", "2026-03-01 23:05:09")],
            title="In the time zone of your profile",
            context={"clock": "2026-03-01T14:05:09Z", "timezone": "Asia/Tokyo"},
        ),
    ),
)
async def get_current_date_and_time(inputs: NowDateTime, ctx: Context) -> Stream:
    """The date and time now, by a pattern or as ISO 8601."""
    yield "date_time", _written(inputs.format_type, _now(inputs.format_type, ctx), lambda iso: iso)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"there is no time zone {name[:60]!r}") from None


def _now(form: Zoned, ctx: Context) -> datetime:
    name = ctx.timezone if form.use_user_timezone else form.timezone
    try:
        return ctx.clock.now().astimezone(_zone(name))
    except ValueError as error:
        raise BlockError(
            f"The time cannot be told: {error}.",
            fix="Choose an IANA time zone, such as Europe/Berlin, in your profile.",
        ) from None


def _written(form: Any, moment: datetime, part_of_iso: Callable[[str], str]) -> str:
    if isinstance(form, _Pattern):
        try:
            return moment.strftime(form.format)
        except ValueError as error:
            raise BlockError(f"The pattern cannot be used: {error}.", fix="Correct the strftime pattern.") from None
    precise = isinstance(form, IsoFormat) and form.include_microseconds
    return part_of_iso(moment.isoformat(timespec="microseconds" if precise else "seconds"))


BLOCKS = (get_current_time, get_current_date, get_current_date_and_time)
