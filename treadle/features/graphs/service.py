"""Agents are saved as immutable graph versions, found again, and made ready to run."""

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from treadle.base.errors import BadInput, NotFound
from treadle.base.ids import BlockId, GraphId, WorkspaceId
from treadle.engine.ports import NoSeals, Seals
from treadle.engine.secrets import sealed, secret_inputs
from treadle.engine.store import Store
from treadle.features.graphs.document import AgentFile, GraphPart
from treadle.features.graphs.importer import SUB_AGENT_BLOCKS, to_graph
from treadle.features.graphs.schemas import input_schema, output_schema, run_inputs
from treadle.features.graphs.storage import GraphStorage
from treadle.features.graphs.validation import validate
from treadle.features.graphs.view import Problem
from treadle.kernel.plan import BlockFacts, Plan, compile_plan
from treadle.sdk.block import BlockKind
from treadle.sdk.registry import Registry

if TYPE_CHECKING:
    from treadle.features.graphs.models import GraphVersion
    from treadle.features.graphs.repository import GraphRepository

_KEPT = 500
"""Compiled graphs that one process remembers."""


class InvalidAgent(BadInput):
    """The agent cannot be saved or run; ``problems`` says everything that is wrong with it."""

    code: ClassVar[str] = "invalid_agent"
    status: ClassVar[int] = 422

    def __init__(self, problems: list[Problem]) -> None:
        errors = [each for each in problems if each.severity == "error"]
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        super().__init__(f"{errors[0].message}{more}", fix=errors[0].fix)
        self.problems = problems


