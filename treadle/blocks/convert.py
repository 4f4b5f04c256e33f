"""Turning one kind of value into another: types, JSON text, escape sequences."""

import json
import re
import unicodedata
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from treadle.blocks.json_text import read_json
from treadle.kernel.values import CoercionError, coercer, shorten
from treadle.sdk.block import Example, Stream, Work, block
from treadle.sdk.context import Context
from treadle.sdk.errors import BlockError
from treadle.sdk.pins import Inputs, Outputs, pin


class TargetType(StrEnum):
    """What a value can be turned into."""

    STRING = "string"
    NUMBER = "number"
    BOOLEAN = "boolean"
    LIST = "list"
    DICTIONARY = "dictionary"


class ConverterInput(Inputs):
    value: Any = pin("The value to convert.")
    type: TargetType = pin("What it should become.")


class ConverterOutput(Outputs):
    value: Any = pin("The value in its new form.")


@block(
    id="95d1b990-ce13-4d88-9737-ba5c2070c97b",
    name="UniversalTypeConverterBlock",
    outputs=ConverterOutput,
    categories=("BASIC",),
    work=Work.PURE,
    short=True,
    examples=(
        Example({"value": 5, "type": "string"}, [("value", "5")]),
        Example({"value": "1e3", "type": "number"}, [("value", 1000.0)]),
        Example({"value": "no", "type": "boolean"}, [("value", False)]),
        Example({"value": "[1, 2]", "type": "list"}, [("value", [1, 2])]),
        Example({"value": '{"a": 1}', "type": "dictionary"}, [("value", {"a": 1})]),
    ),
)
async def convert_type(inputs: ConverterInput, ctx: Context) -> Stream:
    """Turn a value into a text, a number, a yes or no, a list or a dictionary."""
    try:
        yield "value", _CONVERT[inputs.type](inputs.value)
    except CoercionError as error:
        raise BlockError(
            f"{error.shown} cannot be turned into a {inputs.type.value}.", fix=f"Send {error.expected}."
        ) from error


_to_float, _to_bool = coercer(float), coercer(bool)


def _number(value: Any) -> float:
    """A list or dictionary counts as its length."""
    return float(len(value)) if isinstance(value, list | dict) else float(_to_float(value))


def _boolean(value: Any) -> bool:
    """Text is true only when it says so: any other text is false."""
    try:
        return bool(_to_bool(value))
    except CoercionError:
        return False


_CONVERT: Mapping[TargetType, Callable[[Any], Any]] = {
    TargetType.STRING: coercer(str),
    TargetType.NUMBER: _number,
    TargetType.BOOLEAN: _boolean,
    TargetType.LIST: coercer(list[Any]),
    TargetType.DICTIONARY: coercer(dict[str, Any]),
}


class TextDecoderInput(Inputs):
    text: str = pin("Text with escape sequences, such as a backslash and an n for a new line.")


class TextDecoderOutput(Outputs):
    decoded_text: str = pin("The text with the characters that were meant.")


@block(
    id="2570e8fe-8447-43ed-84c7-70d657923231",
    name="TextDecoderBlock",
    outputs=TextDecoderOutput,
    categories=("TEXT",),
    work=Work.PURE,
    short=True,
    examples=(
        Example({"text": r"one\ntwo"}, [("decoded_text", "one\ntwo")]),
        Example({"text": r"caf\u00e9 é"}, [("decoded_text", "café é")], title="Other characters stay as they are"),
    ),
)
async def decode_text(inputs: TextDecoderInput, ctx: Context) -> Stream:
    """Turn escape sequences in a text into the characters that they stand for."""
    text = _ESCAPE.sub(_unescaped, inputs.text)
    try:
        yield "decoded_text", text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError as error:
        raise BlockError("The text has one half of a surrogate pair.", fix="Write both halves, or neither.") from error


_ESCAPE = re.compile(
    r"\\(?:(?P<octal>[0-7]{1,3})|x(?P<x>[0-9a-fA-F]{0,2})|u(?P<u>[0-9a-fA-F]{0,4})|U(?P<long>[0-9a-fA-F]{0,8})"
    r"|N\{(?P<name>[^{}]{1,100})\}|(?P<letter>.)|$)",
    re.DOTALL,
)
_LETTERS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\n": ""}
_DIGITS = {"x": 2, "u": 4, "long": 8}


