"""Blocks that reshape lists: flatten, sort, zip, filter, group, and drop what comes twice."""

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from itertools import zip_longest
from typing import Any

from treadle.blocks.equality import group_key, same
from treadle.kernel.values import CoercionError, coercer, shorten
from treadle.sdk.block import Example, Stream, Work, block
from treadle.sdk.context import Context
from treadle.sdk.errors import BlockError
from treadle.sdk.pins import Inputs, Outputs, pin

Items = list[Any]

DEPTH_CAP = 100
"""Deepest nesting that is flattened."""

_to_number = coercer(float)


def value_at(item: Any, field: str) -> Any:
    """The item itself, or, with a field such as ``address.city``, what an object has there; None when it has not."""
    for name in field.split(".") if field else ():
        if not isinstance(item, Mapping) or name not in item:
            return None
        item = item[name]
    return item


class FlattenInput(Inputs):
    items: Items = pin("A list with lists in it.")
    depth: int = pin("How many levels to take away.", default=1, ge=1, le=DEPTH_CAP)


class ItemsOutput(Outputs):
    items: Items = pin("The new list.")


@block(
    id="a67c427b-68d8-4202-b7cf-5a2e3a89d9cc",
    name="FlattenListBlock",
    outputs=ItemsOutput,
    categories=("DATA",),
    work=Work.PURE,
    short=True,
    examples=(
        Example({"items": [1, [2, [3]]]}, [("items", [1, 2, [3]])]),
        Example({"items": [1, [2, [3]]], "depth": 2}, [("items", [1, 2, 3])], title="Two levels"),
    ),
)
async def flatten_list(inputs: FlattenInput, ctx: Context) -> Stream:
    """Put the items of the lists in a list into one list."""
    yield "items", list(_flat(inputs.items, inputs.depth))


def _flat(items: Items, depth: int) -> Iterator[Any]:
    for item in items:
        if isinstance(item, list) and depth:
            yield from _flat(item, depth - 1)
        else:
            yield item


class SortInput(Inputs):
    items: Items = pin("The list to sort.")
    field: str = pin("For objects: the field to sort by, such as price or address.city.", default="", advanced=False)
    descending: bool = pin("Put the largest first.", default=False)


@block(
    id="19812102-8848-43f9-b4c5-a22720099e51",
    name="SortListBlock",
    outputs=ItemsOutput,
    categories=("DATA",),
    work=Work.PURE,
    examples=(
        Example({"items": [3, 1, 2]}, [("items", [1, 2, 3])]),
        Example(
            {"items": [{"p": 1}, {"p": 3}], "field": "p", "descending": True},
            [("items", [{"p": 3}, {"p": 1}])],
            title="Objects by a field",
        ),
    ),
)
async def sort_list(inputs: SortInput, ctx: Context) -> Stream:
    """Sort a list; numbers come before texts, and what has no value comes last."""
    keys = [_sort_key(value_at(item, inputs.field)) for item in inputs.items]
    present = [index for index, key in enumerate(keys) if key is not None]
    present.sort(key=lambda index: keys[index] or (), reverse=inputs.descending)
    absent = [item for item, key in zip(inputs.items, keys, strict=True) if key is None]
    yield "items", [*(inputs.items[index] for index in present), *absent]


def _sort_key(value: Any) -> tuple[int, Any] | None:
    """Numbers, then texts; None for null. Anything else has no order."""
    if value is None or value != value:
        return None
    if isinstance(value, int | float):
        return 0, value
    if isinstance(value, str):
        return 1, value
    raise BlockError(
        f"{shorten(value)} cannot be put in an order.", fix="Sort numbers or texts, or say by which field of the items."
    )


class UniqueInput(Inputs):
    items: Items = pin("The list.")
    field: str = pin("For objects: the field that must not come twice.", default="", advanced=False)


