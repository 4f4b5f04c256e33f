"""Blocks that read and change dictionaries (JSON objects). What they are given is never changed in place."""

from collections.abc import Mapping
from typing import Any

from treadle.blocks.json_text import read_json
from treadle.sdk.block import Example, Stream, Work, block
from treadle.sdk.context import Context
from treadle.sdk.errors import BlockError
from treadle.sdk.pins import Inputs, Outputs, pin

Dictionary = dict[str, Any]


def _key_in(dictionary: Dictionary, key: str | int) -> str:
    """The key as the dictionary has it: in JSON every key is a text, so 1 means "1"."""
    name = str(key)
    if name not in dictionary:
        known = ", ".join(repr(each) for each in list(dictionary)[:10]) or "none"
        raise BlockError(f"The dictionary has no key {name!r}.", fix=f"Its keys are: {known}.")
    return name


class CreateDictionaryInput(Inputs):
    values: Dictionary = pin("The keys and their values.")


class CreateDictionaryOutput(Outputs):
    dictionary: Dictionary = pin("The dictionary made of them.")


@block(
    id="b924ddf4-de4f-4b56-9a85-358930dcbc91",
    name="CreateDictionaryBlock",
    outputs=CreateDictionaryOutput,
    categories=("DATA",),
    work=Work.PURE,
    short=True,
    examples=(
        Example({"values": {"name": "Ana", "age": 40}}, [("dictionary", {"name": "Ana", "age": 40})]),
        Example({"values_#_name": "Ana"}, [("dictionary", {"name": "Ana"})], title="From a pin per key"),
    ),
)
async def create_dictionary(inputs: CreateDictionaryInput, ctx: Context) -> Stream:
    """Make a dictionary of the keys and values given."""
    yield "dictionary", inputs.values


class AddToDictionaryInput(Inputs):
    dictionary: Dictionary = pin(
        "The dictionary to add to; without it a new one is made.", default_factory=dict, advanced=False
    )
    key: str = pin("The key to add; an empty one adds nothing.", default="", advanced=False)
    value: Any = pin("The value under that key.", default=None, advanced=False)
    entries: Dictionary = pin("Further keys and values to add; they win over the single one.", default_factory=dict)


class UpdatedDictionaryOutput(Outputs):
    updated_dictionary: Dictionary = pin("A new dictionary with the change.")


@block(
    id="31d1064e-7446-4693-a7d4-65e5ca1180d1",
    name="AddToDictionaryBlock",
    outputs=UpdatedDictionaryOutput,
    categories=("BASIC",),
    work=Work.PURE,
    short=True,
    examples=(
        Example({"dictionary": {"a": 1}, "key": "b", "value": 2}, [("updated_dictionary", {"a": 1, "b": 2})]),
        Example({"entries": {"a": 1, "b": 2}}, [("updated_dictionary", {"a": 1, "b": 2})], title="Several at once"),
    ),
)
async def add_to_dictionary(inputs: AddToDictionaryInput, ctx: Context) -> Stream:
    """Add one or several keys with their values to a dictionary; keys that it has are overwritten."""
    single = {inputs.key: inputs.value} if inputs.key and inputs.value is not None else {}
    yield "updated_dictionary", {**inputs.dictionary, **single, **inputs.entries}


class FindInDictionaryInput(Inputs):
    input: Any = pin("A dictionary, a list of dictionaries, a list, or JSON text of one of these.")
    key: str | int = pin("The key to look up, or the place in a list, counted from 0.")


class FindInDictionaryOutput(Outputs):
    output: Any = pin("The value found; for a list of dictionaries, the values found in each.")
    missing: Any = pin("The input as it came, when it does not have the key.")


@block(
    id="0e50422c-6dee-4145-83d6-3a5a392f65de",
    name="FindInDictionaryBlock",
    outputs=FindInDictionaryOutput,
    categories=("BASIC",),
    work=Work.PURE,
    short=True,
    examples=(
        Example({"input": {"a": 1}, "key": "a"}, [("output", 1)]),
        Example({"input": {"a": 1}, "key": "b"}, [("missing", {"a": 1})], title="Not there"),
        Example({"input": [{"a": 1}, {"a": 2}], "key": "a"}, [("output", [1, 2])], title="From each of a list"),
        Example({"input": ["x", "y"], "key": 1}, [("output", "y")], title="A place in a list"),
    ),
)
async def find_in_dictionary(inputs: FindInDictionaryInput, ctx: Context) -> Stream:
    """Look up a key in a dictionary, in JSON text, or in every dictionary of a list."""
    data = _read_json(inputs.input) if isinstance(inputs.input, str) else inputs.input
    found, value = _look_up(data, inputs.key)
    yield ("output", value) if found else ("missing", inputs.input)