def _unescaped(match: re.Match[str]) -> str:
    kind, found = match.lastgroup, match.group()
    if kind == "octal":
        return chr(int(match["octal"], 8))
    if kind == "letter" and match["letter"] != "N":
        letter = match["letter"]
        return _LETTERS.get(letter, letter if letter in "\\'\"" else found)
    try:
        if kind == "name":
            return unicodedata.lookup(match["name"])
        if kind in _DIGITS and len(match[kind]) == _DIGITS[kind]:
            return chr(int(match[kind], 16))
    except (KeyError, ValueError, OverflowError):
        pass
    raise BlockError(
        f"The escape sequence {shorten(found)} at character {match.start()} means nothing.",
        fix=r"Write \\ for a backslash, \xNN, \uNNNN or \UNNNNNNNN for a character by its number.",
    )


class JsonEncodeInput(Inputs):
    value: Any = pin("The value to write as JSON.")
    indent: int = pin("Blanks per level; 0 puts everything on one line.", default=0, ge=0, le=8)
    sort_keys: bool = pin("Put the keys of dictionaries in alphabetical order.", default=False)


class JsonEncodeOutput(Outputs):
    json_text: str = pin("The JSON text.")


@block(
    id="5d1f4b0e-7f0c-4d0b-9b1a-6f4e9b6a2c11",
    name="JsonEncodeBlock",
    title="JSON Encode",
    outputs=JsonEncodeOutput,
    categories=("DATA", "TEXT"),
    work=Work.PURE,
    short=True,
    examples=(
        Example({"value": {"b": [1, "é"]}}, [("json_text", '{"b":[1,"é"]}')]),
        Example(
            {"value": {"b": 1, "a": 2}, "indent": 1, "sort_keys": True}, [("json_text", '{\n "a": 2,\n "b": 1\n}')]
        ),
    ),
)
async def json_encode(inputs: JsonEncodeInput, ctx: Context) -> Stream:
    """Write a value as JSON text."""
    separators = None if inputs.indent else (",", ":")
    try:
        text = json.dumps(
            inputs.value,
            indent=inputs.indent or None,
            separators=separators,
            ensure_ascii=False,
            allow_nan=False,
            sort_keys=inputs.sort_keys,
        )
    except (TypeError, ValueError, RecursionError) as error:
        raise BlockError(
            f"The value has no JSON form: {error}.", fix="Infinity and not-a-number must be replaced."
        ) from error
    yield "json_text", text


class JsonDecodeInput(Inputs):
    json_text: str = pin("JSON text; a Markdown code fence around it is ignored.")


class JsonDecodeOutput(Outputs):
    value: Any = pin("The value that the text describes.")


@block(
    id="0b8a6f57-55d5-4a55-8d3a-8d2c8f6f3a52",
    name="JsonDecodeBlock",
    title="JSON Decode",
    outputs=JsonDecodeOutput,
    categories=("DATA", "TEXT"),
    work=Work.PURE,
    short=True,
    examples=(
        Example({"json_text": '{"a": [1, null]}'}, [("value", {"a": [1, None]})]),
        Example({"json_text": "```json\n[1]\n```"}, [("value", [1])], title="As models write it"),
    ),
)
async def json_decode(inputs: JsonDecodeInput, ctx: Context) -> Stream:
    """Read JSON text into a value."""
    try:
        value = read_json(_without_fence(inputs.json_text))
    except (ValueError, RecursionError) as error:
        raise BlockError(f"The text is not JSON: {error}.", fix="Check the text at that place.") from error
    yield "value", value


def _without_fence(text: str) -> str:
    lines = text.strip().splitlines()
    fenced = len(lines) > 1 and lines[0].startswith("```") and lines[-1].strip() == "```"
    return "\n".join(lines[1:-1]) if fenced else text


BLOCKS = (convert_type, decode_text, json_encode, json_decode)
