"""Outlines of JSON text: nothing inside of strings counts, and what counts is found, however it is written."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from treadle.base.json_shape import MOST_VALUES, has_too_many_values, is_deeper, outline

TEXTS = st.text() | st.text('[]{},:"\\/u0022 ')
VALUES = st.recursive(
    TEXTS | st.integers(), lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4)
)


def found(text: bytes) -> bytes:
    outlined = outline(text)
    assert outlined is not None
    return outlined


def expected(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(map(expected, value.values())) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(expected, value)) + "]"
    return ""


def depth(value: Any) -> int:
    if not isinstance(value, dict | list):
        return 0
    return 1 + max(map(depth, value.values() if isinstance(value, dict) else value), default=0)


@given(VALUES, st.booleans())
def test_an_outline_is_the_value_without_what_is_not_structure(value: Any, escaped: bool) -> None:
    text = json.dumps(value, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
    assert found(text) == expected(value).encode()
    assert not is_deeper(found(text), depth(value))
    assert is_deeper(found(text), depth(value) - 1) or depth(value) == 0


def test_too_many_values_are_seen_in_every_form_and_texts_are_one_value() -> None:
    most = MOST_VALUES
    for each in (b"0", b'""', b"[]", b"{}", b"[[[]]]"):
        assert not has_too_many_values(found(b"[" + b",".join([each] * 1_000) + b"]"))
        outlined = outline(b"[" + b",".join([each] * (most + 1)) + b"]")
        assert outlined is None or has_too_many_values(outlined)
    assert has_too_many_values(found(b"[" * (most + 1)))
    assert has_too_many_values(found(b'{"a":' * (most + 1)))
    assert outline(b'["' + b'","' * (4 * most)) is None
    assert not has_too_many_values(found(json.dumps({"csv": '[{",\\' * most}).encode()))