class UniqueOutput(Outputs):
    items: Items = pin("The list without repetitions; the first of each stays.")
    removed_count: int = pin("How many items were left out.")


@block(
    id="a2d15ca5-a9d6-4b31-8076-b8d4321c7418",
    name="UniqueListBlock",
    outputs=UniqueOutput,
    categories=("DATA",),
    work=Work.PURE,
    examples=(
        Example({"items": [1, 2, 1]}, [("items", [1, 2]), ("removed_count", 1)]),
        Example(
            {"items": [{"id": 1, "v": "a"}, {"id": 1, "v": "b"}], "field": "id"},
            [("items", [{"id": 1, "v": "a"}]), ("removed_count", 1)],
            title="Objects by a field",
        ),
    ),
)
async def unique_list(inputs: UniqueInput, ctx: Context) -> Stream:
    """Leave out what a list has twice."""
    first: dict[str, Any] = {}
    for item in inputs.items:
        first.setdefault(group_key(value_at(item, inputs.field)), item)
    yield "items", list(first.values())
    yield "removed_count", len(inputs.items) - len(first)


class ZipInput(Inputs):
    lists: list[Items] = pin("The lists to go through side by side.")
    names: list[str] = pin("Names for the lists: then each row is an object, else a list.", default_factory=list)
    pad: bool = pin("Go on to the end of the longest list, with null for what is missing.", default=False)


class ZipOutput(Outputs):
    rows: list[Any] = pin("One row per place in the lists.")


@block(
    id="33c385e8-5965-4fbf-9df7-3df476b3521b",
    name="ZipListsBlock",
    outputs=ZipOutput,
    categories=("DATA",),
    work=Work.PURE,
    short=True,
    examples=(
        Example({"lists": [[1, 2], ["a", "b"]]}, [("rows", [[1, "a"], [2, "b"]])]),
        Example(
            {"lists": [[1, 2], ["a"]], "names": ["n", "t"], "pad": True},
            [("rows", [{"n": 1, "t": "a"}, {"n": 2, "t": None}])],
            title="Objects, padded",
        ),
    ),
)
async def zip_lists(inputs: ZipInput, ctx: Context) -> Stream:
    """Join lists side by side into rows."""
    names = inputs.names
    if names and len(names) != len(inputs.lists):
        raise BlockError(
            f"There are {len(names)} names for {len(inputs.lists)} lists.", fix="Give one name to each list, or none."
        )
    rows = zip_longest(*inputs.lists) if inputs.pad else zip(*inputs.lists, strict=False)
    yield "rows", [dict(zip(names, row, strict=True)) if names else list(row) for row in rows]


class ItemTest(StrEnum):
    """What an item must fulfil."""

    EQUALS = "equals"
    NOT_EQUALS = "not equals"
    GREATER = "greater than"
    LESS = "less than"
    CONTAINS = "contains"
    NOT_CONTAINS = "does not contain"
    EMPTY = "is empty"
    NOT_EMPTY = "is not empty"


class FilterInput(Inputs):
    items: Items = pin("The list to filter.")
    field: str = pin("For objects: the field to look at, such as price or address.city.", default="", advanced=False)
    test: ItemTest = pin("What its value must fulfil.", default=ItemTest.EQUALS, advanced=False)
    value: Any = pin("What it is compared with; not needed for the tests of emptiness.", default=None, advanced=False)


class FilterOutput(Outputs):
    kept: Items = pin("The items that pass.")
    rest: Items = pin("The items that do not.")