def _read_json(text: str) -> Any:
    try:
        return read_json(text)
    except (ValueError, RecursionError) as error:
        raise BlockError(f"The input is text, but not JSON: {error}.", fix="Send a dictionary or JSON text.") from error


def _look_up(data: Any, key: str | int) -> tuple[bool, Any]:
    """Whether there is something under the key, and what."""
    name = str(key)
    if isinstance(data, Mapping):
        return (True, data[name]) if name in data else (False, None)
    if not isinstance(data, list):
        return False, None
    index = _index(key)
    in_each = [each[name] for each in data if isinstance(each, Mapping) and name in each]
    if index is None or (in_each and isinstance(key, str)):
        return True, in_each
    if 0 <= index < len(data):
        return True, data[index]
    return False, None


def _index(key: str | int) -> int | None:
    """The place in a list that the key names: numbers arrive as text from pins that were typed in."""
    if isinstance(key, int):
        return key
    return int(key) if key.isascii() and key.isdigit() and len(key) < 10 else None


class RemoveFromDictionaryInput(Inputs):
    dictionary: Dictionary = pin("The dictionary to remove from.")
    key: str | int = pin("The key to remove.")
    return_value: bool = pin("Also send the removed value.", default=False)


class RemoveFromDictionaryOutput(Outputs):
    updated_dictionary: Dictionary = pin("A new dictionary without the key.")
    removed_value: Any = pin("The removed value, if asked for.")


@block(
    id="46afe2ea-c613-43f8-95ff-6692c3ef6876",
    name="RemoveFromDictionaryBlock",
    outputs=RemoveFromDictionaryOutput,
    categories=("BASIC",),
    work=Work.PURE,
    short=True,
    examples=(
        Example({"dictionary": {"a": 1, "b": 2}, "key": "a"}, [("updated_dictionary", {"b": 2})]),
        Example(
            {"dictionary": {"a": 1}, "key": "a", "return_value": True},
            [("updated_dictionary", {}), ("removed_value", 1)],
            title="With the removed value",
        ),
    ),
)
async def remove_from_dictionary(inputs: RemoveFromDictionaryInput, ctx: Context) -> Stream:
    """Remove a key and its value from a dictionary."""
    dictionary = dict(inputs.dictionary)
    removed = dictionary.pop(_key_in(dictionary, inputs.key))
    yield "updated_dictionary", dictionary
    if inputs.return_value:
        yield "removed_value", removed


class ReplaceDictionaryValueInput(Inputs):
    dictionary: Dictionary = pin("The dictionary to change.")
    key: str | int = pin("The key whose value is replaced; the dictionary must have it.")
    value: Any = pin("The new value.")


class ReplaceDictionaryValueOutput(Outputs):
    updated_dictionary: Dictionary = pin("A new dictionary with the new value.")
    old_value: Any = pin("The value that was there before.")


@block(
    id="27e31876-18b6-44f3-ab97-f6226d8b3889",
    name="ReplaceDictionaryValueBlock",
    outputs=ReplaceDictionaryValueOutput,
    categories=("BASIC",),
    work=Work.PURE,
    short=True,
    examples=(
        Example({"dictionary": {"a": 1}, "key": "a", "value": 2}, [("updated_dictionary", {"a": 2}), ("old_value", 1)]),
    ),
)
async def replace_dictionary_value(inputs: ReplaceDictionaryValueInput, ctx: Context) -> Stream:
    """Put a new value under a key that a dictionary has."""
    key = _key_in(inputs.dictionary, inputs.key)
    yield "updated_dictionary", {**inputs.dictionary, key: inputs.value}
    yield "old_value", inputs.dictionary[key]


class DictionaryIsEmptyInput(Inputs):
    dictionary: Dictionary = pin("The dictionary to look at.")


class DictionaryIsEmptyOutput(Outputs):
    is_empty: bool = pin("True when it has no keys.")


@block(
    id="a3cf3f64-6bb9-4cc6-9900-608a0b3359b0",
    name="DictionaryIsEmptyBlock",
    outputs=DictionaryIsEmptyOutput,
    categories=("BASIC",),
    work=Work.PURE,
    short=True,
    examples=(
        Example({"dictionary": {}}, [("is_empty", True)]),
        Example({"dictionary": {"a": 1}}, [("is_empty", False)]),
    ),
)
async def dictionary_is_empty(inputs: DictionaryIsEmptyInput, ctx: Context) -> Stream:
    """Tell whether a dictionary has no keys."""
    yield "is_empty", not inputs.dictionary


BLOCKS = (
    create_dictionary,
    add_to_dictionary,
    find_in_dictionary,
    remove_from_dictionary,
    replace_dictionary_value,
    dictionary_is_empty,
)
