"""The computed schemas, against the reference's own, and the binding of run inputs."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

import treadle.blocks.catalogue
import treadle.integrations.catalogue
from tests.features.graphs.samples import DECIDER, INPUT, NUMBER, OUTPUT, REGISTRY, agent, link, node
from treadle.features.graphs.credential_needs import credential_needs, credentials_input_schema
from treadle.features.graphs.reader import read_agent_file
from treadle.features.graphs.schemas import BadRunInputs, input_schema, output_schema, run_inputs
from treadle.sdk.registry import Registry

BUILT_IN = Registry([*treadle.blocks.catalogue.ALL_BLOCKS, *treadle.integrations.catalogue.ALL_BLOCKS])


def test_the_input_schema_says_what_the_nodes_say() -> None:
    nodes = [
        node("a", INPUT, name="Topic", title="The topic", description="About what", advanced=True),
        node("b", INPUT, name="Tone", value="dry", placeholder_values=["dry", "warm"], advanced=True),
        node("c", NUMBER, name="Count", value=3, secret=True),
        node("d", INPUT),
    ]
    assert input_schema(agent(nodes), REGISTRY) == {
        "type": "object",
        "properties": {
            "Topic": {"secret": False, "advanced": False, "title": "The topic", "description": "About what"},
            "Tone": {"secret": False, "advanced": True, "title": "Tone", "default": "dry", "enum": ["dry", "warm"]},
            "Count": {
                "anyOf": [{"type": "integer"}, {"type": "null"}],
                "secret": True,
                "advanced": False,
                "title": "Count",
            },
        },
        "required": ["Topic"],
    }


def test_the_output_schema_requires_every_output() -> None:
    schema = output_schema(agent([node("a", OUTPUT, name="Text"), node("b", OUTPUT, name="Tags")]), REGISTRY)
    assert schema["required"] == ["Text", "Tags"]


def test_of_two_inputs_with_one_name_the_later_counts() -> None:
    schema = input_schema(agent([node("a", INPUT, name="x"), node("b", INPUT, name="x", value=1)]), REGISTRY)
    assert (schema["properties"]["x"]["default"], schema["required"]) == (1, [])


RUN = agent(
    [node("a", INPUT, name="Topic"), node("b", NUMBER, name="Count", value=3), node("c", NUMBER, name="Count")],
)


def test_run_inputs_reach_the_nodes_of_their_name() -> None:
    assert run_inputs(RUN, REGISTRY, {"Topic": "cats", "Count": 5}) == {
        "a": {"value": "cats"},
        "b": {"value": 5},
        "c": {"value": 5},
    }


def test_an_input_with_a_value_may_be_left_out_or_null() -> None:
    document = agent([node("b", NUMBER, name="Count", value=3)])
    assert run_inputs(document, REGISTRY, {}) == {}
    assert run_inputs(document, REGISTRY, {"Count": None}) == {}


def test_an_input_whose_value_is_linked_may_be_left_out() -> None:
    document = agent([node("a", INPUT, name="x", value=1), node("b", INPUT, name="y")], [link("a.result", "b.value")])
    assert run_inputs(document, REGISTRY, {}) == {}


def test_all_wrong_inputs_are_told_at_once() -> None:
    with pytest.raises(BadRunInputs) as caught:
        run_inputs(RUN, REGISTRY, {"topic": "cats", "Count": [], "zzz": 1})
    assert caught.value.problems.keys() == {"topic", "Topic", "Count", "zzz"}
    assert "did you mean “Topic”?" in caught.value.problems["topic"]
    assert "has no value" in caught.value.problems["Topic"]
    assert caught.value.problems["zzz"] == "the agent has no input “zzz”"
    assert "it has: Count, Topic" in caught.value.fix


def test_a_wrong_value_of_a_secret_input_is_not_repeated() -> None:
    document = agent([node("b", NUMBER, name="Pin", secret=True)])
    with pytest.raises(BadRunInputs) as caught:
        run_inputs(document, REGISTRY, {"Pin": "canary-77"})
    assert "canary-77" not in caught.value.message


def test_credentials_are_grouped_by_provider_and_kind() -> None:
    nodes = [
        node("m", "mail"),
        node("n", "mailbox") | {"metadata": {"credentials_optional": True}},
        node("a", DECIDER),
        node("b", DECIDER, model="large-a"),
        node("c", DECIDER, model="small-b") | {"metadata": {"credentials_optional": True}},
    ]
    below = {"id": "below", "nodes": [node("x", "mailbox")]}
    document = agent(nodes, name="My mail bot", sub_graphs=[below])
    schema = credentials_input_schema(document, REGISTRY)
    mail = schema["properties"]["mail_api_key-oauth2_credentials"]
    assert list(schema["properties"]) == [
        "mail_api_key-oauth2_credentials",
        "maker-a_api_key_credentials",
        "maker-b_api_key_credentials",
    ]
    assert schema["required"] == ["mail_api_key-oauth2_credentials", "maker-a_api_key_credentials"]
    assert schema["title"] == "MyMailBotCredentialsInputSchema"
    assert (mail["credentials_scopes"], mail["properties"]["type"]["enum"]) == (["read", "send"], ["api_key", "oauth2"])
    assert schema["properties"]["maker-a_api_key_credentials"]["discriminator_values"] == ["large-a", "small-a"]
    uses = {need.key: [(use.graph, use.node) for use in need.uses] for need in credential_needs(document, REGISTRY)}
    assert uses["mail_api_key-oauth2_credentials"] == [("main", "m"), ("main", "n"), ("below", "x")]


AGENTS = [
    "ai-function.json",
    "domain-name-finder.json",
    "flux-image-generator.json",
    "lead-finder.json",
    "linkedin-post-generator.json",
    "webpage-copy-improver.json",
    "youtube-transcript.json",
]


@pytest.mark.parametrize("name", AGENTS)
def test_computed_schemas_are_those_of_the_reference(shared: Path, name: str) -> None:
    data = (shared / "agents" / name).read_bytes()
    raw = json.loads(data)
    document = read_agent_file(data, name=name)
    assert input_schema(document, BUILT_IN) == raw["input_schema"]
    assert output_schema(document, BUILT_IN) == raw["output_schema"]


def test_recorded_schemas_are_matched(shared: Path) -> None:
    recorded = json.loads((shared / "reference/blocks/vectors/shown.json").read_text())["agent_schemas"]
    by_name = {each["name"]: each for each in recorded}
    compared = 0
    for path in sorted((shared / "agents").glob("*.json")):
        document = read_agent_file(path.read_bytes(), name=path.name)
        if document.name in by_name:
            compared += 1
            for key, schema in (("input_schema", input_schema), ("output_schema", output_schema)):
                assert _hashed(schema(document, BUILT_IN), by_name[document.name][key]) == by_name[document.name][key]
    assert compared == 2


def _hashed(value: Any, recorded: Any) -> Any:
    """``value`` with its texts in the form of the record, which keeps length and hash of long ones."""
    if isinstance(recorded, dict) and "$text" in recorded and isinstance(value, str):
        return {"$text": {"length": len(value), "sha256": hashlib.sha256(value.encode()).hexdigest()}}
    if isinstance(recorded, dict) and isinstance(value, dict):
        return {key: _hashed(item, recorded.get(key)) for key, item in value.items()}
    return value


@pytest.mark.parametrize("name", AGENTS)
def test_credentials_keys_are_those_of_the_reference(shared: Path, name: str) -> None:
    data = (shared / "agents" / name).read_bytes()
    expected = json.loads(data)["credentials_input_schema"]
    actual = credentials_input_schema(read_agent_file(data, name=name), BUILT_IN)
    assert actual["title"] == expected["title"]
    assert actual["properties"].keys() == expected["properties"].keys()
    assert set(actual["required"]) <= set(expected["required"]), "blocks may do without where the reference does not"
