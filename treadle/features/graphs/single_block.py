"""A block that is run by itself: the agent of one node as which such a run is recorded.

The agent is not saved. Its id names the block, so that runs of one block are found, limited and counted together.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from treadle.base.errors import Forbidden, NotFound
from treadle.base.ids import BlockId, GraphId, NodeId
from treadle.engine.secrets import is_sealed
from treadle.features.graphs.document import AgentFile, LinkPart, NodePart, Values, version_of
from treadle.features.graphs.importer import AGENT_EXECUTOR
from treadle.features.graphs.schemas import BadRunInputs, output_schema
from treadle.kernel.dynamic_pins import declared_name
from treadle.sdk.block import Block, BlockKind
from treadle.sdk.registry import Registry

NODE = NodeId("block")
"""The node of the block."""
_PREFIX = "block:"
_OUTPUT = BlockId("363ae599-353e-4804-937e-b2ee3cef3da4")


class BlockSwitchedOff(Forbidden):
    """The block may not run on this install."""

    code = "block_switched_off"


def graph_id_of(block: Block) -> GraphId:
    """The id under which runs of the block are recorded."""
    return GraphId(f"{_PREFIX}{block.id}")


def block_named(graph: str, registry: Registry) -> Block | None:
    """The block whose runs are recorded under that id."""
    return registry.get(BlockId(graph.removeprefix(_PREFIX))) if graph.startswith(_PREFIX) else None


def runnable_block(id: BlockId, registry: Registry) -> Block:
    """The block, if it may run by itself.

    Raises:
        NotFound: this install does not have it, or it is a note.
        BlockSwitchedOff: it may not run here.
    """
    block = registry.get(id)
    if block is None or block.kind is BlockKind.NOTE:
        raise NotFound(f"There is no block {id[:100]} that can run.", fix="List the blocks to find its id.")
    if block.disabled:
        raise BlockSwitchedOff(f"The block {block.title} may not run here: {block.disabled}.", fix="Use another block.")
    return block


def agent_of(block: Block, inputs: Values, registry: Registry) -> AgentFile:
    """The agent: a node with these inputs, and an output for each pin but ``error``, which makes the run fail."""
    node = NodePart(id=NODE, block_id=block.id, input_default=inputs)
    agent = AgentFile(id=graph_id_of(block), version=block.version, name=block.title, nodes=[node])
    if block.kind is BlockKind.OUTPUT or registry.get(_OUTPUT) is None:
        return agent
    return _with_outputs(agent, [pin for pin in block.outputs.model_fields if pin != "error"])


def with_child_outputs(agent: AgentFile, registry: Registry) -> AgentFile:
    """The same, with an output for each of the agent that its block runs, if that is among its sub-agents."""
    constants = agent.nodes[0].input_default
    children = agent.by_id().get(str(constants.get("graph_id")))
    if agent.nodes[0].block_id != AGENT_EXECUTOR or not children:
        return agent
    child = version_of(children, constants.get("graph_version"))
    return _with_outputs(agent, output_schema(child, registry)["properties"])


def _with_outputs(agent: AgentFile, pins: Iterable[str]) -> AgentFile:
    sinks = {pin: f"output {pin}" for pin in pins}
    nodes = [NodePart(id=id, block_id=_OUTPUT, input_default={"name": pin}) for pin, id in sinks.items()]
    links = [LinkPart(source_id=NODE, source_name=pin, sink_id=id, sink_name="value") for pin, id in sinks.items()]
    return agent.model_copy(update={"nodes": [*agent.nodes, *nodes], "links": [*agent.links, *links]})


def with_credentials(block: Block, inputs: Mapping[str, Any], credentials: Mapping[str, Any]) -> Values:
    """The inputs, with the references to credentials on their pins.

    Raises:
        BadRunInputs: a name is that of no pin, or of one that takes no credentials.
    """
    known = block.reader.pins
    problems = {
        name: f"the block has no input “{name[:100]}”"
        for name in inputs
        if name not in known and declared_name(name) not in known and not block.dynamic_inputs
    }
    for name in credentials:
        if name not in known or "credentials_provider" not in known[name].schema:
            problems[name] = f"“{name[:100]}” takes no credentials"
    if problems:
        expected = ", ".join(known) or "none at all"
        raise BadRunInputs(problems, fix=f"The block has these inputs: {expected[:500]}.")
    return {**inputs, **credentials}


def split_secrets(values: Values) -> tuple[Values, Values]:
    """Those that hold encrypted secrets, which belong to the plan: the engine looks for secrets there; and the rest."""
    secret = {name: value for name, value in values.items() if is_sealed(value)}
    return secret, {name: value for name, value in values.items() if name not in secret}
