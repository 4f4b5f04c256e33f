"""Blocks that read and change lists. The lists that they are given are never changed in place."""

from typing import Any

from treadle.blocks.basic import is_given
from treadle.blocks.equality import position_of
from treadle.blocks.tokens import count_tokens
from treadle.sdk.block import Example, Stream, Work, block
from treadle.sdk.context import Context
from treadle.sdk.errors import BlockError
from treadle.sdk.pins import Inputs, Outputs, pin

Items = list[Any]
"""Named, because several pins are called ``list`` and hide the built-in name inside their models."""


def _item_at(items: Items, index: int) -> Any:
    try:
        return items[index]
    except IndexError:
        raise BlockError(
            f"There is no item at index {index}: the list has {len(items)} items.",
            fix="Count from 0, or from -1 at the end.",
        ) from None


class CreateListInput(Inputs):
    values: Items = pin("The items of the list, in order.")
    max_size: int | None = pin("Most items in one list; longer ones are sent in several parts.", default=None)
    max_tokens: int | None = pin("About how many model tokens one list may hold; the rest follows.", default=None)


class CreateListOutput(Outputs):
    list: Items = pin("The list, or one part of it after the other.")


@block(
    id="a912d5c7-6e00-4542-b2a9-8034136930e4",
    name="CreateListBlock",
    outputs=CreateListOutput,
    categories=("DATA",),
    work=Work.PURE,
    examples=(
        Example({"values": [1, 2, 3]}, [("list", [1, 2, 3])]),
        Example({"values": [1, 2, 3], "max_size": 2}, [("list", [1, 2]), ("list", [3])], title="In parts"),
    ),
)
async def create_list(inputs: CreateListInput, ctx: Context) -> Stream:
    """Make a list of the values given, whole or in parts of limited size."""
    for part in _parts(inputs.values, inputs.max_size, inputs.max_tokens):
        yield "list", part


def _parts(values: Items, max_size: int | None, max_tokens: int | None) -> list[Items]:
    """Consecutive parts within both limits; an item that is over the limit by itself has a part of its own."""
    parts: list[Items] = [[]]
    tokens = 0
    for value in values:
        weight = count_tokens(value) if max_tokens else 0
        full = (max_size and len(parts[-1]) >= max_size) or (max_tokens and tokens + weight > max_tokens)
        if full and parts[-1]:
            parts.append([])
            tokens = 0
        parts[-1].append(value)
        tokens += weight
    return parts


class AddToListInput(Inputs):
    list: Items = pin("The list to add to; without it a new list is made.", default_factory=Items, advanced=False)
    entry: Any = pin("One item to add. An empty text, list or object counts as none.", default=None, advanced=False)
    entries: Items = pin("Several items to add; they come before the single one.", default_factory=Items)
    position: int | None = pin(
        "Where to insert, counted from 0, or from -1 at the end. Without it, last.", default=None
    )


class UpdatedListOutput(Outputs):
    updated_list: Items = pin("A new list with the change.")


@block(
    id="aeb08fc1-2fc1-4141-bc8e-f758f183a822",
    name="AddToListBlock",
    outputs=UpdatedListOutput,
    categories=("BASIC",),
    work=Work.PURE,
    short=True,
    examples=(
        Example({"list": [1, 2], "entry": 3}, [("updated_list", [1, 2, 3])]),
        Example({"list": [1, 2, 3], "entry": 4, "position": 1}, [("updated_list", [1, 4, 2, 3])], title="Inserted"),
        Example({"list": [1], "entry": 0}, [("updated_list", [1, 0])], title="0 and false are items too"),
    ),
)
async def add_to_list(inputs: AddToListInput, ctx: Context) -> Stream:
    """Add one or several items to a list, at its end or at a position."""
    added = [*inputs.entries, inputs.entry] if is_given(inputs.entry) else inputs.entries
    items = inputs.list.copy()
    place = len(items) if inputs.position is None else inputs.position
    items[place:place] = added
    yield "updated_list", items


class FindInListInput(Inputs):
    list: Items = pin("The list to search.")
    value: Any = pin("The value to look for.")


class FindInListOutput(Outputs):
    index: int = pin("Where the value is first found, counted from 0.")
    found: bool = pin("Whether the list has the value.")
    not_found_value: Any = pin("The value, when the list does not have it.")


@block(
    id="5e2c6d0a-1e37-489f-b1d0-8e1812b23333",
    name="FindInListBlock",
    outputs=FindInListOutput,
    categories=("BASIC",),
    work=Work.PURE,
    short=True,
    examples=(
        Example({"list": ["a", "b"], "value": "b"}, [("index", 1), ("found", True)]),
        Example({"list": ["a"], "value": "z"}, [("found", False), ("not_found_value", "z")], title="Not there"),
    ),
)
async def find_in_list(inputs: FindInListInput, ctx: Context) -> Stream:
    """Find out where a value first is in a list."""
    index = position_of(inputs.list, inputs.value)
    if index is None:
        yield "found", False
        yield "not_found_value", inputs.value
    else:
        yield "index", index
        yield "found", True


class GetListItemInput(Inputs):
    list: Items = pin("The list to read.")
    index: int = pin("Which item: 0 is the first, -1 the last.")


class GetListItemOutput(Outputs):
    item: Any = pin("The item at that place.")


