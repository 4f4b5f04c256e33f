"""Differences of two versions: nothing for equal ones, everything for others, and back again."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from tests.features.graphs.samples import REGISTRY, agent, link, node
from treadle.engine.secrets import MASK
from treadle.features.graphs.diff import DiffDoesNotFit, FieldChange, GraphDiff, apply, diff, inverse, same
from treadle.features.graphs.document import AgentFile, GraphPart, LinkPart, NodePart, PolicyPart, RetryPart
from treadle.features.graphs.shown_diff import shown_diff

NAMES = st.sampled_from(["a", "b", "c", "d", "e"])
PINS = st.sampled_from(["text", "policy", "retry", "fallback", "input_default", "values_#_a", ""])
SCALARS: st.SearchStrategy[Any] = st.sampled_from([None, True, False, 0, 1, 2, 0.0, 1.0, 2.5, "", "x", "1"])
VALUES: st.SearchStrategy[JsonValue] = st.recursive(
    SCALARS, lambda below: st.lists(below, max_size=2) | st.dictionaries(PINS, below, max_size=2), max_leaves=4
)
MAPS = st.dictionaries(PINS, VALUES, max_size=3)
POLICIES = st.builds(
    PolicyPart,
    retry=st.builds(RetryPart, attempts=st.integers(1, 3)),
    timeout=st.sampled_from([1.0, 1800.0]),
    ordered=st.booleans(),
    fallback=MAPS,
)
NODES = st.builds(
    NodePart,
    id=NAMES,
    block_id=st.sampled_from(["one", "two"]),
    input_default=MAPS,
    metadata=MAPS,
    policy=st.just(PolicyPart()) | POLICIES,
)
LINKS = st.builds(
    LinkPart,
    id=st.none() | NAMES,
    source_id=NAMES,
    source_name=st.just("out"),
    sink_id=NAMES,
    sink_name=st.sampled_from(["in", "other"]),
    is_static=st.booleans(),
)
GRAPHS = st.builds(
    GraphPart,
    id=st.just("main"),
    version=st.just(1),
    is_active=st.booleans(),
    name=st.sampled_from(["", "One", "Two"]),
    description=st.sampled_from(["", "What it does"]),
    instructions=st.none() | st.sampled_from(["Do this", ""]),
    recommended_schedule_cron=st.none() | st.just("0 9 * * 1"),
    forked_from_id=st.none() | NAMES,
    forked_from_version=st.none() | st.integers(1, 3),
    nodes=st.lists(NODES, max_size=5),
    links=st.lists(LINKS, max_size=5),
)


def text(graph: GraphPart) -> str:
    """A graph as JSON: unlike Python, it tells 1, 1.0 and true apart. Keys of objects have no order."""
    return repr(_sorted(graph.model_dump(mode="json")))


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return sorted((key, _sorted(each)) for key, each in value.items())
    return [_sorted(each) for each in value] if isinstance(value, list) else value


@given(GRAPHS)
def test_a_graph_does_not_differ_from_itself(graph: GraphPart) -> None:
    found = diff(graph, graph.model_copy(deep=True))
    assert not found
    assert found == GraphDiff()


@given(GRAPHS, GRAPHS)
def test_a_difference_leads_from_one_version_to_the_other_and_back(one: GraphPart, other: GraphPart) -> None:
    change = diff(one, other)
    assert bool(change) == (text(one) != text(other))
    assert text(apply(change, one)) == text(other)
    assert text(apply(inverse(change), other)) == text(one)
    assert inverse(inverse(change)) == change


@given(GRAPHS, GRAPHS)
def test_the_other_way_round_it_is_the_inverse(one: GraphPart, other: GraphPart) -> None:
    there, back = inverse(diff(one, other)), diff(other, one)
    assert set(map(repr, there.fields)) == set(map(repr, back.fields))
    for mine, its in ((there.nodes, back.nodes), (there.links, back.links)):
        assert mine.order == its.order
        for name in ("added", "removed", "changed"):
            places = [sorted(_places(each)) for each in (getattr(mine, name), getattr(its, name))]
            assert places[0] == places[1]


def _places(parts: Any) -> list[Any]:
    return [getattr(each, "position", None) or getattr(each, "position_before", 0) for each in parts]


@given(GRAPHS, GRAPHS, GRAPHS)
def test_a_difference_is_not_forced_on_another_graph(one: GraphPart, other: GraphPart, third: GraphPart) -> None:
    """It fits, and then everything that it says holds, or it is refused as a whole."""
    change = diff(one, other)
    try:
        made = apply(change, third)
    except DiffDoesNotFit:
        return
    assert len(made.nodes) == len(third.nodes) + len(change.nodes.added) - len(change.nodes.removed)
    assert len(made.links) == len(third.links) + len(change.links.added) - len(change.links.removed)


def changed(before: AgentFile, after: AgentFile) -> list[tuple[Any, ...]]:
    (only,) = diff(before, after).nodes.changed
    return [(each.path, each.kind, each.before, each.after) for each in only.fields]


def test_what_has_changed_in_a_node_is_told_pin_by_pin() -> None:
    before = agent([node("a", "text", text="Hello", times=2, mode="plain")])
    after = agent([{**node("a", "text", text="Hello!", times=2, shout=True), "policy": {"retry": {"attempts": 3}}}])
    assert changed(before, after) == [
        (("input_default", "text"), "changed", "Hello", "Hello!"),
        (("input_default", "mode"), "removed", "plain", None),
        (("policy", "retry", "attempts"), "changed", 1, 3),
        (("input_default", "shout"), "added", None, True),
    ]


def test_links_are_the_same_by_their_ends_and_nodes_by_their_ids() -> None:
    nodes = [node("a", "text"), node("b", "text"), node("c", "text")]
    before = agent(nodes, [link("a.text", "b.text"), link("b.text", "c.text")])
    after = agent([nodes[2], nodes[0]], [link("a.text", "c.text")], name="Shorter")
    found = diff(before, after)
    assert found.fields == (FieldChange(("name",), "changed", "Agent", "Shorter"),)
    assert [each.part.id for each in found.nodes.removed] == ["b"]
    assert found.nodes.order == (1, 0)
    assert [each.part.ends for each in found.links.removed] == [link.ends for link in before.links]
    assert [each.part.ends for each in found.links.added] == [("a", "text", "c", "text")]


@pytest.mark.parametrize(("one", "other"), [(1, True), (1, 1.0), (0, False), ("1", 1), (None, ""), ([1], [True])])
def test_values_of_another_type_are_not_the_same(one: JsonValue, other: JsonValue) -> None:
    assert same(one, one)
    assert not same(one, other)
    assert not same({"a": one}, {"a": other})


def test_a_changed_secret_is_told_and_not_shown() -> None:
    def version(secret: str, number: int, other: str) -> AgentFile:
        values = {"token": secret, "b": number}
        return agent([node("a", "text", api_key=secret, values=values), node(other, "text", api_key=secret)])

    before, after = version("sk-canary-1", 1, "gone"), version("sk-canary-2", 2, "new")
    found = shown_diff(before, after, REGISTRY)
    assert "canary" not in repr(found)
    (only,) = found.nodes.changed
    assert [(each.path[-1], each.before, each.after, each.hidden) for each in only.fields] == [
        ("api_key", MASK, MASK, True),
        ("values", {"token": MASK, "b": 1}, {"token": MASK, "b": 2}, True),
    ]
    with pytest.raises(DiffDoesNotFit):
        apply(found, before)
