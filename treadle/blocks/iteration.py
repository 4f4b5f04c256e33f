"""Going through a collection, one item at a time."""

from collections.abc import Iterable
from typing import Any

from treadle.blocks.json_text import read_json
from treadle.sdk.block import Example, Stream, Work, block
from treadle.sdk.context import Context
from treadle.sdk.errors import BlockError
from treadle.sdk.pins import Inputs, Outputs, pin

ITEM_CAP = 1_000_000
"""Most items of one collection."""

TEXT_CAP = 1024 * 1024
"""Longest JSON text, in bytes."""


class StepThroughItemsInput(Inputs):
    items: list[Any] = pin("A list to go through.", default_factory=list, advanced=False)
    items_object: dict[str, Any] = pin("A dictionary to go through.", default_factory=dict, advanced=False)
    items_str: str = pin("A list or dictionary as JSON text.", default="", advanced=False)


class StepThroughItemsOutput(Outputs):
    item: Any = pin("The next item; for a dictionary, the next value.")
    key: Any = pin("The place of that item, counted from 0; for a dictionary, its key.")


@block(
    id="f66a3543-28d3-4ab5-8945-9b336371e2ce",
    name="StepThroughItemsBlock",
    outputs=StepThroughItemsOutput,
    categories=("LOGIC",),
    work=Work.PURE,
    examples=(
        Example({"items": ["a", "b"]}, [("item", "a"), ("key", 0), ("item", "b"), ("key", 1)]),
        Example({"items_object": {"a": 1}}, [("item", 1), ("key", "a")], title="A dictionary"),
        Example({"items_str": "[7]"}, [("item", 7), ("key", 0)], title="JSON text"),
    ),
)
async def step_through_items(inputs: StepThroughItemsInput, ctx: Context) -> Stream:
    """Send the items of a list or dictionary one after the other, each with its place or key."""
    for collection in (inputs.items, inputs.items_object, inputs.items_str):
        if collection:
            for key, item in _pairs(_read_json(collection) if isinstance(collection, str) else collection):
                yield "item", item
                yield "key", key


def _read_json(text: str) -> Any:
    size = len(text.encode(errors="replace"))
    if size > TEXT_CAP:
        raise BlockError(
            f"The JSON text is {size:,} bytes long; {TEXT_CAP:,} are allowed.", fix="Send it as a list instead of text."
        )
    try:
        return read_json(text)
    except (ValueError, RecursionError) as error:
        raise BlockError(f"The text is not JSON: {error}.", fix="Send a list, a dictionary or JSON text.") from error


def _pairs(collection: Any) -> Iterable[tuple[Any, Any]]:
    if not isinstance(collection, list | dict | str):
        raise BlockError(
            f"A {type(collection).__name__} has no items to go through.", fix="Send a list, a dictionary or JSON text."
        )
    if len(collection) > ITEM_CAP:
        raise BlockError(f"There are {len(collection):,} items; {ITEM_CAP:,} are allowed.", fix="Send them in parts.")
    return collection.items() if isinstance(collection, dict) else enumerate(collection)


BLOCKS = (step_through_items,)
