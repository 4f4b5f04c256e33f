"""What kind of agent a graph makes: whether something outside starts it, and whether people are asked."""

from dataclasses import dataclass

from treadle.base.ids import BlockId
from treadle.features.graphs.document import AgentFile
from treadle.sdk.block import BlockKind
from treadle.sdk.registry import Registry

_TRIGGERS = frozenset((BlockKind.WEBHOOK, BlockKind.WEBHOOK_MANUAL))


@dataclass(frozen=True, slots=True)
class Traits:
    """Told of an agent with its sub-agents; a trigger counts in the main graph only."""

    has_external_trigger: bool
    has_human_in_the_loop: bool
    has_sensitive_action: bool


def traits(agent: AgentFile, registry: Registry) -> Traits:
    """The traits of an agent, as its blocks say; unknown blocks have none."""
    everywhere = {node.block_id for graph in agent.graphs for node in graph.nodes}
    blocks = {id: block for id in everywhere if (block := registry.get(BlockId(id))) is not None}
    own = [blocks[node.block_id] for node in agent.nodes if node.block_id in blocks]
    return Traits(
        has_external_trigger=any(block.kind in _TRIGGERS for block in own),
        has_human_in_the_loop=any(block.kind is BlockKind.HUMAN for block in blocks.values()),
        has_sensitive_action=any(block.sensitive for block in blocks.values()),
    )
