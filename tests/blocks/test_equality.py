"""When values are the same."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.blocks.equality import group_key, position_of, same

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([0.0, 1.0, 1.5]) | st.sampled_from(["", "1", "a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner),
    max_leaves=5,
)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        (True, True, True),
        ([1], [True], False),
        ({"a": [0]}, {"a": [False]}, False),
        ({"a": 1, "b": 2}, {"b": 2.0, "a": 1}, True),
        ("1", 1, False),
        ([1], [1, 2], False),
    ],
)
def test_same(first: Any, second: Any, expected: bool) -> None:
    assert same(first, second) is expected


@given(VALUES, VALUES)
def test_keys_are_equal_exactly_for_same_values(first: Any, second: Any) -> None:
    assert (group_key(first) == group_key(second)) == same(first, second)


@given(st.lists(VALUES, max_size=6), VALUES)
def test_position_is_the_first_that_is_the_same(items: list[Any], value: Any) -> None:
    expected = next((place for place, item in enumerate(items) if same(item, value)), None)
    assert position_of(items, value) == expected
