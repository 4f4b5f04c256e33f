"""Notes, stored values and showing a value: the smallest building blocks of a graph."""

from typing import Any

from treadle.sdk.block import BlockKind, Example, Stream, Work, block
from treadle.sdk.context import Context
from treadle.sdk.pins import Inputs, Outputs, pin


def is_given(value: Any) -> bool:
    """Whether an optional pin of any type was filled in.

    A form that nobody filled in leaves an empty text, list or object, so these count as not given; 0 and false are
    values like any other.
    """
    return value is not None and value not in ("", [], {})


class NoteInput(Inputs):
    text: str = pin("The text of the note.")


class NoteOutput(Outputs):
    output: str = pin("The text of the note.")


@block(
    id="cc10ff7b-7753-4ff2-9af6-9399b1a7eddc",
    name="NoteBlock",
    outputs=NoteOutput,
    kind=BlockKind.NOTE,
    categories=("BASIC",),
    work=Work.PURE,
    short=True,
    examples=(Example({"text": "Ask Ana about the limits."}, [("output", "Ask Ana about the limits.")]),),
)
async def note(inputs: NoteInput, ctx: Context) -> Stream:
    """A note on the canvas for the people who read the agent; it does nothing in a run."""
    yield "output", inputs.text


class PrintInput(Inputs):
    text: Any = pin("What to show; any kind of value.")


class PrintOutput(Outputs):
    output: Any = pin("The value, unchanged.")
    status: str = pin("The word printed, once the value was shown.")


@block(
    id="f3b1c1b2-4c4f-4f0d-8d2f-4c4f0d8d2f4c",
    name="PrintToConsoleBlock",
    outputs=PrintOutput,
    categories=("BASIC",),
    work=Work.PURE,
    short=True,
    sensitive=True,
    examples=(Example({"text": "Hello"}, [("output", "Hello"), ("status", "printed")]),),
)
async def print_to_console(inputs: PrintInput, ctx: Context) -> Stream:
    """Show a value in the live view of the run, and pass it on."""
    ctx.on_progress(str(inputs.text))
    yield "output", inputs.text
    yield "status", "printed"


class StoreValueInput(Inputs):
    input: Any = pin("The value to hold; used when there is no other data.")
    data: Any = pin("A fixed value to hold instead. An empty text, list or object counts as none.", default=None)


class StoreValueOutput(Outputs):
    output: Any = pin("The held value; it can be used any number of times.")


@block(
    id="1ff065e9-88e8-4358-9d82-8dc91f622ba9",
    name="StoreValueBlock",
    outputs=StoreValueOutput,
    categories=("BASIC",),
    work=Work.PURE,
    short=True,
    static_output=True,
    examples=(
        Example({"input": 5}, [("output", 5)]),
        Example({"input": 5, "data": 9}, [("output", 9)], title="Fixed data comes first"),
        Example({"input": 5, "data": 0}, [("output", 0)], title="0 and false are data too"),
    ),
)
async def store_value(inputs: StoreValueInput, ctx: Context) -> Stream:
    """Hold a value so that the blocks after it can use it again and again."""
    yield "output", inputs.data if is_given(inputs.data) else inputs.input


BLOCKS = (note, print_to_console, store_value)
