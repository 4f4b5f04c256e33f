"""Reading agent files: what is accepted, and how each kind of wrong file is told."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.features.graphs.errors import BadAgentFile
from treadle.features.graphs.json_text import MAX_BYTES
from treadle.features.graphs.reader import MAX_NODES, read_agent_file

AGENT_COUNTS = {
    "ai-function.json": (5, 4),
    "domain-name-finder.json": (23, 39),
    "flux-image-generator.json": (5, 3),
    "lead-finder.json": (34, 39),
    "linkedin-post-generator.json": (22, 26),
    "medium-blogger.json": (5, 5),
    "webpage-copy-improver.json": (6, 6),
    "youtube-transcript.json": (16, 17),
}


def file_of(**keys: Any) -> bytes:
    return json.dumps({"name": "A", "nodes": [{"id": "n", "block_id": "b"}], "links": [], **keys}).encode()


def problem_of(data: bytes) -> BadAgentFile:
    with pytest.raises(BadAgentFile) as caught:
        read_agent_file(data, name="agent.json")
    assert caught.value.message.startswith("agent.json: ")
    assert caught.value.fix
    return caught.value


@pytest.mark.parametrize("name", AGENT_COUNTS)
def test_real_exports_are_read_whole(shared: Path, name: str) -> None:
    data = (shared / "agents" / name).read_bytes()
    agent = read_agent_file(data, name=name)
    assert (len(agent.nodes), len(agent.links)) == AGENT_COUNTS[name]
    assert agent.notes == ()
    raw = json.loads(data)
    assert [node.input_default for node in agent.nodes] == [node["input_default"] for node in raw["nodes"]]
    assert (agent.id, agent.version, agent.description) == (raw["id"], raw["version"], raw["description"])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "the file is empty"),
        (b" \n\t", "the file is empty"),
        (b"PK\x03\x04rest", "a zip archive"),
        (b"\x89PNG\r\n\x1a\n", "a PNG image"),
        (b"%PDF-1.7", "a PDF document"),
        (b"\x1f\x8b\x08", "a gzip archive"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"<?xml version='1.0'?>", "XML or HTML"),
        (b"https://example.com/agent.json", "a link to a file"),
        (b"---\nname: x", "YAML"),
        (b'{"nodes": [', "line 1, column 12: the file ends in the middle"),
        (b'{"nodes": [],\n "links": [}', "line 2, column 12: not valid JSON: expecting value, found '}'"),
        (b"{'nodes': []}", "line 1, column 2: not valid JSON: expecting property name"),
        (b'{"nodes": [1}\xff', "line 1: byte 0xff is not UTF-8 text"),
        (b"[]", "the file holds a list"),
        (b'"text"', "the file holds a text"),
        (b"null", "the file holds null"),
        (b"3", "the file holds a single value"),
        (b'{"links": []}', "there is no list of nodes (the object has: links)"),
        (b'{"nodes": {}}', "`nodes` is not a list"),
        (b'{"nodes": [], "connections": {}}', "n8n workflow"),
        (b'{"nodes": [{"id": "a"}]}', "nodes[0].block_id: is missing"),
        (b'{"nodes": [7]}', "nodes[0]: "),
        (b'{"nodes": [{"id": "a", "block_id": "b", "input_default": {"x": NaN}}]}', "nodes[0].input_default.x: nan"),
        (b'{"nodes": [{"id": "a", "block_id": "b", "input_default": {"x": [1e999]}}]}', "x[0]: inf is not a number"),
        (b'{"nodes": [], "links": [{"source_id": "a"}]}', "links[0].source_name: is missing"),
        (b'{"nodes": ' + b"9" * 5000 + b"}", "thousands of digits"),
        (b"[" * 100_000, "nested more than 100 deep"),
        (b'{"nodes": ' + b"[" * 103 + b"]" * 103 + b"}", "nested more than 100 deep"),
    ],
)
def test_each_wrong_file_is_said_as_what_it_is(data: bytes, words: str) -> None:
    assert words in problem_of(data).message


def test_all_wrong_fields_are_told_at_once() -> None:
    data = file_of(nodes=[{"id": "a"}, {"id": 3, "block_id": "b"}], links=[{"source_id": "a"}])
    places = [problem.place for problem in problem_of(data).problems]
    assert places[:2] == ["nodes[0].block_id", "nodes[1].id"]
    assert "links[0].sink_id" in places
    assert len(places) == 5


def test_a_file_over_the_size_limit_is_refused_before_it_is_parsed() -> None:
    assert "MB" in problem_of(b"[" + b" " * MAX_BYTES + b"]").message


def test_too_many_nodes_are_refused() -> None:
    data = file_of(nodes=[{"block_id": "b"}] * (MAX_NODES + 1))
    assert f"may have {MAX_NODES}" in problem_of(data).message


def test_older_files_without_ids_links_or_sub_graphs_are_read() -> None:
    link = {"source_id": "a", "source_name": "x", "sink_id": "b", "sink_name": "y"}
    nodes = [
        {"id": "a", "block_id": "p", "input_default": None, "metadata": None, "output_links": [link]},
        {"id": "b", "block_id": "q", "input_links": [link], "policy": None},
        {"block_id": "r"},
    ]
    data = json.dumps({"nodes": nodes, "description": None, "subgraphs": []}).encode()
    agent = read_agent_file(data, name="Old agent.json")
    assert agent.name == "Old agent"
    assert [each.ends for each in agent.links] == [("a", "x", "b", "y")]
    assert agent.nodes[0].input_default == {}
    assert agent.nodes[2].id
    assert agent.model_dump() == read_agent_file(data, name="Old agent.json").model_dump()


def test_nested_and_renamed_sub_graphs_become_one_flat_list() -> None:
    deepest = {"id": "deepest", "nodes": []}
    below = {"id": "below", "nodes": [], "sub_graphs": [deepest]}
    agent = read_agent_file(file_of(subgraphs={"below": below}), name="a.json")
    assert [graph.id for graph in agent.sub_graphs] == ["below", "deepest"]


def test_sub_graphs_that_are_not_graphs_are_noted() -> None:
    agent = read_agent_file(file_of(subgraphs=["some-id"]), name="a.json")
    assert agent.sub_graphs == []
    assert "`subgraphs`" in agent.notes[0]


def test_the_body_of_an_import_request_is_read_too() -> None:
    data = b'{"graph": {"name": "Inside", "nodes": []}, "source": "upload"}'
    assert read_agent_file(data, name="a.json").name == "Inside"


def test_unknown_keys_are_noted_once_with_a_place() -> None:
    nodes = [{"block_id": "b", "colour": "red", "policy": {"speed": 1}}, {"block_id": "b", "colour": "blue"}]
    agent = read_agent_file(file_of(nodes=nodes, mood="good", user_id="u", input_schema={}), name="a.json")
    places = sorted(note.removeprefix("Not understood and left out: ") for note in agent.notes)
    assert places == ["mood", "nodes[0].colour", "nodes[0].policy.speed"]


def test_what_the_database_cannot_hold_is_mended_and_noted() -> None:
    data = b'{"nodes": [{"block_id": "b", "input_default": {"k\\u0000": "a\\ud800b"}}]}'
    agent = read_agent_file(data, name="a.json")
    assert agent.nodes[0].input_default == {"k\ufffd": "a\ufffdb"}
    assert len(agent.notes) == 2


def test_a_key_given_twice_is_noted_and_the_last_counts() -> None:
    agent = read_agent_file(b'{"nodes": [], "name": "first", "name": "last"}', name="a.json")
    assert agent.name == "last"
    assert "more than once" in agent.notes[0]


def test_notes_are_bounded() -> None:
    nodes = [{"block_id": "b", "input_default": {"x": "\0"}}] * 500
    notes = read_agent_file(file_of(nodes=nodes), name="a.json").notes
    assert len(notes) == 101
    assert notes[-1] == "and 400 more remarks like these"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_other_encodings_of_json_are_read(encoding: str) -> None:
    data = '{"nodes": [], "name": "Grüße"}'.encode(encoding)
    assert read_agent_file(data, name="a.json").name == "Grüße"


def test_policy_is_read_with_its_defaults() -> None:
    node = {"block_id": "b", "policy": {"retry": {"attempts": 3}, "on_error": "fallback", "fallback": {"out": 1}}}
    policy = read_agent_file(file_of(nodes=[node]), name="a.json").nodes[0].policy.to_kernel()
    assert (policy.retry.attempts, policy.retry.max_delay) == (3, 300.0)
    assert (policy.on_error, policy.fallback, policy.timeout) == ("fallback", (("out", 1),), 1800.0)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NODE_KEYS = st.sampled_from(["id", "block_id", "input_default", "metadata", "policy", "input_links", "retry", "x"])
LINK_KEYS = st.sampled_from(["id", "source_id", "source_name", "sink_id", "sink_name", "is_static"])
NODES = st.lists(st.dictionaries(NODE_KEYS, VALUES, max_size=6) | VALUES, max_size=4)
LINKS = st.lists(st.dictionaries(LINK_KEYS, st.just("a") | VALUES, max_size=6) | VALUES, max_size=4)
TOP = st.fixed_dictionaries(
    {"nodes": NODES | VALUES},
    optional={
        "links": LINKS | VALUES,
        "sub_graphs": st.lists(st.fixed_dictionaries({"nodes": NODES | VALUES}), max_size=2) | VALUES,
        "subgraphs": VALUES,
        "graph": VALUES,
        "id": VALUES,
        "name": VALUES,
        "version": VALUES,
        "description": VALUES,
    },
)


@given(TOP)
def test_any_document_is_read_or_refused_with_a_fix(document: dict[str, Any]) -> None:
    data = json.dumps(document).encode()
    try:
        agent = read_agent_file(data, name="a.json")
    except BadAgentFile as error:
        assert error.problems
        assert error.fix
    else:
        assert len(agent.nodes) == len(document["nodes"])


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        read_agent_file(data, name="a.json")
    except BadAgentFile as error:
        assert error.message


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("-0.0", "0.0"),
        ("1e16", "10000000000000000"),
        ("-1.5e300", "-15" + "0" * 299),
        ("1.0", "1.0"),
        ("1e-7", "1e-07"),
    ],
)
def test_numbers_are_read_as_the_database_gives_them_back(written: str, read: str) -> None:
    file = f'{{"nodes": [{{"block_id": "b", "input_default": {{"x": [{written}]}}}}]}}'
    assert json.dumps(read_agent_file(file.encode(), name="a").nodes[0].input_default) == f'{{"x": [{read}]}}'


@pytest.mark.parametrize("value", ["[]", '"",""', '{"":{}}'])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_file_of_millions_of_values_is_refused_before_they_are_made(value: str, encoding: str) -> None:
    text = f'{{"nodes": [], "x": [{",".join([value] * 1_000_001)}]}}'
    with pytest.raises(BadAgentFile, match="more than 1,000,000 values"):
        read_agent_file(text.encode(encoding), name="a.json")
