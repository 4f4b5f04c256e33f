"""Types along links: what cannot work is told with both types, and nothing else is."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.features.graphs.samples import CHILD, INPUT, NUMBER, OUTPUT, REGISTRY, agent, link, node
from treadle.features.graphs.document import AgentFile
from treadle.features.graphs.pin_types import ANYTHING, annotations_of, can_feed, json_types, type_names
from treadle.features.graphs.validation import validate

WORKING = [node("t", "text", text="x")]


def _told(document: AgentFile) -> list[str]:
    found = validate(document, REGISTRY, for_run=True)
    return [problem.message for problem in found if problem.code == "incompatible_link"]


def test_a_link_that_cannot_work_is_told_with_both_types_and_what_will_happen() -> None:
    (message,) = _told(agent([*WORKING, node("c", "collect")], [link("c.items", "t.times")]))
    assert message == (
        "Collect sends a list on items, and times takes a whole number: no such value can be converted,"
        " so this node will fail"
    )


@pytest.mark.parametrize("ends", [("t.length", "u.text"), ("t.text", "u.times"), ("i.result", "u.values")])
def test_links_that_may_work_are_not_told(ends: tuple[str, str]) -> None:
    nodes = [*WORKING, node("u", "text"), node("i", INPUT, name="i")]
    assert _told(agent(nodes, [link(*ends)])) == []


def _with_child(links: list[dict[str, Any]], **remembered: Any) -> AgentFile:
    inside = [node("n", NUMBER, name="amount"), node("m", "text", text="x"), node("o", OUTPUT, name="text")]
    child = {"id": "child", "name": "child", "nodes": inside, "links": [link("m.text", "o.value")]}
    runs = node("s", CHILD, graph_id="child", graph_version=1, **remembered)
    nodes = [*WORKING, node("c", "collect"), runs]
    return agent(nodes, links, sub_graphs=[] if remembered else [child])


def test_inputs_of_a_sub_agent_are_looked_at_too() -> None:
    (message,) = _told(_with_child([link("c.items", "s.amount")]))
    assert "Collect sends a list on items, and amount takes" in message
    assert _told(_with_child([link("t.length", "s.amount")])) == []


def test_what_a_node_remembers_of_its_sub_agent_counts_as_far_as_it_is_a_schema() -> None:
    schema = {"properties": {"rows": {"type": "array"}}}
    (message,) = _told(_with_child([link("s.rows", "t.times")], output_schema=schema))
    assert "sends a list on rows" in message
    strange: Any
    for strange in ({"type": 7}, {"type": [{}]}, {"anyOf": [3]}, {"allOf": "x"}, {"type": "colour"}, [], None):
        assert _told(_with_child([link("s.rows", "t.times")], output_schema={"properties": {"rows": strange}})) == []


@given(
    st.recursive(
        st.none() | st.integers() | st.sampled_from(["array", "null", "x"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["type", "anyOf", "oneOf", "allOf", "$ref"]), inner)
        ),
    )
)
def test_anything_from_a_file_has_types(schema: Any) -> None:
    assert json_types(schema, {}) <= ANYTHING


@given(st.sets(st.sampled_from(sorted(ANYTHING)), min_size=1), st.sets(st.sampled_from(sorted(ANYTHING)), min_size=1))
def test_a_type_can_always_feed_itself(given_types: set[str], more: set[str]) -> None:
    accepted = frozenset(given_types | more)
    assert can_feed(frozenset(given_types), accepted, annotations_of(accepted))


def test_types_have_names() -> None:
    assert type_names({"null", "array", "string"}) == "a list or nothing or a text"
