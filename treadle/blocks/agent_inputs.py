"""Inputs of an agent: what the person, schedule, webhook or calling agent gives when the run starts.

The engine puts the run's value for ``name`` on the pin ``value``; without one the value typed into the node is used.
"""

from datetime import date, datetime, time
from enum import Enum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from treadle.sdk.block import BlockKind, Example, Stream, Work, block
from treadle.sdk.context import Context
from treadle.sdk.errors import InputRefused
from treadle.sdk.pins import Inputs, Outputs, pin

_CATEGORIES = ("BASIC", "INPUT")
_PLAIN: dict[str, Any] = {
    "kind": BlockKind.INPUT,
    "work": Work.PURE,
    "short": True,
    "static_output": True,
    "categories": _CATEGORIES,
}


class AgentInput(Inputs):
    """Pins that every input of an agent has."""

    name: str = pin("The input's name: runs, schedules and calling agents give its value under this name.")
    value: Any = pin("The value when the run gives none.", default=None)
    title: str | None = pin("What the form shows instead of the name.", default=None, advanced=True)
    description: str | None = pin("Help shown beside the field.", default=None, advanced=True)
    placeholder_values: list[Any] = pin("Values offered to choose from.", default_factory=list, hidden=True)
    advanced: bool = pin("Fold the field away among the advanced ones.", default=False)
    secret: bool = pin("Keep the value out of records, logs and exports.", default=False)


class AnyResult(Outputs):
    """The value of an input of any type."""

    result: Any = pin("The value of the input.")


class TextResult(Outputs):
    """The value of a text input."""

    result: str = pin("The text of the input.")


@block(
    id="c0a8e994-ebf1-4a9c-a4d8-89d09c86741b",
    name="AgentInputBlock",
    outputs=AnyResult,
    examples=(
        Example({"name": "topic", "value": "Hello"}, [("result", "Hello")], title="A given value is passed on"),
        Example({"name": "topic"}, [], title="Without a value nothing is sent"),
    ),
    **_PLAIN,
)
async def agent_input(inputs: AgentInput, ctx: Context) -> Stream:
    """A named input of the agent, of any type. Its value stays available to every later step of the run."""
    if inputs.value is not None:
        yield "result", inputs.value


class ShortTextInput(AgentInput):
    """Pins of a single-line text input."""

    value: str | None = pin("The text when the run gives none.", default=None, advanced=False, format="short-text")


@block(
    id="7fcd3bcb-8e1b-4e69-903d-32d3d4a92158",
    name="AgentShortTextInputBlock",
    outputs=TextResult,
    examples=(Example({"name": "city", "value": "Oslo"}, [("result", "Oslo")]),),
    **_PLAIN,
)
async def agent_short_text_input(inputs: ShortTextInput, ctx: Context) -> Stream:
    """An input of the agent: a single line of text."""
    if inputs.value is not None:
        yield "result", inputs.value


class LongTextInput(AgentInput):
    """Pins of a multi-line text input."""

    value: str | None = pin("The text when the run gives none.", default=None, advanced=False, format="long-text")


@block(
    id="90a56ffb-7024-4b2b-ab50-e26c5e5ab8ba",
    name="AgentLongTextInputBlock",
    outputs=TextResult,
    examples=(Example({"name": "story", "value": "One\nTwo"}, [("result", "One\nTwo")]),),
    **_PLAIN,
)
async def agent_long_text_input(inputs: LongTextInput, ctx: Context) -> Stream:
    """An input of the agent: text of several lines."""
    if inputs.value is not None:
        yield "result", inputs.value


class DropdownInput(AgentInput):
    """Pins of an input with a fixed list of choices."""

    value: str | None = pin("The choice when the run gives none.", default=None, advanced=False)
    placeholder_values: list[Any] = pin("The choices that the form offers.", default_factory=list, advanced=False)


@block(
    id="655d6fdf-a334-421c-b733-520549c07cd1",
    name="AgentDropdownInputBlock",
    outputs=TextResult,
    examples=(Example({"name": "size", "value": "M", "placeholder_values": ["S", "M", "L"]}, [("result", "M")]),),
    **_PLAIN,
)
async def agent_dropdown_input(inputs: DropdownInput, ctx: Context) -> Stream:
    """An input of the agent: one choice from a list. The form offers only the choices; a run may give other text."""
    if inputs.value is not None:
        yield "result", inputs.value


