"""Reading a block's inputs: merging, converting, checking, and saying everything that is wrong at once."""

from enum import Enum
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from treadle.sdk.credentials import AuthKind, CredentialsRef, credentials_pin
from treadle.sdk.errors import InputRefused
from treadle.sdk.inputs import InputReader
from treadle.sdk.pins import Inputs, pin


class Style(Enum):
    BIG = "big"
    SMALL = "small"


class Options(BaseModel):
    depth: int
    note: str = ""


class Everything(Inputs):
    text: str = pin("Text.")
    count: int = pin("Count.", default=1, ge=0, le=10)
    anything: Any = pin("Anything.", default="unset")
    names: list[str] = pin("Names.", default_factory=list)
    style: Style = pin("Style.", default=Style.BIG)
    mode: Literal["a", "b"] = pin("Mode.", default="a")
    options: Options | None = pin("Options.", default=None)
    either: dict[str, Any] | list[Any] = pin("Either.", default_factory=dict)
    token: str = pin("Token.", default="", secret=True)
    pin_code: int = pin("Code.", default=0, secret=True)


class WithCredentials(Inputs):
    credentials: CredentialsRef = credentials_pin("openai")


READER = InputReader(Everything)


def read(**raw: Any) -> Any:
    return READER.read(raw)


def problems(**raw: Any) -> dict[str, str]:
    with pytest.raises(InputRefused) as caught:
        READER.read(raw)
    assert caught.value.fix
    return caught.value.problems


def test_values_that_have_their_types_stay_as_they_are() -> None:
    inputs = read(text="a", count=2, anything={"k": [1]}, names=["x"])
    assert (inputs.text, inputs.count, inputs.anything, inputs.names) == ("a", 2, {"k": [1]}, ["x"])
    assert (inputs.style, inputs.mode, inputs.either) == (Style.BIG, "a", {})


def test_values_are_converted() -> None:
    inputs = read(text=5, count="3", names="[1, null]", style="small", either=[1], options={"depth": 1})
    assert (inputs.text, inputs.count, inputs.names) == ("5", 3, ["1", "null"])
    assert (inputs.style, inputs.either, inputs.options) == (Style.SMALL, [1], Options(depth=1))


def test_dynamic_names_are_merged_and_stay_beside() -> None:
    inputs = read(**{"text": "a", "names_$_1": 2, "names_$_0": "x", "unknown_#_k": 1, "other": 3})
    assert inputs.names == ["x", "2"]
    assert inputs.model_extra == {"names_$_1": 2, "names_$_0": "x", "unknown_#_k": 1, "other": 3, "unknown": {"k": 1}}


def test_null_means_the_default_or_no_value() -> None:
    assert read(text="a", count=None, anything=None).anything == "unset"
    assert problems(text=None) == {"text": "required, but has no value"}


def test_every_problem_is_told() -> None:
    found = problems(count="many", names={"a": 1}, mode="c", style=5, options={"depth": "deep"})
    assert found.keys() == {"text", "count", "mode", "style", "options"}
    assert found["count"] == 'expected a whole number, got "many"'
    assert "depth" in found["options"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("count", True),
        ("count", 11),
        ("count", -1),
        ("count", [1]),
        ("mode", "A"),
        ("style", "medium"),
        ("options", {"depth": True}),
        ("options", {"depth": "1"}),
        ("options", {}),
        ("names_$_x", 1),
        ("names_$_20000", 1),
    ],
)
def test_refused(name: str, value: Any) -> None:
    assert len(problems(**{"text": "a", name: value})) == 1


def test_secret_values_are_in_no_message() -> None:
    assert "12ab" not in str(problems(text="a", pin_code="12ab"))


def test_credentials_are_a_reference() -> None:
    reader = InputReader(WithCredentials)
    inputs = reader.read({"credentials": {"id": "c1", "provider": "openai", "type": "api_key", "secret": "x"}})
    assert inputs.model_dump() == {
        "credentials": {"id": "c1", "provider": "openai", "type": AuthKind.API_KEY, "title": None}
    }
    with pytest.raises(InputRefused):
        reader.read({"credentials": {"id": "c1", "provider": "openai", "type": "magic"}})


def test_constants_are_checked_alone() -> None:
    assert READER.problems({}) == {}
    assert READER.problems({"count": 5}) == {}
    assert READER.problems({"count": 50}).keys() == {"count"}
    assert READER.problems({"count": "x", "mode": "z"}).keys() == {"count", "mode"}
    assert READER.problems({"names_$_x": 1}).keys() == {"input"}


def test_the_pins_are_described() -> None:
    pins = READER.pins
    assert list(pins) == list(Everything.model_fields)
    assert (pins["text"].required, pins["count"].required, pins["count"].default) == (True, False, 1)
    assert pins["names"].default == []
    assert [name for name, each in pins.items() if each.secret] == ["token", "pin_code"]
    assert pins["count"].schema["maximum"] == 10


def test_what_is_read_is_not_shared_with_the_defaults() -> None:
    read(text="a").names.append("x")
    assert read(text="a").names == []


json_values = st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.lists(st.integers(), max_size=2)


@given(st.dictionaries(st.sampled_from([*Everything.model_fields, "extra"]), json_values))
def test_any_input_is_read_or_refused_and_reading_again_changes_nothing(raw: dict[str, Any]) -> None:
    try:
        inputs = READER.read(raw)
    except InputRefused as refused:
        assert refused.problems.keys() <= Everything.model_fields.keys()
        return
    again = READER.read({name: getattr(inputs, name) for name in inputs.model_fields_set})
    assert again == inputs


@given(st.dictionaries(st.sampled_from([*Everything.model_fields]), json_values))
def test_the_short_way_and_the_long_way_read_the_same(raw: dict[str, Any]) -> None:
    raw = {name: value for name, value in raw.items() if value is not None}

    class Renamed(dict[str, Any]):
        """A mapping that does not take the short way, as it seems to hold a name that is no pin."""

        def keys(self) -> Any:
            return {*super().keys(), "no pin"}

    def result(values: dict[str, Any]) -> Any:
        try:
            return READER.read(values)
        except InputRefused as refused:
            return refused.problems

    assert result(Renamed(raw)) == result(raw)
