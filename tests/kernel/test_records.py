"""Records come back from the disk as they went."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kernel.driver import plan_of
from treadle.kernel.machine import Machine
from treadle.kernel.records import Reference, apply, decode_records, encode_records, references, resolved

MARKS = ("$float", "$int", "$blob", "$raw", "$text", "$pairs")
TEXT = st.text(st.characters() | st.characters(categories=["Cs"]), max_size=8)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(2**62, 2**66)
    | st.floats()
    | TEXT
    | st.builds(Reference, st.just("ab" * 32), st.integers(0, 9))
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(TEXT | st.sampled_from(MARKS), inner, max_size=3)
        | st.dictionaries(st.sampled_from(MARKS), inner, min_size=1, max_size=1)
    ),
    max_leaves=12,
)


def same(left: Any, right: Any) -> bool:
    """Equal, with the same types, in the same order of keys, and with NaN equal to itself."""
    if isinstance(left, float) and isinstance(right, float):
        return left == right or (math.isnan(left) and math.isnan(right))
    if isinstance(left, dict) and isinstance(right, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return type(left) is type(right) and bool(left == right)


@given(st.lists(VALUES, max_size=4))
def test_every_value_survives(values: list[Any]) -> None:
    decoded = decode_records(encode_records([("out", 1, "pin", value) for value in values]))
    assert len(decoded) == len(values)
    assert all(map(same, [record[3] for record in decoded], values))


@pytest.mark.parametrize(
    "value",
    [
        math.inf,
        -math.inf,
        math.nan,
        2**64,
        -(2**63) - 1,
        10**5000,
        "\ud800",
        "a\udfff\\ud800 ü",
        dict.fromkeys(["\ud800", "\ud801"], 1),
        {"$float": 1},
        {"$float": "nan"},
        {"$raw": {"$int": "0x1"}},
        {"$text": "\ud800"},
        {"$pairs": [["a", 1]]},
        "\0",
        '{"$float": "nan"}',
        None,
    ],
    ids=lambda value: ascii(value)[:20] if not isinstance(value, int) else "int",
)
def test_value_survives(value: Any) -> None:
    neighbour = ("out", 1, "pin", {"$float": None})
    decoded = decode_records(encode_records([("out", 2, "pin", [value, {"in": value}]), neighbour]))
    assert same(decoded[0][3], [value, {"in": value}])
    assert same(decoded[1][3], {"$float": None})


def test_references_are_found_and_replaced_by_shared_content() -> None:
    large, reference = ["content"], Reference("aa", 9)
    record = ("end", 1, [["out", reference], ["out", {"deep": [reference]}]], "", 0, 0)
    (read,) = decode_records(encode_records([record]))
    assert list(references(read)) == [reference, reference]
    whole = resolved(read, {"aa": large})
    assert whole[2][0][1] is large
    assert whole[2][1][1]["deep"][0] is large


def test_an_unknown_record_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown record kind 'later'"):
        apply(Machine(plan_of("s.out x.in")), ("later", 1))