@block(
    id="2b00649a-8bce-4fb5-b9a1-3e7ffebf7a4a",
    name="FilterListBlock",
    outputs=FilterOutput,
    categories=("DATA", "LOGIC"),
    work=Work.PURE,
    examples=(
        Example(
            {"items": [{"p": 5}, {"p": 20}], "field": "p", "test": "greater than", "value": 10},
            [("kept", [{"p": 20}]), ("rest", [{"p": 5}])],
        ),
        Example({"items": ["a", "", None], "test": "is not empty"}, [("kept", ["a"]), ("rest", ["", None])]),
    ),
)
async def filter_list(inputs: FilterInput, ctx: Context) -> Stream:
    """Keep the items of a list that pass a test."""
    test = _TESTS[inputs.test]
    kept: Items = []
    rest: Items = []
    for item in inputs.items:
        (kept if test(value_at(item, inputs.field), inputs.value) else rest).append(item)
    yield "kept", kept
    yield "rest", rest


def _equals(value: Any, wanted: Any) -> bool:
    """Typed-in values are text: a number equals its text."""
    if isinstance(value, str) != isinstance(wanted, str) and not isinstance(value, bool):
        numbers = _numbers(value, wanted)
        return numbers is not None and numbers[0] == numbers[1]
    return same(value, wanted)


def _greater(value: Any, limit: Any) -> bool:
    numbers = _numbers(value, limit)
    if numbers is not None:
        return numbers[0] > numbers[1]
    return isinstance(value, str) and isinstance(limit, str) and value > limit


def _numbers(first: Any, second: Any) -> tuple[float, float] | None:
    try:
        return _to_number(first), _to_number(second)
    except CoercionError:
        return None


def _contains(value: Any, part: Any) -> bool:
    if isinstance(value, str):
        return (part if isinstance(part, str) else str(part)) in value
    if isinstance(value, list):
        return any(_equals(each, part) for each in value)
    return isinstance(value, Mapping) and part in value


def _empty(value: Any, unused: Any) -> bool:
    return value is None or value in ("", [], {})


_TESTS: Mapping[ItemTest, Callable[[Any, Any], bool]] = {
    ItemTest.EQUALS: _equals,
    ItemTest.NOT_EQUALS: lambda value, wanted: not _equals(value, wanted),
    ItemTest.GREATER: _greater,
    ItemTest.LESS: lambda value, limit: _greater(limit, value),
    ItemTest.CONTAINS: _contains,
    ItemTest.NOT_CONTAINS: lambda value, part: not _contains(value, part),
    ItemTest.EMPTY: _empty,
    ItemTest.NOT_EMPTY: lambda value, unused: not _empty(value, unused),
}


class GroupInput(Inputs):
    items: Items = pin("The list of objects to group.")
    field: str = pin("The field whose values form the groups, such as city or address.city.")


class GroupOutput(Outputs):
    groups: dict[str, Items] = pin("The items of each group, under the text of its value.")
    group: Items = pin("The items of one group; one group after the other.")
    name: str = pin("The value of that group, as text.")


@block(
    id="709eca2a-aed9-4368-800a-29cb270024cc",
    name="GroupListBlock",
    outputs=GroupOutput,
    categories=("DATA",),
    work=Work.PURE,
    examples=(
        Example(
            {"items": [{"c": "x", "n": 1}, {"c": "y", "n": 2}, {"c": "x", "n": 3}], "field": "c"},
            [
                ("groups", {"x": [{"c": "x", "n": 1}, {"c": "x", "n": 3}], "y": [{"c": "y", "n": 2}]}),
                ("group", [{"c": "x", "n": 1}, {"c": "x", "n": 3}]),
                ("name", "x"),
                ("group", [{"c": "y", "n": 2}]),
                ("name", "y"),
            ],
        ),
    ),
)
async def group_list(inputs: GroupInput, ctx: Context) -> Stream:
    """Put the items of a list that have the same value in a field together."""
    groups: dict[str, Items] = {}
    for item in inputs.items:
        value = value_at(item, inputs.field)
        groups.setdefault(value if isinstance(value, str) else group_key(value), []).append(item)
    yield "groups", groups
    for name, items in groups.items():
        yield "group", items
        yield "name", name


BLOCKS = (flatten_list, sort_list, unique_list, zip_lists, filter_list, group_list)
