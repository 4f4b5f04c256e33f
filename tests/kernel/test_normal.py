"""What blocks send becomes plain data."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from treadle.kernel.normal import NotData, normal, weight
from treadle.kernel.records import encode_records


class Colour(str, Enum):  # noqa: UP042 - blocks have such, and their text is not their value
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Person(BaseModel):
    name: str
    born: date


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ((1, (2,)), [1, [2]]),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset({"b", "a"}), ["a", "b"]),
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        ({Colour.RED: Level.HIGH}, {"red": 3}),
        ({7: 2, None: 3, True: 4, 2.5: 5}, {"7": 2, "null": 3, "true": 4, "2.5": 5}),
        (MappingProxyType({"a": (1,)}), {"a": [1]}),
        (b"hi", "aGk="),
        (bytearray(b"hi"), "aGk="),
        (Decimal("1.5"), 1.5),
        (datetime(2026, 1, 2, 3, tzinfo=UTC), "2026-01-02T03:00:00+00:00"),
        (date(2026, 1, 2), "2026-01-02"),
        (time(3, 4), "03:04:00"),
        (timedelta(minutes=1), 60.0),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (PurePosixPath("a/b"), "a/b"),
        (Person(name="Ann", born=date(2000, 1, 2)), {"name": "Ann", "born": "2000-01-02"}),
        ([{"a": [(1,)]}], [{"a": [[1]]}]),
    ],
)
def test_values_become_plain(value: Any, plain: Any) -> None:
    assert normal(value) == plain
    assert type(normal(value)) is type(plain)


@pytest.mark.parametrize("value", [object(), lambda: 0, {"a": object()}, {(1, 2): 3}, [1, {2j}]])
def test_what_has_no_json_form_is_refused(value: Any) -> None:
    with pytest.raises(NotData):
        normal(value)


def test_nesting_has_an_end() -> None:
    deep: Any = []
    for _ in range(300):
        deep = [deep]
    with pytest.raises(NotData, match="nested deeper than 200"):
        normal(deep)
    ring: list[Any] = []
    ring.append(ring)
    with pytest.raises(NotData):
        normal(ring)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_plain_data_stays_equal_and_flat_data_is_not_copied(value: Any) -> None:
    assert normal(value) == value
    if not isinstance(value, list | dict):
        assert normal(value) is value
    assert normal([1, "a", None]) == [1, "a", None]


def test_flat_containers_are_the_same_object() -> None:
    flat_list, flat_dict = [1, "a", None], {"a": 1.5}
    assert normal(flat_list) is flat_list
    assert normal(flat_dict) is flat_dict


@given(JSON)
def test_weight_is_never_far_below_the_bytes(value: Any) -> None:
    assert weight(value) * 6 + 64 >= len(encode_records([("", value)]))
