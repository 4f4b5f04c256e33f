"""Coercion: recorded behaviour, the decisions that differ from it, and properties."""

import json
from datetime import date
from enum import Enum, StrEnum
from typing import Annotated, Any, Literal, NewType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from tests.blocks.vectors import decode, mended_vids, same
from tests.shared_files import VECTORS, needs_shared, vector_sets
from treadle.kernel.values import MAX_DEPTH, SHOWN, CoercionError, clean_text, coercer, expected, shorten


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Size(StrEnum):
    SMALL = "small"


class Person(BaseModel):
    name: str
    age: int = 0


class Robot(BaseModel):
    kind: Literal["robot"]
    serial: int


class Opaque:
    """A type that no schema can be made for."""


Name = NewType("Name", str)

NAMED: dict[str, Any] = {
    "Any": Any,
    "Literal['a', 'b']": Literal["a", "b"],
    "Optional[bool]": bool | None,
    "Optional[dict]": dict | None,
    "Optional[float]": float | None,
    "Optional[int]": int | None,
    "Optional[list[int]]": list[int] | None,
    "Optional[str]": str | None,
    "Union[dict[str, Any], list[Any]]": dict[str, Any] | list[Any],
    "Union[float, int]": float | int,
    "Union[int, None]": int | None,
    "Union[int, str]": int | str,
    "Union[list[int], dict[str, int]]": list[int] | dict[str, int],
    "Union[list[str], str]": list[str] | str,
    "Union[str, int]": str | int,
    "Union[str, list[str]]": str | list[str],
    "bool": bool,
    "bool | None": bool | None,
    "dict": dict,
    "dict | None": dict | None,
    "dict[int, str]": dict[int, str],
    "dict[str, Any]": dict[str, Any],
    "dict[str, bool]": dict[str, bool],
    "dict[str, int]": dict[str, int],
    "dict[str, list[int]]": dict[str, list[int]],
    "dict[str, str]": dict[str, str],
    "float": float,
    "float | None": float | None,
    "int": int,
    "int | None": int | None,
    "list": list,
    "list | None": list | None,
    "list[Any]": list[Any],
    "list[bool]": list[bool],
    "list[dict[str, int]]": list[dict[str, int]],
    "list[float]": list[float],
    "list[int]": list[int],
    "list[list[int]]": list[list[int]],
    "list[str]": list[str],
    "list[str] | None": list[str] | None,
    "set": set,
    "set[int]": set[int],
    "set[str]": set[str],
    "str": str,
    "str | None": str | None,
    "tuple": tuple,
    "tuple[int, ...]": tuple[int, ...],
    "tuple[int, str]": tuple[int, str],
    "enum{red,blue}": Colour,
}


def _matches(vector: dict[str, Any]) -> bool:
    try:
        result = coercer(NAMED[vector["to"]])(decode(vector["value"]))
    except CoercionError:
        return vector["error"] is not None
    if vector["error"] is not None:
        return False
    result = result.value if isinstance(result, Enum) else result
    return same(vector["result"], result) and type(result).__name__ == vector["result_type"]


@needs_shared(VECTORS)
@pytest.mark.parametrize("vector", vector_sets().get("coercion", []), ids=lambda vector: vector["vid"])
def test_recorded_behaviour(vector: dict[str, Any]) -> None:
    assert _matches(vector) == (vector["vid"] not in mended_vids())


@needs_shared(VECTORS)
@pytest.mark.parametrize("vector", vector_sets().get("stored_value_cleaning", []), ids=lambda vector: vector["vid"])
def test_recorded_cleaning(vector: dict[str, Any]) -> None:
    assert clean_text(vector["value"]) == vector["stored"]


@pytest.mark.parametrize(
    ("annotation", "value", "result"),
    [
        (int, "1.9", 1),
        (int, 3.0, 3),
        (int, "100000000000000000001", 100000000000000000001),
        (float, 3, 3.0),
        (float, True, 1.0),
        (float | None, False, 0.0),
        (bool, " Yes ", True),
        (bool, "off", False),
        (bool, "", False),
        (str, None, "null"),
        (str, {"a": "é"}, '{"a": "\\u00e9"}'),
        (Name, 5, "5"),
        (Annotated[int, "note"], "5", 5),
        (list[str], [None, 1], ["null", "1"]),
        (list, {"a": 1}, [["a", 1]]),
        (dict, [7, 8], {"0": 7, "1": 8}),
        (dict, "abc", {"value": "abc"}),
        (dict[int, str], [7], {0: "7"}),
        (set[int], ["1", "1"], {1}),
        (tuple[int, ...], "[1, 2]", (1, 2)),
        (dict[str, Any] | list[Any], [1, 2], [1, 2]),
        (dict[str, Any] | list[Any], "[1]", [1]),
        (list[int] | dict[str, int], {"a": "1"}, {"a": 1}),
        (list[int] | dict[str, int], '{"a": "1"}', {"a": 1}),
        (list[dict[str, Any]] | None, '[{"a": 1}]', [{"a": 1}]),
        (list[dict[str, Any]] | None, '{"a": 1}', [{"a": 1}]),
        (dict[str, Any] | None, "[1]", {"value": [1]}),
        (str | int, 5, 5),
        (int | str, "5", "5"),
        (int | str, 1.9, 1),
        (float | None, "2", 2.0),
        (int | None, None, None),
        (Literal["a", 1], 1, 1),
        (Colour, "red", Colour.RED),
        (Colour | None, "blue", Colour.BLUE),
        (Size, "small", Size.SMALL),
        (date, "2026-01-02", date(2026, 1, 2)),
        (Person, {"name": "x"}, Person(name="x")),
        (Person | Robot, {"kind": "robot", "serial": 1}, Robot(kind="robot", serial=1)),
        (str | Person, {"name": "x"}, Person(name="x")),
        (list[Person], [{"name": "x"}], [Person(name="x")]),
    ],
)
def test_converted(annotation: Any, value: Any, result: Any) -> None:
    got = coercer(annotation)(value)
    assert (type(got), got) == (type(result), result)


