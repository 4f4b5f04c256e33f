"""A plan is a compiled graph version: links resolved to tables, so that the state machine only looks things up.

It is stored with every execution by the hash of its content: recovery, and an upgrade of the code, never compile a
run in flight again.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import msgspec

from treadle.base.errors import BadInput
from treadle.base.ids import BlockId, GraphId, NodeId
from treadle.kernel.dynamic_pins import selectable_from
from treadle.kernel.graph import Graph, Link, Node, NodePolicy

TOOLS_PIN = "tools"
"""Links from this pin make their sink a tool; values reach it only through ``tools_^_{node}_~_{pin}``."""


@dataclass(frozen=True, slots=True)
class BlockFacts:
    """What a plan needs to know about a block."""

    version: int = 1
    work: str = "effect"
    kind: str = "Standard"
    static_output: bool = False
    loop_pins: tuple[str, ...] = ()
    """Pins through which a node's own results come back: a set has a value on all that are linked, or on none."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where a value of an output pin goes."""

    sink: int
    """Index of the node in the plan."""
    pin: str
    static: bool
    source_name: str
    """The link's own name of the source pin; longer than the pin's name when it selects inside the value."""


@dataclass(frozen=True, slots=True)
class PlanNode:
    """One node, ready to run."""

    id: NodeId
    block_id: BlockId
    block_version: int
    kind: str
    work: str
    constants: dict[str, Any]
    policy: NodePolicy
    linked: tuple[str, ...] = ()
    """Input pins with at least one link, in the order of the links."""
    static: tuple[str, ...] = ()
    """Those of ``linked`` that have a static link."""
    loop: tuple[str, ...] = ()
    """Those of ``linked`` through which the node's own results come back: a set has all of them or none."""
    routes: dict[str, tuple[Route, ...]] = field(default_factory=dict)
    """By the emitted pin's name; a link that selects inside a value stands under every name it can select from."""
    tools: dict[str, tuple[Route, ...]] = field(default_factory=dict)
    """Tool links, by the sink node's id."""
    title: str = ""
    """The name that people gave the node."""
    feeds: tuple[int, ...] = ()
    """The Collect nodes that this node can reach, by index."""

    @property
    def collects(self) -> bool:
        return self.kind == "Collect"

    @property
    def handles_errors(self) -> bool:
        linked = any(route.source_name == "error" for route in self.routes.get("error", ()))
        return linked and self.policy.on_error != "fail"


@dataclass(frozen=True)
class Plan:
    """A graph version, compiled."""

    graph_id: GraphId
    graph_version: int
    name: str
    nodes: tuple[PlanNode, ...]
    starts: tuple[int, ...]
    """Nodes that fire when the run begins, by index."""
    collects: tuple[int, ...]

    @cached_property
    def _positions(self) -> dict[NodeId, int]:
        return {node.id: position for position, node in enumerate(self.nodes)}

    def index(self, node: NodeId) -> int:
        """The node's index; KeyError when the plan has no such node."""
        return self._positions[node]

    @cached_property
    def body(self) -> bytes:
        """The plan as JSON; the same plan always gives the same bytes.

        Constants keep the order of their keys: blocks see it, and a recovered run must see the same.
        """
        return msgspec.json.encode(self)

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of ``body``: the plan's name in storage."""
        return hashlib.sha256(self.body).digest()


def decode_plan(body: bytes) -> Plan:
    """The plan whose ``body`` this is."""
    return msgspec.json.decode(body, type=Plan)


