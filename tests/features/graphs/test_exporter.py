"""Exports: no secrets, the same bytes each time, and the same graph when read again."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.features.graphs.samples import CHILD, INPUT, REGISTRY, agent, link, node
from tests.features.graphs.test_reader import AGENT_COUNTS
from treadle.features.graphs.exporter import export_agent, without_secrets
from treadle.features.graphs.importer import import_agent
from treadle.features.graphs.reader import read_agent_file
from treadle.features.graphs.secret_places import is_secret_name
from treadle.sdk.registry import Registry

CANARY = "do-not-tell-5517"


@pytest.mark.parametrize("registry", [Registry([]), REGISTRY], ids=["no blocks", "some blocks"])
@pytest.mark.parametrize("name", AGENT_COUNTS)
def test_real_exports_come_back_the_same(shared: Path, name: str, registry: Registry) -> None:
    first = read_agent_file((shared / "agents" / name).read_bytes(), name=name)
    again = read_agent_file(export_agent(first, registry), name=name)
    public = without_secrets(first, registry)
    assert import_agent(again, registry).main == import_agent(public, registry).main
    assert export_agent(again, registry) == export_agent(first, registry)
    assert [(link.id, link.ends) for link in again.links] == [(link.id, link.ends) for link in first.links]


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


def test_static_links_are_written_as_their_block_says() -> None:
    links = [link("i.result", "t.text") | {"is_static": False}, link("t.text", "t.text") | {"is_static": True}]
    document = agent([node("i", INPUT, name="x"), node("t", "text")], links)
    written = json.loads(export_agent(document, REGISTRY))["links"]
    assert [each["is_static"] for each in written] == [True, False]


def test_one_changed_constant_changes_one_line() -> None:
    def lines(times: int) -> list[str]:
        return export_agent(agent([node("a", "text", text="x", times=times)]), REGISTRY).decode().splitlines()

    changed = [(old, new) for old, new in zip(lines(1), lines(2), strict=True) if old != new]
    assert [(old.strip(), new.strip()) for old, new in changed] == [('"times": 1', '"times": 2')]


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
    ),
    max_size=4,
)
LINKS = st.lists(
    st.fixed_dictionaries({"source_id": NAMES, "source_name": NAMES, "sink_id": NAMES, "sink_name": NAMES}), max_size=4
)
GRAPHS = st.fixed_dictionaries({"nodes": NODES, "links": LINKS}, optional={"id": NAMES, "description": st.text()})


@given(GRAPHS, st.lists(GRAPHS, max_size=2))
def test_any_agent_is_the_same_after_two_trips(main: dict[str, Any], below: list[dict[str, Any]]) -> None:
    first = read_agent_file(json.dumps({**main, "sub_graphs": below}).encode(), name="a.json")
    exported = export_agent(first, REGISTRY)
    again = read_agent_file(exported, name="a.json")
    assert export_agent(again, REGISTRY) == exported
    assert import_agent(again, REGISTRY).main == import_agent(without_secrets(first, REGISTRY), REGISTRY).main
