"""Secrets in agents: encrypted wherever they may be, shown as three stars, and put back where they were."""

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.features.graphs.samples import CHILD, INPUT, NUMBER, REGISTRY, agent, node
from treadle.base.ids import LOCAL_WORKSPACE, WorkspaceId
from treadle.engine.secrets import MASK, is_sealed
from treadle.features.graphs.document import AgentFile
from treadle.features.graphs.exporter import export_agent
from treadle.features.graphs.secret_values import holds_masks, put_back, seal_secrets, secret_inputs_by_id, shown
from treadle.features.graphs.validation import validate
from treadle.sdk.registry import Registry

CANARY = "do-not-tell-5517"


class Reversible:
    """Seals that a test can read."""

    def sealed(self, workspace: WorkspaceId, text: str) -> str:
        encoded = base64.urlsafe_b64encode(b"0123456789abcdef" + text.encode()).decode().rstrip("=")
        return f"treadle-secret.{encoded}."

    def opened(self, workspace: WorkspaceId, token: str) -> str | None:
        raise NotImplementedError


def sealed(document: AgentFile, registry: Registry = REGISTRY) -> AgentFile:
    copy = document.model_copy(deep=True)
    for graph in copy.graphs:
        seal_secrets(graph, registry, secret_inputs_by_id(copy.graphs), Reversible(), LOCAL_WORKSPACE)
    return copy


def dumped(document: AgentFile) -> str:
    return document.model_dump_json()


@pytest.mark.parametrize("registry", [Registry([]), REGISTRY], ids=["no blocks", "some blocks"])
@pytest.mark.parametrize(
    "constants",
    [
        {"api_key": CANARY},
        {"api_key_#_part": CANARY},
        {"values": {"X-Api-Key": CANARY, "plain": 1}},
        {"values_#_password": CANARY},
        {"values": {"headers": [{"Authorization": f"Bearer {CANARY}"}]}},
        {"values": {"a": {"Access_Token": [CANARY, {"deep": CANARY}]}}},
        {"openai_credentials": {"key": CANARY}},
    ],
)
def test_a_secret_is_encrypted_shown_as_stars_and_put_back(constants: dict[str, Any], registry: Registry) -> None:
    document = agent([node("a", "text", text="kept", **constants)])
    kept = sealed(document, registry)
    assert CANARY not in dumped(kept) and is_sealed(kept.nodes[0].input_default)
    assert dumped(sealed(kept, registry)) == dumped(kept), "sealing twice is sealing once"
    public = shown(kept, registry)
    assert MASK in dumped(public) and not is_sealed(public.nodes[0].input_default) and CANARY not in dumped(public)
    assert public.nodes[0].input_default["text"] == "kept" and holds_masks(public) and not holds_masks(kept)
    put_back(public, kept, registry, {})
    assert dumped(public) == dumped(kept)


def test_stars_without_an_earlier_secret_are_no_value() -> None:
    document = agent([node("new", "text", text="kept", api_key=MASK, values={"token": MASK, "plain": MASK})])
    put_back(document, None, REGISTRY, {})
    assert document.nodes[0].input_default == {"text": "kept", "values": {"plain": MASK}}
    put_back(document, agent([node("old", "text", api_key=CANARY)]), REGISTRY, {})
    assert CANARY not in dumped(document)


def test_what_is_no_secret_stays_as_it_is() -> None:
    constants = {"text": "token password", "times": 3, "max_tokens": 400, "secret": False, "api_key": None, "mode": "x"}
    document = agent([node("a", "text", **constants, values={"max_tokens": 7, "use_token": True})])
    assert dumped(sealed(document)) == dumped(document) == dumped(shown(document, REGISTRY))


def test_secret_inputs_of_the_agent_and_of_those_that_it_runs() -> None:
    below = {"id": "below", "nodes": [node("i", INPUT, name="door", value=CANARY, secret=True)]}
    schema = {"properties": {"door": {"secret": True, "default": CANARY}}}
    nodes = [
        node("a", CHILD, graph_id="below", inputs={"door": CANARY, "hall": "open"}, door=CANARY, input_schema=schema)
        | {"metadata": {"token": CANARY, "position": {"x": 1}}, "policy": {"fallback": {"secret": CANARY, "b": "c"}}},
        node("open", INPUT, name="window", value="open"),
    ]
    kept = sealed(agent(nodes, sub_graphs=[below]))
    assert CANARY not in dumped(kept) and dumped(kept).count("treadle-secret.") == 5
    assert kept.nodes[0].input_default["inputs"]["hall"] == "open"  # type: ignore[index, call-overload]
    assert kept.nodes[0].policy.fallback["b"] == "c" and kept.nodes[1].input_default["value"] == "open"
    assert CANARY not in dumped(shown(kept, REGISTRY)) and b"treadle-secret." not in export_agent(kept, REGISTRY)


def test_an_encrypted_value_is_not_checked_against_its_pins_type() -> None:
    nodes = [node("n", NUMBER, name="pin", value="4711", secret=True), node("t", "text", text="x", api_key=CANARY)]
    found = validate(sealed(agent(nodes)), REGISTRY, for_run=True)
    assert [each for each in found if each.code == "bad_constant"] == []


def test_a_secret_of_a_wrong_type_is_not_quoted() -> None:
    found = validate(agent([node("n", NUMBER, name="pin", value=CANARY, secret=True)]), REGISTRY, for_run=True)
    assert [each.pin for each in found if each.code == "bad_constant"] == ["value"] and CANARY not in str(found)


NAMES = st.sampled_from(["text", "values", "Api-Key", "values_#_token", "note", "a", "password", "api_key"])
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@given(constants=st.dictionaries(NAMES, VALUES, max_size=5), known=st.booleans())
def test_showing_and_saving_again_changes_no_agent(constants: dict[str, Any], known: bool) -> None:
    registry = REGISTRY if known else Registry([])
    kept = sealed(agent([node("a", "text", **constants)]), registry)
    public = shown(kept, registry)
    assert "treadle-secret." not in dumped(public)
    put_back(public, kept, registry, {})
    assert dumped(sealed(public, registry)) == dumped(kept)
