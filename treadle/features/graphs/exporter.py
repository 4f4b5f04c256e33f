"""From an agent to the bytes of an agent file: without secrets, and the same bytes for the same agent."""

import json
from collections.abc import Mapping
from typing import Any

from treadle.base.ids import BlockId
from treadle.features.graphs.document import AgentFile, GraphPart, NodePart, PolicyPart, Values, version_of
from treadle.features.graphs.importer import AGENT_EXECUTOR, SUB_AGENT_BLOCKS
from treadle.features.graphs.secret_places import SCHEMAS, is_secret_name, secret_inputs_of, without_secret_defaults
from treadle.sdk.block import Block, BlockKind
from treadle.sdk.registry import Registry


def export_agent(agent: AgentFile, registry: Registry) -> bytes:
    """The agent file of ``agent``, in a form that version control likes.

    One value a line, keys sorted, nodes and links in the agent's own order (which decides what runs first, and how
    forms are laid out), sub-agents by id. What another install would say differently is left out: the numbers of
    versions, times, and what follows from the blocks. So a change of one value changes one line, and reading the file
    and exporting again gives the same bytes. Secrets are left out too (``without_secrets``).
    """
    clean = without_secrets(agent, registry)
    form = _Form(clean)
    document = form.graph(clean)
    below = sorted(clean.sub_graphs, key=lambda graph: (graph.id, graph.version))
    document["sub_graphs"] = [form.graph(graph) for graph in below]
    return (json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


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


class _Form:
    """How the parts of one agent are written."""

    def __init__(self, agent: AgentFile) -> None:
        self._graphs = agent.by_id()
        self._numbers = {
            id: {version: number for number, version in enumerate(sorted({graph.version for graph in graphs}), 1)}
            for id, graphs in self._graphs.items()
        }

    def graph(self, graph: GraphPart) -> dict[str, Any]:
        """A version has a number only beside other versions of the same graph."""
        left_out = {"version", "is_active", "nodes", "links", "sub_graphs"}
        document = graph.model_dump(exclude=left_out, exclude_none=True)
        numbers = self._numbers[graph.id]
        if len(numbers) > 1:
            document["version"] = numbers[graph.version]
        document["nodes"] = [self._node(node) for node in graph.nodes]
        document["links"] = [link.model_dump(exclude_none=True, exclude={"is_static"}) for link in graph.links]
        return document

    def _node(self, node: NodePart) -> dict[str, Any]:
        """A policy appears when somebody changed it."""
        document: dict[str, Any] = {
            "id": node.id,
            "block_id": node.block_id,
            "input_default": {**node.input_default, **self._called(node)},
            "metadata": node.metadata,
        }
        if node.policy != PolicyPart():
            document["policy"] = node.policy.model_dump(exclude_defaults=True)
        return document

    def _called(self, node: NodePart) -> Values:
        """The version of the sub-agent as the file numbers it; that of one that is not in the file stays."""
        child, version = node.input_default.get("graph_id"), node.input_default.get("graph_version")
        if node.block_id not in SUB_AGENT_BLOCKS or not isinstance(child, str) or child not in self._graphs:
            return {}
        if version is None:  # the active one, wherever that is
            return {}
        called = version_of(self._graphs[child], version)
        return {"graph_version": self._numbers[child][called.version]}