@block(
    id="262ca24c-1025-43cf-a578-534e23234e97",
    name="GetListItemBlock",
    outputs=GetListItemOutput,
    categories=("BASIC",),
    work=Work.PURE,
    short=True,
    examples=(
        Example({"list": ["a", "b", "c"], "index": 1}, [("item", "b")]),
        Example({"list": ["a", "b", "c"], "index": -1}, [("item", "c")], title="From the end"),
    ),
)
async def get_list_item(inputs: GetListItemInput, ctx: Context) -> Stream:
    """Read the item at one place of a list."""
    yield "item", _item_at(inputs.list, inputs.index)


class RemoveFromListInput(Inputs):
    list: Items = pin("The list to remove from.")
    value: Any = pin("Remove the first item that equals this; used when there is no index.", default=None)
    index: int | None = pin("Remove the item at this place: 0 is the first, -1 the last.", default=None)
    return_item: bool = pin("Also send the removed item.", default=False)


class RemoveFromListOutput(Outputs):
    updated_list: Items = pin("A new list without the item.")
    removed_item: Any = pin("The removed item, if asked for.")


@block(
    id="d93c5a93-ac7e-41c1-ae5c-ef67e6e9b826",
    name="RemoveFromListBlock",
    outputs=RemoveFromListOutput,
    categories=("BASIC",),
    work=Work.PURE,
    short=True,
    examples=(
        Example({"list": [1, 2, 3], "value": 2}, [("updated_list", [1, 3])]),
        Example(
            {"list": [1, 2, 3], "index": -1, "return_item": True},
            [("updated_list", [1, 2]), ("removed_item", 3)],
            title="By place, with the removed item",
        ),
    ),
)
async def remove_from_list(inputs: RemoveFromListInput, ctx: Context) -> Stream:
    """Remove one item from a list, by its place or by its value."""
    index = inputs.index
    if index is None and inputs.value is not None:
        index = position_of(inputs.list, inputs.value)
    if index is None:
        raise BlockError("The value to remove is not in the list.", fix="Give a value that the list has, or an index.")
    removed = _item_at(inputs.list, index)
    items = inputs.list.copy()
    del items[index]
    yield "updated_list", items
    if inputs.return_item:
        yield "removed_item", removed


class ReplaceListItemInput(Inputs):
    list: Items = pin("The list to change.")
    index: int = pin("Which item to replace: 0 is the first, -1 the last.")
    value: Any = pin("The new item.")


class ReplaceListItemOutput(Outputs):
    updated_list: Items = pin("A new list with the new item.")
    old_item: Any = pin("The item that was there before.")


@block(
    id="fbf62922-bea1-4a3d-8bac-23587f810b38",
    name="ReplaceListItemBlock",
    outputs=ReplaceListItemOutput,
    categories=("BASIC",),
    work=Work.PURE,
    short=True,
    examples=(Example({"list": [1, 2, 3], "index": 1, "value": 9}, [("updated_list", [1, 9, 3]), ("old_item", 2)]),),
)
async def replace_list_item(inputs: ReplaceListItemInput, ctx: Context) -> Stream:
    """Put a new item in one place of a list."""
    old = _item_at(inputs.list, inputs.index)
    items = inputs.list.copy()
    items[inputs.index] = inputs.value
    yield "updated_list", items
    yield "old_item", old


class ListIsEmptyInput(Inputs):
    list: Items = pin("The list to look at.")


class IsEmptyOutput(Outputs):
    is_empty: bool = pin("True when there is nothing in it.")


@block(
    id="896ed73b-27d0-41be-813c-c1c1dc856c03",
    name="ListIsEmptyBlock",
    outputs=IsEmptyOutput,
    categories=("BASIC",),
    work=Work.PURE,
    short=True,
    examples=(Example({"list": []}, [("is_empty", True)]), Example({"list": [0]}, [("is_empty", False)])),
)
async def list_is_empty(inputs: ListIsEmptyInput, ctx: Context) -> Stream:
    """Tell whether a list has no items."""
    yield "is_empty", not inputs.list


class ConcatenateListsInput(Inputs):
    lists: list[Items] = pin("The lists to join, in order.")


class ConcatenateListsOutput(Outputs):
    concatenated_list: Items = pin("One list with all items.")


@block(
    id="3cf9298b-5817-4141-9d80-7c2cc5199c8e",
    name="ConcatenateListsBlock",
    outputs=ConcatenateListsOutput,
    categories=("BASIC",),
    work=Work.PURE,
    short=True,
    examples=(Example({"lists": [[1, 2], [3]]}, [("concatenated_list", [1, 2, 3])]),),
)
async def concatenate_lists(inputs: ConcatenateListsInput, ctx: Context) -> Stream:
    """Join several lists into one."""
    yield "concatenated_list", [item for items in inputs.lists for item in items]


class ReverseListInput(Inputs):
    input_list: Items = pin("The list to turn round.")


class ReverseListOutput(Outputs):
    reversed_list: Items = pin("The same items, last first.")


@block(
    id="422cb708-3109-4277-bfe3-bc2ae5812777",
    name="ReverseListOrderBlock",
    outputs=ReverseListOutput,
    categories=("BASIC",),
    work=Work.PURE,
    short=True,
    examples=(Example({"input_list": [1, 2, 3]}, [("reversed_list", [3, 2, 1])]),),
)
async def reverse_list(inputs: ReverseListInput, ctx: Context) -> Stream:
    """Turn the order of a list round."""
    yield "reversed_list", inputs.input_list[::-1]


BLOCKS = (
    create_list,
    add_to_list,
    find_in_list,
    get_list_item,
    remove_from_list,
    replace_list_item,
    list_is_empty,
    concatenate_lists,
    reverse_list,
)
