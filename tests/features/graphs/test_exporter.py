"""Exports: no secrets, the same bytes each time, and the same graph when read again."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.features.graphs.samples import CHILD, INPUT, REGISTRY, agent, link, node
from tests.features.graphs.test_reader import AGENT_COUNTS
from treadle.features.graphs.document import AgentFile
from treadle.features.graphs.exporter import export_agent, without_secrets
from treadle.features.graphs.reader import read_agent_file
from treadle.features.graphs.secret_places import is_secret_name
from treadle.sdk.registry import Registry

CANARY = "do-not-tell-5517"


@pytest.mark.parametrize("registry", [Registry([]), REGISTRY], ids=["no blocks", "some blocks"])
@pytest.mark.parametrize("name", AGENT_COUNTS)
def test_real_exports_come_back_the_same(shared: Path, name: str, registry: Registry) -> None:
    first = read_agent_file((shared / "agents" / name).read_bytes(), name=name)
    again = read_agent_file(export_agent(first, registry), name=name)
    assert _said(again) == _said(without_secrets(first, registry))
    assert export_agent(again, registry) == export_agent(first, registry)


def _said(agent: AgentFile) -> list[dict[str, Any]]:
    """What an agent file says, without what each install numbers and computes for itself."""
    found = []
    for graph in [agent, *sorted(agent.sub_graphs, key=lambda graph: (graph.id, graph.version))]:
        document = graph.model_dump(mode="json", exclude={"version", "is_active", "sub_graphs"})
        for each in document["nodes"]:
            each["input_default"].pop("graph_version", None)
        for each in document["links"]:
            del each["is_static"]
        found.append(document)
    return found


@pytest.mark.parametrize(
    "constants",
    [
        {"api_key": CANARY},
        {"credentials": {"id": CANARY, "provider": "x", "type": "api_key"}},
        {"values": {"X-Api-Key": CANARY}},
        {"values": {"headers": [{"Authorization": CANARY}]}},
        {"values": {"a": {"Access_Token": [CANARY]}}},
        {"openai_credentials": CANARY},
        {"user_password": 12345, "text": "kept"},
    ],
)
def test_secrets_of_a_node_are_left_out(constants: dict[str, Any]) -> None:
    text = export_agent(agent([node("a", "text", **constants)]), REGISTRY).decode()
    assert CANARY not in text
    assert "12345" not in text


def test_a_pin_that_its_block_calls_secret_is_left_out_whatever_its_name() -> None:
    keys = agent([node("a", "text", api_key=CANARY, text="kept")])
    assert json.loads(export_agent(keys, REGISTRY))["nodes"][0]["input_default"] == {"text": "kept"}


def test_a_secret_input_loses_its_value_here_and_where_it_runs_as_a_sub_agent() -> None:
    below = {"id": "below", "nodes": [node("i", INPUT, name="door", value=CANARY, secret=True)]}
    properties = {"door": {"secret": True, "default": CANARY}, "api_key": {"default": CANARY, "type": "string"}}
    nodes = [
        node("a", CHILD, graph_id="below", user_id=CANARY, inputs={"door": CANARY, "hall": 1}, door=CANARY)
        | {"metadata": {"token": CANARY, "position": {"x": 1, "y": 2}}, "policy": {"fallback": {"secret": CANARY}}},
        node("b", CHILD, graph_id="below", input_schema={"properties": properties, "required": ["door"]}),
    ]
    text = export_agent(agent(nodes, sub_graphs=[below]), REGISTRY).decode()
    assert CANARY not in text
    document = json.loads(text)
    assert document["nodes"][0]["input_default"]["inputs"] == {"hall": 1}
    assert document["nodes"][0]["metadata"] == {"position": {"x": 1, "y": 2}}
    assert document["nodes"][1]["input_default"]["input_schema"]["properties"].keys() == {"door", "api_key"}
    assert document["sub_graphs"][0]["nodes"][0]["input_default"] == {"name": "door", "secret": True}


def test_what_only_sounds_secret_is_kept() -> None:
    document = agent([node("a", "text", times=3, values={"secret": True, "keyboard": "qwerty"})])
    constants = json.loads(export_agent(document, REGISTRY))["nodes"][0]["input_default"]
    assert constants == {"times": 3, "values": {"secret": True, "keyboard": "qwerty"}}
    assert is_secret_name("Set-Cookie")
    assert not is_secret_name("keyword")


def _lines(document: AgentFile) -> list[str]:
    return export_agent(document, REGISTRY).decode().splitlines()


def _changes(before: AgentFile, after: AgentFile) -> list[tuple[str, str]]:
    pairs = zip(_lines(before), _lines(after), strict=True)
    return [(old.strip(), new.strip()) for old, new in pairs if old != new]


def test_one_changed_constant_changes_one_line() -> None:
    before, after = (agent([node("a", "text", text="x", times=times)], version=times) for times in (1, 2))
    assert _changes(before, after) == [('"times": 1', '"times": 2')]


def test_a_change_in_a_sub_agent_changes_one_line_though_both_have_new_versions() -> None:
    def version(number: int) -> AgentFile:
        below = {"id": "below", "version": number + 4, "nodes": [node("t", "text", times=number)]}
        nodes = [node("a", CHILD, graph_id="below", graph_version=number + 4)]
        return agent(nodes, version=number + 7, sub_graphs=[below])

    assert _changes(version(1), version(2)) == [('"times": 1', '"times": 2')]


def test_two_versions_of_a_sub_agent_are_told_apart_by_small_numbers() -> None:
    below = [{"id": "below", "version": number, "nodes": [node("t", "text", times=number)]} for number in (9, 4)]
    nodes = [node(f"n{number}", CHILD, graph_id="below", graph_version=number) for number in (9, 4)]
    document = json.loads(export_agent(agent(nodes, sub_graphs=below), REGISTRY))
    assert [each["input_default"]["graph_version"] for each in document["nodes"]] == [2, 1]
    versions = [(each["version"], each["nodes"][0]["input_default"]["times"]) for each in document["sub_graphs"]]
    assert versions == [(1, 4), (2, 9)]


def test_a_sub_agent_that_is_elsewhere_keeps_its_version() -> None:
    document = json.loads(export_agent(agent([node("a", CHILD, graph_id="elsewhere", graph_version=7)]), REGISTRY))
    assert document["nodes"][0]["input_default"] == {"graph_id": "elsewhere", "graph_version": 7}


def test_keys_are_sorted_and_what_an_install_computes_is_left_out() -> None:
    links = [link("i.result", "t.text") | {"is_static": False}]
    document = agent([node("i", INPUT, value={"b": 1, "a": 2}, name="x"), node("t", "text")], links, version=58)
    text = export_agent(document, REGISTRY).decode()
    written = json.loads(text)
    assert text == json.dumps(written, indent=2, sort_keys=True) + "\n"
    assert set(written) == {"id", "name", "description", "nodes", "links", "sub_graphs"}
    assert set(written["links"][0]) == {"source_id", "source_name", "sink_id", "sink_name"}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(["a", "b", "c", "values_#_k", "result"])
CONSTANTS = st.dictionaries(st.text(max_size=6), VALUES, max_size=3)
POLICIES = st.fixed_dictionaries(
    {},
    optional={
        "timeout": st.floats(allow_nan=False, allow_infinity=False),
        "ordered": st.booleans(),
        "retry": st.fixed_dictionaries({"attempts": st.integers(-5, 5)}),
        "fallback": CONSTANTS,
    },
)
NODES = st.lists(
    st.fixed_dictionaries(
        {"block_id": st.sampled_from([INPUT, "text", CHILD, "nobody"]), "input_default": CONSTANTS},
        optional={"id": NAMES, "metadata": CONSTANTS, "policy": POLICIES},
    )
    | st.fixed_dictionaries(
        {
            "block_id": st.just(CHILD),
            "input_default": st.fixed_dictionaries({"graph_id": NAMES}, optional={"graph_version": st.integers(0, 3)}),
        }
    ),
    max_size=4,
)
LINKS = st.lists(
    st.fixed_dictionaries({"source_id": NAMES, "source_name": NAMES, "sink_id": NAMES, "sink_name": NAMES}), max_size=4
)
GRAPHS = st.fixed_dictionaries(
    {"nodes": NODES, "links": LINKS}, optional={"id": NAMES, "description": st.text(), "version": st.integers(0, 3)}
)


@given(GRAPHS, st.lists(GRAPHS, max_size=2))
def test_any_agent_is_the_same_after_two_trips(main: dict[str, Any], below: list[dict[str, Any]]) -> None:
    first = read_agent_file(json.dumps({**main, "sub_graphs": below}).encode(), name="a.json")
    exported = export_agent(first, REGISTRY)
    again = read_agent_file(exported, name="a.json")
    assert export_agent(again, REGISTRY) == exported
    assert _said(again) == _said(without_secrets(first, REGISTRY))
