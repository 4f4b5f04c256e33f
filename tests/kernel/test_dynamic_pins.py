"""Dynamic pin names: recorded behaviour, the rules that differ on purpose, and properties."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.blocks.vectors import decode, mended_vids, same
from tests.shared_files import VECTORS, needs_shared, vector_sets
from treadle.kernel.dynamic_pins import (
    MAX_INDEX,
    DynamicPinError,
    base_name,
    compile_merge,
    declared_name,
    is_dynamic,
    merge,
    parse_tool_pin,
    select,
    tool_pin,
)

RECORDED = vector_sets().get("dynamic_pins", [])


def _matches(vector: dict[str, Any]) -> bool:
    if vector["kind"] == "name":
        name = vector["name"]
        got = (base_name(name), is_dynamic(name), declared_name(name))
        return got == (vector["base"], vector["is_dynamic"], vector["sanitized"])
    if vector["kind"] == "select":
        sink = (vector.get("sink_node", ""), vector.get("sink_pin", ""))
        fires, value = select(vector["pin"], decode(vector["value"]), vector["selector"], *sink)
        return vector["error"] is None and fires is vector["delivered"] and same(vector["result"], value)
    try:
        result = merge(decode(vector["data"]))
    except DynamicPinError:
        return vector["error"] is not None
    return vector["error"] is None and same(vector["result"], result)


@needs_shared(VECTORS)
@pytest.mark.parametrize("vector", RECORDED, ids=lambda vector: vector["vid"])
def test_recorded_behaviour(vector: dict[str, Any]) -> None:
    assert _matches(vector) == (vector["vid"] not in mended_vids())


@pytest.mark.parametrize(
    ("data", "base"),
    [
        ({"v_#_a": 1, "v_#_b": 2}, {"v": {"a": 1, "b": 2}}),
        ({"v_$_2": "c"}, {"v": [None, None, "c"]}),
        ({"v_$_1_#_k_$_0": 5}, {"v": [None, {"k": [5]}]}),
        ({"v_@_x": 1}, {"v": {"x": 1}}),
        ({"v_#_y": 1, "v": {"x": 0}}, {"v": {"x": 0, "y": 1}}),
        ({"v_#_k_#_y": 2, "v_#_k": {"z": 1}}, {"v": {"k": {"z": 1, "y": 2}}}),
        ({"v": "text", "v_$_0": 1}, {"v": [1]}),
    ],
)
def test_parts_are_merged_into_the_base(data: dict[str, Any], base: dict[str, Any]) -> None:
    assert merge(data) == {**data, **base}


def test_no_value_given_is_changed() -> None:
    data = {"v": {"x": {"y": [1]}}, "v_#_x_#_y_$_3": 2, "w_#_k": {"a": 1}, "w_#_k_#_b": 2}
    before = copy.deepcopy(data)
    result = merge(data)
    assert data == before
    assert result["v"] == {"x": {"y": [1, None, None, 2]}}
    assert (result["w"], result["w_#_k"]) == ({"k": {"a": 1, "b": 2}}, {"a": 1})


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({f"v_$_{MAX_INDEX + 1}": 1}, "over 10000"),
        ({"v_$_99999999999999999999": 1}, "not a whole number"),
        ({"v_$_1.5": 1}, "not a whole number"),
        ({"v_$_-1": 1}, "before the start"),
        ({"v_@___class__": 1}, "not allowed"),
        ({"v_#_a_#___init__": 1}, "not allowed"),
        ({"v_#_a": 1, "v_$_0": 2}, "keys and list positions"),
    ],
)
def test_refused_names(data: dict[str, Any], words: str) -> None:
    with pytest.raises(DynamicPinError, match=words) as caught:
        merge(data)
    assert next(iter(data)).partition("_")[0] in caught.value.message


def test_the_highest_position_is_allowed() -> None:
    assert len(merge({f"v_$_{MAX_INDEX}": 1})["v"]) == MAX_INDEX + 1


@pytest.mark.parametrize("path", ["_@___class__", "_@_keys", "_#___class__", "_@_upper", "_@_real", "_@___dict___#_x"])
@pytest.mark.parametrize("value", [{"x": 1}, "text", 5, [1], object(), DynamicPinError])
def test_python_attributes_are_out_of_reach(path: str, value: Any) -> None:
    assert select("out", value, f"out{path}") == (False, None)


def test_null_is_delivered_on_a_whole_pin_only() -> None:
    assert select("out", None, "out") == (True, None)
    assert select("out", {"k": None}, "out_#_k") == (False, None)


def test_pins_with_a_common_beginning_are_told_apart() -> None:
    assert select("out", {"put": 1}, "output") == (False, None)
    assert select("out", {"b": 1}, "out_a_#_b") == (False, None)


def test_tool_names() -> None:
    assert parse_tool_pin(tool_pin("n1", "a_~_b")) == ("n1", "a_~_b")
    assert [parse_tool_pin(name) for name in ("tools", "tools_^_n1", "tools_^__~_x", "out")] == [None] * 4
    assert select(tool_pin("n1", "q"), 5, "tools", "n1", "q") == (True, 5)
    assert select(tool_pin("n1", "q"), 5, tool_pin("n1", "q"), "n2", "q") == (False, None)


def test_compiling_a_node_without_dynamic_pins_gives_nothing_to_do() -> None:
    assert compile_merge(["a", "b_#_"]) is None
    compiled = compile_merge(["a", "b_#_c"])
    assert compiled is not None
    assert compiled({"b_#_c": 1}) == {"b_#_c": 1, "b": {"c": 1}}


parts = st.lists(
    st.tuples(st.just("_#_"), st.sampled_from(["a", "b c", "ü"])) | st.tuples(st.just("_$_"), st.sampled_from("012")),
    min_size=1,
    max_size=4,
)


@given(parts, st.integers() | st.text(max_size=3))
def test_what_a_sink_name_places_the_source_name_finds(path: list[tuple[str, str]], value: Any) -> None:
    name = "pin" + "".join(delimiter + part for delimiter, part in path)
    merged = merge({name: value})["pin"]
    assert select("pin", merged, name) == (True, value)


@given(st.dictionaries(st.text("a_#$@^~.0", max_size=12), st.integers() | st.lists(st.integers(), max_size=2)))
def test_any_name_is_merged_or_refused(data: dict[str, Any]) -> None:
    try:
        result = merge(data)
    except DynamicPinError:
        return
    assert {name: result[name] for name in data if is_dynamic(name)} == {k: v for k, v in data.items() if is_dynamic(k)}
    assert merge(dict(reversed(data.items()))) == result
