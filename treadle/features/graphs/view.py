"""A graph of an agent file beside the blocks that it uses: what every check looks things up in."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from treadle.base.ids import BlockId
from treadle.features.graphs.document import AgentFile, GraphPart, LinkPart, NodePart
from treadle.features.graphs.importer import AGENT_EXECUTOR
from treadle.features.graphs.known_blocks import known_block_name
from treadle.kernel.dynamic_pins import base_name
from treadle.sdk.block import Block, BlockKind, title_of
from treadle.sdk.registry import Registry

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with an agent. An error forbids what was asked for (saving or running); a warning does not."""

    severity: Severity
    code: str
    """Stable and machine-readable: ``unknown_pin``."""
    message: str
    fix: str
    graph: str = ""
    node: str = ""
    node_name: str = ""
    pin: str = ""

    @property
    def where(self) -> str:
        """The node and the pin, for a sentence; empty when it is the graph as a whole."""
        return " · ".join(each for each in (self.node_name or self.node, self.pin) if each)


@dataclass(frozen=True)
class GraphView:
    """One graph, its nodes by id, their blocks and their links. Of nodes with one id the first counts."""

    graph: GraphPart
    registry: Registry
    agent: AgentFile
    for_run: bool = False
    schemas: dict[tuple[str, int, str], dict[str, Any]] = field(default_factory=dict)
    """Computed schemas of the agent's graphs, by id, version and kind: made once for all views of an agent."""

    @cached_property
    def graphs(self) -> dict[str, list[GraphPart]]:
        """All graphs of the agent by id."""
        return self.agent.by_id()

    @cached_property
    def nodes(self) -> dict[str, NodePart]:
        """Nodes by id, in the file's order."""
        found: dict[str, NodePart] = {}
        for node in self.graph.nodes:
            found.setdefault(node.id, node)
        return found

    @cached_property
    def blocks(self) -> dict[str, Block | None]:
        """Each node's block; None when this install does not have it."""
        return {id: self.registry.get(BlockId(node.block_id)) for id, node in self.nodes.items()}

    @cached_property
    def links(self) -> list[LinkPart]:
        """Links of which both ends exist, each once."""
        once = {link.ends: link for link in self.graph.links}
        return [link for link in once.values() if link.source_id in self.nodes and link.sink_id in self.nodes]

    @cached_property
    def incoming(self) -> Mapping[str, list[LinkPart]]:
        """Links by the node that they lead to."""
        return _grouped((link.sink_id, link) for link in self.links)

    @cached_property
    def outgoing(self) -> Mapping[str, list[LinkPart]]:
        """Links by the node that they come from."""
        return _grouped((link.source_id, link) for link in self.links)

    def linked_pins(self, node_id: str) -> set[str]:
        """The declared input pins of a node that have a link, dynamic ones by their base name."""
        return {base_name(link.sink_name) for link in self.incoming.get(node_id, ())}

    def kind(self, node_id: str) -> BlockKind:
        """The role of a node; unknown blocks count as standard ones."""
        block = self.blocks[node_id]
        return block.kind if block else BlockKind.STANDARD

    def nodes_of(self, kind: BlockKind) -> list[NodePart]:
        """The nodes whose block has this role, in the file's order."""
        return [node for node in self.graph.nodes if self.kind(node.id) is kind]

    @cached_property
    def starts(self) -> list[str]:
        """Nodes that fire when a run begins: inputs, and whatever has no incoming link; notes never do."""
        return [
            id
            for id in self.nodes
            if self.kind(id) is not BlockKind.NOTE and (self.kind(id) is BlockKind.INPUT or not self._fed(id))
        ]

    def _fed(self, node_id: str) -> set[str]:
        """The pins of a node that wait for other nodes: linked, and not for its own results to come back."""
        block = self.blocks.get(node_id)
        return self.linked_pins(node_id) - set(block.loop_pins if block else ())

    def title(self, node: NodePart) -> str:
        """What people call the node: its own name, its agent's, or its block's."""
        block = self.registry.get(BlockId(node.block_id))
        child = node.input_default.get("agent_name") if node.block_id == AGENT_EXECUTOR else None
        named = node.input_default.get("name") if block and block.kind in (BlockKind.INPUT, BlockKind.OUTPUT) else None
        own = node.custom_name or child or (f"{block.title} “{named}”" if block and named else "")
        missing = title_of(known_block_name(node.block_id)) or node.id
        return str(own or (block.title if block else missing))[:200]

    def problem(self, node: NodePart, severity: Severity, code: str, message: str, fix: str, pin: str = "") -> Problem:
        """A problem of this node."""
        return Problem(severity, code, message, fix, self.graph.id, node.id, self.title(node), pin)

    def worse_when_run(self, node: NodePart, code: str, message: str, fix: str, pin: str = "") -> Problem:
        """A problem that only stops a run: an error for a run, a warning for a save."""
        return self.problem(node, "error" if self.for_run else "warning", code, message, fix, pin)


def _grouped(pairs: Iterable[tuple[str, LinkPart]]) -> dict[str, list[LinkPart]]:
    groups: dict[str, list[LinkPart]] = defaultdict(list)
    for key, link in pairs:
        groups[key].append(link)
    return dict(groups)