class NumberInput(AgentInput):
    """Pins of a whole-number input."""

    value: int | None = pin("The number when the run gives none.", default=None, advanced=False)


class NumberResult(Outputs):
    """The value of a number input."""

    result: int = pin("The number.")


@block(
    id="96dae2bb-97a2-41c2-bd2f-13a3b5a8ea98",
    name="AgentNumberInputBlock",
    outputs=NumberResult,
    examples=(Example({"name": "pages", "value": "42"}, [("result", 42)], title="Text that is a number is converted"),),
    **_PLAIN,
)
async def agent_number_input(inputs: NumberInput, ctx: Context) -> Stream:
    """An input of the agent: a whole number."""
    if inputs.value is not None:
        yield "result", inputs.value


Day = Annotated[date | datetime, WithJsonSchema({"type": "string", "format": "date"})]
"""A date; a date and time is taken when its time is midnight."""


class DateInput(AgentInput):
    """Pins of a date input."""

    value: Day | None = pin("The date (YYYY-MM-DD) when the run gives none.", default=None, advanced=False)


class DateResult(Outputs):
    """The value of a date input."""

    result: date = pin("The date, as YYYY-MM-DD.")


@block(
    id="7e198b09-4994-47db-8b4d-952d98241817",
    name="AgentDateInputBlock",
    outputs=DateResult,
    examples=(Example({"name": "start", "value": "2024-02-29"}, [("result", "2024-02-29")]),),
    **_PLAIN,
)
async def agent_date_input(inputs: DateInput, ctx: Context) -> Stream:
    """An input of the agent: a calendar date."""
    value = inputs.value
    if isinstance(value, datetime):
        if value.time() != time.min:
            raise InputRefused({"value": "a date is expected, without a time"}, fix="Give the date as YYYY-MM-DD.")
        value = value.date()
    if value is not None:
        yield "result", value.isoformat()


class TimeInput(AgentInput):
    """Pins of a clock-time input."""

    value: time | None = pin("The time (HH:MM or HH:MM:SS) when the run gives none.", default=None, advanced=False)


class TimeResult(Outputs):
    """The value of a time input."""

    result: time = pin("The time, as HH:MM:SS.")


@block(
    id="2a1c757e-86cf-4c7e-aacf-060dc382e434",
    name="AgentTimeInputBlock",
    outputs=TimeResult,
    examples=(Example({"name": "at", "value": "09:30"}, [("result", "09:30:00")]),),
    **_PLAIN,
)
async def agent_time_input(inputs: TimeInput, ctx: Context) -> Stream:
    """An input of the agent: a time of day."""
    if inputs.value is not None:
        yield "result", inputs.value.isoformat()


class ToggleInput(AgentInput):
    """Pins of a yes-or-no input."""

    value: bool = pin("On or off when the run gives nothing.", default=False, advanced=False)


class ToggleResult(Outputs):
    """The value of a toggle."""

    result: bool = pin("Whether it is on.")


@block(
    id="cbf36ab5-df4a-43b6-8a7f-f7ed8652116e",
    name="AgentToggleInputBlock",
    outputs=ToggleResult,
    examples=(Example({"name": "draft"}, [("result", False)], title="Off unless switched on"),),
    **_PLAIN,
)
async def agent_toggle_input(inputs: ToggleInput, ctx: Context) -> Stream:
    """An input of the agent: a switch, on or off."""
    yield "result", inputs.value


class TableInput(AgentInput):
    """Pins of a table input."""

    value: list[dict[str, Any]] | None = pin("The rows when the run gives none.", default=None, advanced=False)
    column_headers: list[str] = pin(
        "The columns that the form shows.",
        default_factory=lambda: ["Column 1", "Column 2", "Column 3"],
        advanced=False,
    )


class TableResult(Outputs):
    """The value of a table input."""

    result: list[dict[str, Any]] = pin("The rows: each an object by column.")


@block(
    id="5603b273-f41e-4020-af7d-fbc9c6a8d928",
    name="AgentTableInputBlock",
    outputs=TableResult,
    examples=(
        Example(
            {"name": "people", "value": [{"Name": "Ada"}], "column_headers": ["Name"]}, [("result", [{"Name": "Ada"}])]
        ),
        Example({"name": "people"}, [("result", [])], title="A table without rows is an empty list"),
    ),
    **_PLAIN,
)
async def agent_table_input(inputs: TableInput, ctx: Context) -> Stream:
    """An input of the agent: a table, as a list of rows. Rows may hold other columns than the form shows."""
    yield "result", inputs.value or []


