"""From an agent to the bytes of an agent file: without secrets, and the same bytes for the same agent."""

import json
from collections.abc import Mapping
from typing import Any

from treadle.base.ids import BlockId
from treadle.features.graphs.document import AgentFile, GraphPart, NodePart, PolicyPart, Values
from treadle.features.graphs.importer import AGENT_EXECUTOR, is_static_source
from treadle.features.graphs.secret_places import SCHEMAS, is_secret_name, secret_inputs_of, without_secret_defaults
from treadle.sdk.block import Block, BlockKind
from treadle.sdk.registry import Registry


def export_agent(agent: AgentFile, registry: Registry) -> bytes:
    """The agent file of ``agent``: JSON with one value a line and keys in a fixed order, so that changes show in git.

    Secrets are left out (``without_secrets``). Reading the file again gives the same graphs.
    """
    clean = without_secrets(agent, registry)
    document = _graph(clean, registry)
    document["sub_graphs"] = [_graph(graph, registry) for graph in clean.sub_graphs]
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def without_secrets(agent: AgentFile, registry: Registry) -> AgentFile:
    """A copy that may be given to anybody: no secret constants, credentials, or owner's id."""
    copy = agent.model_copy(deep=True)
    secret_inputs = {id: set().union(*map(secret_inputs_of, graphs)) for id, graphs in copy.by_id().items()}
    for graph in copy.graphs:
        for node in graph.nodes:
            block = registry.get(BlockId(node.block_id))
            child = secret_inputs.get(str(node.input_default.get("graph_id")), set())
            node.input_default = _public_constants(node, block, child)
            node.metadata = _public(node.metadata)
            node.policy.fallback = _public(node.policy.fallback)
    return copy


def _public_constants(node: NodePart, block: Block | None, secret_child_inputs: set[str]) -> Values:
    pins = block.reader.pins if block else {}
    kept: Values = {}
    for name, value in node.input_default.items():
        pin = pins.get(name)
        number = isinstance(value, (int, float))
        if (pin and pin.secret) or name in secret_child_inputs:
            continue
        if pin and number:  # ``max_tokens`` and the like: declared, not secret, and no text
            kept[name] = value
        elif node.block_id == AGENT_EXECUTOR and name in SCHEMAS:
            kept[name] = without_secret_defaults(value)
        elif not is_secret_name(name) or isinstance(value, bool):
            kept[name] = _public_value(value)
    if _is_input(block) and node.input_default.get("secret") is True:
        kept.pop("value", None)
    if node.block_id == AGENT_EXECUTOR:
        _strip_child(kept, secret_child_inputs)
    return kept


def _is_input(block: Block | None) -> bool:
    return block is None or block.kind is BlockKind.INPUT


def _strip_child(constants: Values, secret_inputs: set[str]) -> None:
    """The owner of a sub-agent, and values for its secret inputs, stay at home."""
    if "user_id" in constants:
        constants["user_id"] = ""
    inputs = constants.get("inputs")
    if isinstance(inputs, dict):
        constants["inputs"] = {name: value for name, value in inputs.items() if name not in secret_inputs}


def _public(values: Mapping[str, Any]) -> Values:
    return {
        name: _public_value(value)
        for name, value in values.items()
        if not is_secret_name(name) or isinstance(value, bool)
    }


def _public_value(value: Any) -> Any:
    if isinstance(value, dict):
        return _public(value)
    return [_public_value(item) for item in value] if isinstance(value, list) else value


def _graph(graph: GraphPart, registry: Registry) -> dict[str, Any]:
    blocks = {node.id: registry.get(BlockId(node.block_id)) for node in graph.nodes}
    document = graph.model_dump(exclude={"nodes", "links", "sub_graphs"})
    document["nodes"] = [_node(node) for node in graph.nodes]
    document["links"] = [
        {**link.model_dump(exclude_none=True), "is_static": is_static_source(blocks.get(link.source_id))}
        for link in graph.links
    ]
    return document


def _node(node: NodePart) -> dict[str, Any]:
    """Constants by name; the order inside their values is theirs. A policy appears when somebody changed it."""
    document: dict[str, Any] = {
        "id": node.id,
        "block_id": node.block_id,
        "input_default": dict(sorted(node.input_default.items())),
        "metadata": dict(sorted(node.metadata.items())),
    }
    if node.policy != PolicyPart():
        document["policy"] = node.policy.model_dump(exclude_defaults=True)
    return document
