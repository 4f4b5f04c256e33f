"""Every problem an agent can have, told with its node, its pin and what to do."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.features.graphs.samples import CHILD, DECIDER, INPUT, NUMBER, OUTPUT, REGISTRY, agent, link, node
from tests.features.graphs.test_exporter import GRAPHS
from treadle.features.graphs import node_checks
from treadle.features.graphs.document import AgentFile
from treadle.features.graphs.flow_checks import on_cycles, reachable
from treadle.features.graphs.reader import read_agent_file
from treadle.features.graphs.validation import MAX_PROBLEMS, has_errors, validate
from treadle.features.graphs.view import Problem

WORKING = [node("i", INPUT, name="x"), node("t", "text"), node("o", OUTPUT, name="y")]
WORKING_LINKS = [link("i.result", "t.text"), link("t.text", "o.value")]


def problems(document: AgentFile, code: str, *, for_run: bool = False) -> list[Problem]:
    return [problem for problem in validate(document, REGISTRY, for_run=for_run) if problem.code == code]


def only(document: AgentFile, code: str, *, for_run: bool = False) -> Problem:
    (problem,) = problems(document, code, for_run=for_run)
    assert problem.message
    assert problem.fix
    return problem


def policy(**values: Any) -> AgentFile:
    return agent([node("a", "text", text="x") | {"policy": values}])


def test_a_working_agent_has_no_problems() -> None:
    assert validate(agent(WORKING, WORKING_LINKS), REGISTRY, for_run=True) == []


@pytest.mark.parametrize(
    ("document", "code", "place"),
    [
        (agent([node("a", "note"), node("a", "note")]), "duplicate_node", ("a", "")),
        (agent([node("a", "note")], sub_graphs=[{"id": "main", "nodes": []}]), "duplicate_graph", ("", "")),
        (agent([node("a", "text", text="x")], [link("a.text", "z.text")]), "link_to_nowhere", ("z", "")),
        (agent(WORKING, [*WORKING_LINKS, link("t.txet", "o.value")]), "unknown_pin", ("t", "txet")),
        (agent(WORKING, [*WORKING_LINKS, link("t.text", "o.vlaue")]), "unknown_pin", ("o", "vlaue")),
        (agent(WORKING, [*WORKING_LINKS, link("t.tools_^_o_~_value", "o.value")]), "unknown_pin", None),
        (agent([node("i", INPUT, value=1)]), "missing_input", ("i", "name")),
        (agent([node("c", CHILD)]), "missing_input", None),
        (agent([node("i", INPUT, name="credentials")]), "reserved_name", ("i", "name")),
        (agent([node("i", INPUT, name="mail_credentials")]), "reserved_name", ("i", "name")),
        (agent([node("a", CHILD, graph_id="main", graph_version=1)]), "recursive_agent", ("", "")),
        (agent([node("a", "collect")], [link("a.items", "a.item")]), "collect_cycle", ("a", "")),
        (policy(retry={"attempts": 0}), "bad_policy", ("a", "")),
        (policy(timeout=-1), "bad_policy", ("a", "")),
        (policy(concurrency=0), "bad_policy", ("a", "")),
        (policy(on_error="fallback"), "bad_policy", ("a", "")),
        (policy(on_error="fallback", fallback={"colour": 1}), "bad_policy", ("a", "colour")),
    ],
)
def test_errors_that_forbid_even_saving(document: AgentFile, code: str, place: tuple[str, str] | None) -> None:
    found = problems(document, code)
    assert found
    assert {problem.severity for problem in found} == {"error"}
    assert all(problem.message and problem.fix for problem in found)
    assert place is None or (found[0].node, found[0].pin) == place
    assert [(each.code, each.node) for each in problems(document, code, for_run=True)] == [
        (code, p.node) for p in found
    ]


@pytest.mark.parametrize(
    ("document", "code", "place"),
    [
        (agent([node("a", "nobody")]), "unknown_block", ("a", "")),
        (agent([node("a", "off")]), "disabled_block", ("a", "")),
        (agent([node("t", "text")]), "missing_input", ("t", "text")),
        (agent([node("t", "text", text=None)]), "missing_input", ("t", "text")),
        (agent([node("t", "text", text="x", times="many")]), "bad_constant", ("t", "times")),
        (agent([node("t", "text", times=0)]), "bad_constant", ("t", "times")),
        (agent([]), "no_start", ("", "")),
        (agent([node("n", "note")]), "no_start", ("", "")),
        (agent([node("t", "text")], [link("t.text", "t.text")]), "no_start", ("", "")),
    ],
)
def test_what_is_only_unfinished_is_a_warning_until_it_is_run(
    document: AgentFile, code: str, place: tuple[str, str]
) -> None:
    saved, run = only(document, code), only(document, code, for_run=True)
    assert (saved.severity, run.severity) == ("warning", "error")
    assert (run.node, run.pin) == place
    assert not has_errors(validate(document, REGISTRY, for_run=False))


@pytest.mark.parametrize(
    ("document", "code", "place"),
    [
        (agent([node("i", INPUT, name="x"), node("j", INPUT, name="x")]), "duplicate_input", ("j", "name")),
        (agent([*WORKING, node("n", "text", times=1)], [link("n.text", "n.text")]), "unreachable", ("n", "")),
        (agent([node("t", "text", text="x", shout=True, mode="loud")]), "missing_dependency", None),
        (agent([*WORKING, node("c", "collect")], [link("c.items", "t.times")]), "incompatible_link", ("t", "times")),
    ],
)
def test_warnings_never_forbid_a_run(document: AgentFile, code: str, place: tuple[str, str] | None) -> None:
    found = problems(document, code, for_run=True)
    if place is None:
        assert found == []
    else:
        assert [(each.severity, each.node, each.pin) for each in found] == [("warning", *place)]


def test_problems_name_the_node_as_people_do() -> None:
    nodes = [
        node("i", INPUT, name="Topic", value={}) | {"metadata": {"customized_name": "My topic"}},
        node("j", NUMBER, name="How many", value=[1]),
        node("t", "text", times=[]),
    ]
    found = validate(agent(nodes), REGISTRY, for_run=True)
    assert {problem.node_name for problem in found} == {"Agent Number Input “How many”", "Text"}
    assert only(agent([node("credentials", INPUT, name="credentials")]), "reserved_name").graph == "main"


def test_all_problems_are_told_at_once_errors_first() -> None:
    nodes = [node("a", "nobody"), node("b", "text", times="x"), node("c", INPUT), node("c", INPUT)]
    found = validate(agent(nodes, [link("a.x", "q.y")]), REGISTRY, for_run=False)
    assert {each.code for each in found} == {
        *("unknown_block", "missing_input", "bad_constant", "duplicate_node", "link_to_nowhere")
    }
    severities = [each.severity for each in found]
    assert severities == sorted(severities)


def test_a_missing_block_is_named_from_the_catalogue() -> None:
    document = agent([node("a", "6595ae1f-b924-42cb-9a41-551a0611c4b4")])
    assert "SendWebRequestBlock" in only(document, "unknown_block").message


@pytest.mark.parametrize("pin", ["values_#_a", "values_#_a_$_0", "values_@_a"])
def test_dynamic_pins_go_by_their_base_name(pin: str) -> None:
    links = [*WORKING_LINKS, link("i.result", f"t.{pin}"), link("i.result_#_a", "t.text")]
    assert validate(agent(WORKING, links), REGISTRY, for_run=True) == []


def test_a_linked_pin_needs_no_constant_and_its_constant_is_not_checked() -> None:
    nodes = [node("i", INPUT, name="x"), node("t", "text", text="x", times="not a number")]
    assert only(agent(nodes), "bad_constant").pin == "times"
    assert validate(agent(nodes, [link("i.result", "t.times")]), REGISTRY, for_run=True) == []


def test_a_close_name_is_suggested_for_an_unknown_pin() -> None:
    document = agent(WORKING, [*WORKING_LINKS, link("t.text", "o.vlaue")])
    assert only(document, "unknown_pin").fix == "Link value instead."


def test_the_value_of_a_secret_input_is_not_repeated_in_problems() -> None:
    shown = only(agent([node("i", NUMBER, name="x", value="canary-81")]), "bad_constant")
    hidden = only(agent([node("i", NUMBER, name="x", value="canary-81", secret=True)]), "bad_constant")
    assert "canary-81" in shown.message
    assert "canary-81" not in hidden.message


def child_of(schema: dict[str, Any] | None, links: list[dict[str, Any]], **keys: Any) -> AgentFile:
    constants = {"graph_id": "below", "graph_version": 1, "user_id": ""}
    if schema is not None:
        constants |= {"input_schema": schema, "output_schema": schema}
    return agent([node("i", INPUT, name="x"), node("c", CHILD, **constants)], links, **keys)


def test_pins_of_a_sub_agent_are_checked_against_what_its_node_remembers() -> None:
    schema = {"properties": {"topic": {}}, "required": ["topic"]}
    assert problems(child_of(schema, [link("i.result", "c.topic"), link("c.topic", "c.topic")]), "unknown_pin") == []
    wrong = child_of(schema, [link("i.result", "c.topik")])
    assert (only(wrong, "unknown_pin").pin, only(wrong, "unknown_pin").fix) == ("topik", "Link topic instead.")
    assert only(wrong, "missing_child_input").pin == "topic"
    assert problems(child_of(None, [link("i.result", "c.anything")]), "unknown_pin") == []


def test_pins_of_a_sub_agent_in_the_file_are_checked_against_the_agent_itself() -> None:
    below = {"id": "below", "nodes": [node("i", INPUT, name="city"), node("o", OUTPUT, name="weather")]}
    good = child_of(None, [link("i.result", "c.city"), link("c.weather", "c.city")], sub_graphs=[below])
    assert problems(good, "unknown_pin") == []
    bad = child_of(None, [link("i.result", "c.town"), link("c.city", "c.city")], sub_graphs=[below])
    assert {(each.node, each.pin) for each in problems(bad, "unknown_pin")} == {("c", "town"), ("c", "city")}


def test_sub_agents_that_run_each_other_are_refused() -> None:
    first = {"id": "first", "nodes": [node("a", CHILD, graph_id="second", graph_version=1)]}
    second = {"id": "second", "nodes": [node("a", CHILD, graph_id="first", graph_version=1)]}
    document = agent([node("a", CHILD, graph_id="first", graph_version=1)], sub_graphs=[first, second])
    assert {each.graph for each in problems(document, "recursive_agent")} == {"first", "second"}


def test_two_collects_that_reach_each_other_are_refused_and_a_chain_is_not() -> None:
    nodes = [node("a", "collect"), node("b", "collect")]
    circle = agent(nodes, [link("a.items", "b.item"), link("b.items", "a.item")])
    assert [each.node for each in problems(circle, "collect_cycle")] == ["a", "b"]
    assert problems(agent(nodes, [link("a.items", "b.item")]), "collect_cycle") == []


@pytest.mark.parametrize(
    ("sinks", "expected"),
    [
        (["last_tool_output", "conversation_history"], []),
        (["last_tool_output"], ["conversation_history"]),
        (["conversation_history"], ["last_tool_output"]),
    ],
)
def test_history_and_tool_output_are_linked_together(sinks: list[str], expected: list[str]) -> None:
    nodes = [node("d", DECIDER, prompt="x"), node("t", "text")]
    links = [link("d.tools_^_t_~_text", "t.text"), *(link("t.text", f"d.{sink}") for sink in sinks)]
    found = problems(agent([node("i", INPUT, name="x"), *nodes], [*links, link("i.result", "d.prompt")]), "tool_loop")
    assert [each.pin for each in found] == expected


def test_a_tool_output_that_keeps_its_value_is_refused() -> None:
    nodes = [node("d", DECIDER, prompt="x"), node("s", "store", text="x")]
    links = [link("s.text", "d.last_tool_output"), link("d.conversations", "d.conversation_history")]
    assert only(agent(nodes, links), "tool_loop", for_run=True).severity == "error"


def test_a_constant_over_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_checks, "MAX_VALUE", 100)
    assert problems(agent([node("t", "text", text="x" * 90)]), "value_too_large") == []
    assert only(agent([node("t", "text", text="ü" * 60)]), "value_too_large").severity == "error"


def test_an_agent_with_countless_problems_is_refused_even_if_they_are_warnings() -> None:
    found = validate(agent([node(f"n{number}", "nobody") for number in range(3000)]), REGISTRY, for_run=False)
    assert len(found) == MAX_PROBLEMS + 1
    assert (found[0].severity, found[0].code) == ("error", "too_many_problems")


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12))
def test_nodes_on_cycles_are_those_that_reach_themselves(links: list[tuple[int, int]]) -> None:
    following = {str(node): [str(sink) for source, sink in links if source == node] for node in range(7)}
    assert on_cycles(following) == {node for node in following if node in reachable(following[node], following)}


@given(GRAPHS, st.lists(GRAPHS, max_size=2), st.booleans())
def test_any_agent_can_be_validated(main: dict[str, Any], below: list[dict[str, Any]], for_run: bool) -> None:
    document = read_agent_file(json.dumps({**main, "sub_graphs": below}).encode(), name="a.json")
    for problem in validate(document, REGISTRY, for_run=for_run):
        assert problem.message
        assert problem.fix
        assert problem.graph in {graph.id for graph in document.graphs}


def test_real_exports_are_only_warned_about_missing_blocks(shared: Path) -> None:
    for path in sorted((shared / "agents").glob("*.json")):
        document = read_agent_file(path.read_bytes(), name=path.name)
        assert not has_errors(validate(document, REGISTRY, for_run=False)), path.name