def compile_plan(graph: Graph, facts: Callable[[BlockId], BlockFacts]) -> Plan:
    """Compile a graph that has been validated.

    Raises:
        BadInput: a Collect can reach itself, or a link names a node that does not exist.
    """
    known = {node.id: facts(node.block_id) for node in graph.nodes}
    nodes = [node for node in graph.nodes if known[node.id].kind != "Note"]
    index = {node.id: position for position, node in enumerate(nodes)}
    links = [link for link in graph.links if _is_between(link, index, known)]
    collects = tuple(index[node.id] for node in nodes if known[node.id].kind == "Collect")
    before: dict[int, list[int]] = defaultdict(list)
    for link in links:
        before[index[link.sink]].append(index[link.source])
    sources = {collect: _ancestors(collect, before) for collect in collects}
    _refuse_collect_cycles(graph, nodes, sources)
    incoming = _group(links, lambda link: link.sink)
    outgoing = _group(links, lambda link: link.source)
    compiled = tuple(
        _compile_node(
            node,
            known[node.id],
            incoming.get(node.id, []),
            outgoing.get(node.id, []),
            index,
            known,
            tuple(collect for collect in collects if index[node.id] in sources[collect]),
        )
        for node in nodes
    )
    starts = tuple(
        position
        for position, node in enumerate(compiled)
        if node.kind == "Input" or (not set(node.linked) - set(node.loop) and not node.collects)
    )
    return Plan(graph.id, graph.version, graph.name, compiled, starts, collects)


def _is_between(link: Link, index: dict[NodeId, int], known: dict[NodeId, BlockFacts]) -> bool:
    for end in (link.source, link.sink):
        if end not in known:
            raise BadInput(f"A link names the node {end}, which the graph does not have.", fix="Remove the link.")
    return link.source in index and link.sink in index


def _group(links: Iterable[Link], key: Callable[[Link], NodeId]) -> dict[NodeId, list[Link]]:
    groups: dict[NodeId, list[Link]] = defaultdict(list)
    for link in links:
        groups[key(link)].append(link)
    return groups


def _compile_node(
    node: Node,
    facts: BlockFacts,
    incoming: list[Link],
    outgoing: list[Link],
    index: dict[NodeId, int],
    known: dict[NodeId, BlockFacts],
    feeds: tuple[int, ...],
) -> PlanNode:
    routes: dict[str, list[Route]] = defaultdict(list)
    tools: dict[str, list[Route]] = defaultdict(list)
    for link in outgoing:
        route = Route(index[link.sink], link.sink_name, facts.static_output, link.source_name)
        if link.source_name == TOOLS_PIN or link.source_name.startswith(TOOLS_PIN + "_^_"):
            tools[link.sink].append(route)
        if not link.source_name.startswith(TOOLS_PIN + "_^_"):
            for name in selectable_from(link.source_name):
                routes[name].append(route)
    return PlanNode(
        id=node.id,
        block_id=node.block_id,
        block_version=facts.version,
        kind=facts.kind,
        work=facts.work,
        constants=dict(node.constants),
        title=str(node.metadata.get("customized_name") or ""),
        policy=node.policy,
        linked=tuple(dict.fromkeys(link.sink_name for link in incoming)),
        static=tuple(dict.fromkeys(link.sink_name for link in incoming if known[link.source].static_output)),
        loop=tuple(sorted({link.sink_name for link in incoming} & set(facts.loop_pins))),
        routes={name: tuple(each) for name, each in routes.items()},
        tools={name: tuple(each) for name, each in tools.items()},
        feeds=feeds,
    )


def _ancestors(node: int, before: dict[int, list[int]]) -> frozenset[int]:
    """The nodes from which ``node`` can be reached by at least one link."""
    seen: set[int] = set()
    stack = list(before.get(node, ()))
    while stack:
        each = stack.pop()
        if each not in seen:
            seen.add(each)
            stack.extend(before.get(each, ()))
    return frozenset(seen)


def _refuse_collect_cycles(graph: Graph, nodes: list[Node], sources: dict[int, frozenset[int]]) -> None:
    for collect, ancestors in sources.items():
        if collect in ancestors:
            raise BadInput(
                f"In {graph.name or graph.id}, the Collect node {nodes[collect].id} can reach itself: "
                "it would wait for its own result.",
                fix="Collect per group inside a sub-agent, or take the Collect out of the loop.",
            )