class FileInput(AgentInput):
    """Pins of a file input."""

    value: str | None = pin(
        "The file when the run gives none: a web address, a data URI, or a file of this run.",
        default=None,
        advanced=False,
        format="file",
    )
    base_64: bool = pin("Send the content as a data URI instead of the file's name.", default=False)


@block(
    id="95ead23f-8283-4654-aef3-10c053b74a31",
    name="AgentFileInputBlock",
    outputs=TextResult,
    kind=BlockKind.INPUT,
    work=Work.EFFECT,
    static_output=True,
    categories=_CATEGORIES,
    examples=(
        Example(
            {"name": "notes", "value": "notes.txt"}, [("result", "notes.txt")], context={"files": {"notes.txt": "hey"}}
        ),
        Example(
            {"name": "notes", "value": "notes.txt", "base_64": True},
            [("result", "data:text/plain;base64,aGV5")],
            title="The content instead of the name",
            context={"files": {"notes.txt": "hey"}},
        ),
    ),
)
async def agent_file_input(inputs: FileInput, ctx: Context) -> Stream:
    """An input of the agent: a file. It is stored among the run's files; the result is its name there."""
    if inputs.value:
        yield "result", await ctx.files.store(inputs.value, return_content=inputs.base_64)


class DriveView(Enum):
    """What the Google Drive file picker shows."""

    DOCS = "DOCS"
    DOCUMENTS = "DOCUMENTS"
    SPREADSHEETS = "SPREADSHEETS"
    PRESENTATIONS = "PRESENTATIONS"
    DOCS_IMAGES = "DOCS_IMAGES"
    FOLDERS = "FOLDERS"


class GoogleDriveFile(BaseModel):
    """A file picked in Google Drive, with the credentials that may read it."""

    model_config = ConfigDict(populate_by_name=True)

    id: str = Field(description="The file's id in Google Drive.")
    name: str | None = Field(default=None, description="The file's name.")
    mimeType: str | None = Field(default=None, description="The file's media type.")  # noqa: N815 - Google's own name
    url: str | None = Field(default=None, description="Where the file opens in a browser.")
    iconUrl: str | None = Field(default=None, description="The file's icon.")  # noqa: N815 - Google's own name
    isFolder: bool | None = Field(default=None, description="Whether it is a folder.")  # noqa: N815 - Google's own name
    credentials_id: str | None = Field(
        default=None, alias="_credentials_id", description="Which Google credentials may read the file."
    )


class GoogleDriveFileInput(AgentInput):
    """Pins of a Google Drive file input."""

    value: GoogleDriveFile | None = pin(
        "The file when the run gives none.", default=None, advanced=False, format="google-drive-picker"
    )
    allowed_views: list[DriveView] = pin(
        "What the file picker shows.",
        default_factory=lambda: [DriveView.DOCS, DriveView.SPREADSHEETS, DriveView.PRESENTATIONS],
        advanced=False,
    )
    allow_folder_selection: bool = pin("Whether a folder may be picked.", default=False)


class GoogleDriveFileResult(Outputs):
    """The picked file."""

    result: GoogleDriveFile = pin("The file, with the credentials that may read it.")


@block(
    id="d3b32f15-6fd7-40e3-be52-e083f51b19a2",
    name="AgentGoogleDriveFileInputBlock",
    outputs=GoogleDriveFileResult,
    examples=(
        Example(
            {"name": "sheet", "value": {"id": "f1", "name": "Sales", "_credentials_id": "c1"}},
            [
                (
                    "result",
                    {
                        "id": "f1",
                        "name": "Sales",
                        "mimeType": None,
                        "url": None,
                        "iconUrl": None,
                        "isFolder": None,
                        "_credentials_id": "c1",
                    },
                )
            ],
        ),
    ),
    **_PLAIN,
)
async def agent_google_drive_file_input(inputs: GoogleDriveFileInput, ctx: Context) -> Stream:
    """An input of the agent: a file picked in Google Drive, together with the credentials that may read it."""
    if inputs.value is not None:
        yield "result", inputs.value.model_dump(by_alias=True)


BLOCKS = (
    agent_input,
    agent_short_text_input,
    agent_long_text_input,
    agent_dropdown_input,
    agent_number_input,
    agent_date_input,
    agent_time_input,
    agent_toggle_input,
    agent_table_input,
    agent_file_input,
    agent_google_drive_file_input,
)