@pytest.mark.parametrize(
    ("annotation", "value", "message"),
    [
        (int, "abc", 'expected a whole number, got "abc"'),
        (int, "", 'expected a whole number, got ""'),
        (int, True, "expected a whole number, got true"),
        (int, None, "expected a whole number, got null"),
        (int, [1, 2], r"expected a whole number, got \[1, 2\]"),
        (int, float("inf"), "expected a whole number"),
        (int, "9" * 5000, "expected a whole number, got 999"),
        (float, "1,5", 'expected a number, got "1,5"'),
        (float, 10**400, "expected a number, got a very large number"),
        (bool, "perhaps", "expected true or false"),
        (list[int], [1, "x"], r'expected a whole number, got "x" \(element 1\)'),
        (dict[str, int], {"a": "x"}, r'expected a whole number, got "x" \(key "a"\)'),
        (dict[int, str], {"x": 2}, "expected a whole number"),
        (tuple[int, str], ["1"], "expected a list of 2 elements"),
        (int | str, True, "expected a whole number or a text, got true"),
        (str | int, None, "expected a text or a whole number, got null"),
        (int | None, "x", "expected a whole number, got"),
        (Literal["a", "b"], "c", 'expected one of "a", "b", got "c"'),
        (Literal["a"], ["a"], "expected one of"),
        (Literal[1], True, "expected one of 1, got true"),
        (Colour, "green", 'expected one of "red", "blue", got "green"'),
        (Person, {"name": 5}, "name: Input should be a valid string"),
        (Person, {"name": "x", "age": True}, "age: Input should be a valid integer"),
        (Person, '{"name": "x"}', "Input should be an object"),
        (Person | None, '{"name": "x"}', "Input should be an object"),
        (Person | Robot, {"kind": "robot"}, "expected a value of type Person or a value of type Robot"),
        (Opaque, 5, "expected a value of type Opaque"),
        (str, {"a": object()}, "expected a text"),
    ],
)
def test_refused(annotation: Any, value: Any, message: str) -> None:
    with pytest.raises(CoercionError, match=message):
        coercer(annotation)(value)


def test_an_instance_passes() -> None:
    opaque, person = Opaque(), Person(name="x")
    assert coercer(Opaque)(opaque) is opaque
    assert coercer(Person)(person) is person


@pytest.mark.parametrize("value", ["x" * 10_000, list(range(10_000)), {"k" * 500: 1}, object(), ["y" * 999]])
def test_values_are_shown_in_short(value: Any) -> None:
    assert 0 < len(shorten(value)) <= SHOWN
    assert shorten(10**10_000) == "a very large number"


def test_types_have_names_for_people() -> None:
    assert expected(list[int] | None) == "a list with a whole number in each place or nothing"


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
annotations = st.sampled_from(
    [int, float, bool, str, list, dict, list[int], list[str], dict[str, int], dict[str, list[float]], int | None,
     str | list[str], list[int] | dict[str, int], float | str | None, Literal["a", 1], Any]
)  # fmt: skip


@given(annotations, plain)
def test_a_converted_value_has_the_type_and_stays(annotation: Any, value: Any) -> None:
    convert = coercer(annotation)
    try:
        once = convert(value)
    except CoercionError as error:
        assert error.expected
        return
    again = convert(once)
    assert again is once
    json.dumps(once)


@given(plain)
def test_cleaning_changes_nothing_twice_and_leaves_no_control_characters(value: Any) -> None:
    once = clean_text(value)
    assert clean_text(once) == once
    text = json.dumps(once, ensure_ascii=False)
    assert text.encode()
    assert "\x00" not in text


def test_clean_values_are_not_copied() -> None:
    value = {"a": [1, "x\n", {"b": None}], "é": "ü"}
    assert clean_text(value) is value
    cleaned = clean_text({"same": value, "other": ["\x00"]})
    assert cleaned == {"same": value, "other": [""]}
    assert cleaned["same"] is value


def test_values_nested_too_deep_are_refused() -> None:
    deep: Any = "x"
    for _ in range(MAX_DEPTH):
        deep = [deep]
    assert clean_text(deep) is deep
    with pytest.raises(CoercionError, match="levels deep"):
        clean_text({"a": deep})


def test_surrogates_are_replaced() -> None:
    assert clean_text("a\ud83d\x07b") == "a\ufffdb"