class Graphs:
    """The graphs of an install. Also the engine's source of sub-agents (``treadle.engine.ports.Agents``)."""

    def __init__(self, storage: GraphStorage, store: Store, registry: Registry, seals: Seals | None = None) -> None:
        self._storage = storage
        self._store = store
        self._registry = registry
        self._seals = seals or NoSeals()
        self._compiled: dict[tuple[WorkspaceId, GraphId, int], tuple[GraphPart, Plan]] = {}

    async def save(self, workspace: WorkspaceId, agent: AgentFile) -> "GraphVersion":
        """Save an agent and its sub-agents; a graph that has not changed keeps its version.

        Raises:
            InvalidAgent: it cannot be saved as it is.
        """
        problems = validate(agent, self._registry, for_run=False)
        if any(each.severity == "error" for each in problems):
            raise InvalidAgent(problems)
        versions: dict[str, int] = {}
        async with self._storage.repository(workspace) as repository:
            for graph in _children_first(agent):
                row = await self._save_graph(repository, workspace, graph, versions)
                versions[graph.id] = row.version
        return row

    async def _save_graph(
        self, repository: "GraphRepository", workspace: WorkspaceId, graph: GraphPart, versions: Mapping[str, int]
    ) -> "GraphVersion":
        pinned = _with_versions(graph, versions)
        self._seal_constants(workspace, pinned)
        document = pinned.model_dump(mode="json", exclude={"version", "sub_graphs"})
        digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).digest()
        graph_id = GraphId(graph.id)
        await repository.lock(graph_id)
        newest = await repository.newest(graph_id)
        if newest is not None and newest.digest == digest:
            return newest
        return repository.add(
            id=graph.id,
            version=newest.version + 1 if newest else max(1, graph.version),
            name=graph.name,
            document=document,
            blocks=self._block_versions(graph),
            digest=digest,
        )

    def _seal_constants(self, workspace: WorkspaceId, graph: GraphPart) -> None:
        """Encrypt the values that are typed into secret inputs, where the pin takes a text."""
        for node in graph.nodes:
            block = self._registry.get(BlockId(node.block_id))
            if block is None or block.kind is not BlockKind.INPUT or node.input_default.get("secret") is not True:
                continue
            value = sealed(node.input_default.get("value"), self._seals, workspace)
            if value is not None and not block.reader.problems({"value": value}).get("value"):
                node.input_default["value"] = value

    def _block_versions(self, graph: GraphPart) -> dict[str, int]:
        blocks = (self._registry.get(BlockId(node.block_id)) for node in graph.nodes)
        return {block.id: block.version for block in blocks if block is not None}

    async def get(self, workspace: WorkspaceId, graph: GraphId, version: int | None = None) -> "GraphVersion":
        """A version of a graph, the newest unless said otherwise. Raises ``NotFound``."""
        async with self._storage.repository(workspace) as repository:
            row = await (repository.newest(graph) if version is None else repository.version(graph, version))
        if row is None:
            which = graph if version is None else f"{graph}, version {version}"
            raise NotFound(f"There is no graph {which}.", fix="Import the agent first, with its sub-agents.")
        return row

    async def listed(self, workspace: WorkspaceId, limit: int = 100) -> "list[GraphVersion]":
        """The newest version of every graph."""
        async with self._storage.repository(workspace) as repository:
            return await repository.listed(max(1, min(limit, 500)))

    async def agent(self, workspace: WorkspaceId, graph: GraphId, version: int | None = None) -> AgentFile:
        """A graph with all its sub-agents, as one document."""
        row = await self.get(workspace, graph, version)
        main = AgentFile.model_validate({**row.document, "version": row.version})
        parts: dict[tuple[str, int | None], GraphPart] = {}
        open_parts: list[GraphPart] = [main]
        while open_parts:
            for key in _children(open_parts.pop()):
                if key not in parts and key[0] != main.id:
                    child = await self.get(workspace, GraphId(key[0]), key[1])
                    parts[key] = GraphPart.model_validate({**child.document, "version": child.version})
                    open_parts.append(parts[key])
        return main.model_copy(update={"sub_graphs": list(parts.values())})

    # ---- the engine's port ----------------------------------------------------------------------------------------

    async def prepare(
        self, workspace: WorkspaceId, graph: GraphId, version: int | None, inputs: Mapping[str, Any]
    ) -> tuple[Plan, dict[int, dict[str, Any]]]:
        """The stored plan of a graph, and what each of its starting nodes is given.

        Raises:
            NotFound: no such graph.
            BadRunInputs: an input is missing, unknown or of a wrong type.
        """
        part, plan = await self._compile(workspace, graph, version)
        bound = run_inputs(part, self._registry, inputs)
        positions = {node.id: index for index, node in enumerate(plan.nodes)}
        by_index = {positions[node]: values for node, values in bound.items()}  # type: ignore[index]
        for index in secret_inputs(plan):
            if index in by_index:
                by_index[index] = sealed(by_index[index], self._seals, workspace)
        return plan, by_index

    async def schemas(
        self, workspace: WorkspaceId, graph: GraphId, version: int | None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Input and output JSON Schema of a graph."""
        part, _ = await self._compile(workspace, graph, version)
        return input_schema(part, self._registry), output_schema(part, self._registry)

    async def compiled(self, workspace: WorkspaceId, graph: GraphId, version: int | None = None) -> Plan:
        """The stored plan of a version, the newest unless said otherwise. Raises ``NotFound``."""
        return (await self._compile(workspace, graph, version))[1]

    async def _compile(self, workspace: WorkspaceId, graph: GraphId, version: int | None) -> tuple[GraphPart, Plan]:
        if version is None:
            version = (await self.get(workspace, graph)).version
        known = self._compiled.get((workspace, graph, version))
        if known is None:
            row = await self.get(workspace, graph, version)
            part = GraphPart.model_validate({**row.document, "version": row.version})
            plan = compile_plan(to_graph(part), self._facts)
            await self._store.save_plan(workspace, plan)
            if len(self._compiled) >= _KEPT:
                self._compiled.clear()
            known = self._compiled[workspace, graph, version] = (part, plan)
        return known

    def _facts(self, block_id: BlockId) -> BlockFacts:
        block = self._registry.get(block_id)
        if block is None:
            return BlockFacts()
        return BlockFacts(block.version, block.work.value, block.kind.value, block.static_output, block.loop_pins)


def _children(graph: GraphPart) -> list[tuple[str, int | None]]:
    """(graph id, version) of the sub-agents that a graph runs."""
    found = []
    for node in graph.nodes:
        child = node.input_default.get("graph_id")
        if node.block_id in SUB_AGENT_BLOCKS and isinstance(child, str):
            version = node.input_default.get("graph_version")
            found.append((child, version if isinstance(version, int) else None))
    return found


def _children_first(agent: AgentFile) -> list[GraphPart]:
    """The graphs of the agent, each after those that it runs; the main one last."""
    parts = {graph.id: graph for graph in agent.sub_graphs}
    ordered: dict[str, GraphPart] = {}

    def add(graph: GraphPart) -> None:
        for child, _ in _children(graph):
            if child in parts and child not in ordered and child != graph.id:
                add(parts[child])
        ordered.setdefault(graph.id, graph)

    for graph in agent.sub_graphs:
        add(graph)
    ordered.pop(agent.id, None)
    return [*ordered.values(), agent]


def _with_versions(graph: GraphPart, versions: Mapping[str, int]) -> GraphPart:
    """A copy whose sub-agent nodes name the versions under which the sub-agents were saved."""
    copy = graph.model_copy(deep=True)
    for node in copy.nodes:
        child = node.input_default.get("graph_id")
        if node.block_id in SUB_AGENT_BLOCKS and isinstance(child, str) and child in versions:
            node.input_default["graph_version"] = versions[child]
    return copy
