"""From an agent file to the graphs that the engine runs, with a report of what the file said and we did not take."""

from collections.abc import Callable
from dataclasses import dataclass, field

from treadle.base.ids import BlockId, GraphId, NodeId
from treadle.features.graphs.document import AgentFile, GraphPart, version_of
from treadle.features.graphs.known_blocks import known_block_name
from treadle.kernel.graph import Graph, Link, Node
from treadle.sdk.registry import Registry

AGENT_EXECUTOR = BlockId("e189baac-8c20-45a1-94a7-55177ea42565")
"""The block that runs another agent; its constants name the graph."""
FOR_EACH = BlockId("6e1444a9-0576-4866-a61e-2b16ed5d2b85")
"""The block that runs another agent for each element of a list."""
SUB_AGENT_BLOCKS = frozenset({AGENT_EXECUTOR, FOR_EACH})
"""Blocks whose constant ``graph_id`` names an agent."""


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What a person should know after an import. Nothing in it stops the agent from being shown and edited."""

    notes: tuple[str, ...] = ()
    """Oddities of the file itself: unknown keys, mended text, duplicates."""
    missing_blocks: dict[str, str] = field(default_factory=dict)
    """Blocks that this install does not have: id -> name, empty when nobody knows it."""
    disabled_blocks: dict[str, str] = field(default_factory=dict)
    """Blocks that may not run here: name -> why."""
    missing_agents: dict[str, str] = field(default_factory=dict)
    """Sub-agents that the file does not hold: graph id -> name."""


def to_graph(graph: GraphPart) -> Graph:
    """One graph as the kernel reads it. Of links with the same ends one is kept, as the reference does."""
    nodes = tuple(
        Node(
            id=NodeId(node.id),
            block_id=BlockId(node.block_id),
            constants=node.input_default,
            policy=node.policy.to_kernel(),
            metadata=node.metadata,
        )
        for node in graph.nodes
    )
    ends = dict.fromkeys(link.ends for link in graph.links)
    links = tuple(Link(NodeId(source), pin, NodeId(sink), to) for source, pin, sink, to in ends)
    return Graph(GraphId(graph.id), graph.version, nodes, links, graph.name)


def import_report(agent: AgentFile, registry: Registry) -> ImportReport:
    """What of the file this install does not have, or has taken otherwise than it says."""
    used = [node for graph in agent.graphs for node in graph.nodes]
    blocks = {node.block_id: registry.get(BlockId(node.block_id)) for node in used}
    inside = {graph.id for graph in agent.graphs}
    children = [node.input_default for node in used if node.block_id in SUB_AGENT_BLOCKS]
    return ImportReport(
        notes=(*agent.notes, *_duplicate_links(agent)),
        missing_blocks={id: known_block_name(id) for id, block in blocks.items() if block is None},
        disabled_blocks={block.name: block.disabled for block in blocks.values() if block and block.disabled},
        missing_agents={
            str(child["graph_id"]): str(child.get("agent_name") or "")
            for child in children
            if child.get("graph_id") and str(child["graph_id"]) not in inside
        },
    )


def with_new_ids(agent: AgentFile, new_id: Callable[[], str]) -> AgentFile:
    """A copy in which every graph has a fresh id and version 1, and sub-agent nodes name the new ids.

    Node ids stay: they need to be distinct only within a graph.
    """
    copy = agent.model_copy(deep=True)
    known = copy.by_id()
    fresh = {id(graph): new_id() for graph in copy.graphs}
    for graph in copy.graphs:
        for node in graph.nodes:
            child = node.input_default.get("graph_id")
            if node.block_id in SUB_AGENT_BLOCKS and isinstance(child, str) and child in known:
                called = version_of(known[child], node.input_default.get("graph_version"))
                node.input_default |= {"graph_id": fresh[id(called)], "graph_version": 1}
    for graph in copy.graphs:
        graph.id, graph.version = fresh[id(graph)], 1
    return copy


def _duplicate_links(agent: AgentFile) -> list[str]:
    extra = sum(len(graph.links) - len({link.ends for link in graph.links}) for graph in agent.graphs)
    return [f"{extra} links were given more than once; each counts once"] if extra else []
