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
from treadle.features.graphs.secret_places import secret_inputs_of
from treadle.features.graphs.secret_values import holds_masks, put_back, seal_secrets, secret_inputs_by_id
from treadle.features.graphs.storage import GraphStorage
from treadle.features.graphs.validation import validate
from treadle.features.graphs.view import Problem
from treadle.kernel.plan import BlockFacts, Plan, compile_plan
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

        Secrets are encrypted. One that is given as ``***`` (``shown``) stays what it is in the newest version.

        Raises:
            InvalidAgent: it cannot be saved as it is.
        """
        async with self._storage.repository(workspace) as repository:
            agent = await self._with_earlier_secrets(repository, agent)
            problems = validate(agent, self._registry, for_run=False)
            if any(each.severity == "error" for each in problems):
                raise InvalidAgent(problems)
            versions: dict[str, int] = {}
            secret_inputs = await self._secret_inputs(repository, agent)
            for graph in _children_first(agent):
                pinned = _with_versions(graph, versions)
                seal_secrets(pinned, self._registry, secret_inputs, self._seals, workspace)
                row = await self._save_graph(repository, pinned)
                versions[graph.id] = row.version
        return row

    async def _with_earlier_secrets(self, repository: "GraphRepository", agent: AgentFile) -> AgentFile:
        """The agent, or a copy in which secrets that were shown as ``***`` are put back."""
        if not any(holds_masks(graph) for graph in agent.graphs):
            return agent
        copy = agent.model_copy(deep=True)
        secret_inputs = await self._secret_inputs(repository, agent)
        for graph in copy.graphs:
            row = await repository.newest(GraphId(graph.id))
            earlier = GraphPart.model_validate({**row.document, "version": row.version}) if row else None
            put_back(graph, earlier, self._registry, secret_inputs)
        return copy

    async def _secret_inputs(self, repository: "GraphRepository", agent: AgentFile) -> dict[str, set[str]]:
        """Which inputs of the agent's graphs are secret, and of those that it runs and that are not in its file."""
        inside = {graph.id for graph in agent.graphs}
        graphs = list(agent.graphs)
        for id, version in {child for graph in agent.graphs for child in _children(graph) if child[0] not in inside}:
            graph_id = GraphId(id)
            row = await (repository.newest(graph_id) if version is None else repository.version(graph_id, version))
            if row is not None:
                graphs.append(GraphPart.model_validate({**row.document, "version": row.version}))
        return secret_inputs_by_id(graphs)

    async def _save_graph(self, repository: "GraphRepository", graph: GraphPart) -> "GraphVersion":
        document = graph.model_dump(mode="json", exclude={"version", "sub_graphs"})
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

    async def naming_credentials(self, workspace: WorkspaceId, id: str) -> list[tuple[str, str]]:
        """(id, name) of the graphs whose newest version names the credentials of that id."""
        async with self._storage.repository(workspace) as repository:
            return [(row.id, row.name) for row in await repository.naming_credentials(id)]

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

    def sealed(self, workspace: WorkspaceId, value: Any) -> Any:
        """The value with its texts encrypted, as secrets are kept."""
        return sealed(value, self._seals, workspace)

    async def sealed_inputs(
        self, workspace: WorkspaceId, graph: GraphId, version: int | None, inputs: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Inputs of a run, by name, as they may be kept: those of secret inputs are encrypted. Raises ``NotFound``."""
        part, _ = await self._compile(workspace, graph, version)
        secret = secret_inputs_of(part)
        return {
            name: sealed(value, self._seals, workspace) if name in secret else value for name, value in inputs.items()
        }

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
