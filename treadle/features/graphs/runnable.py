"""Agents that are fit to run: checked and compiled once for each version, because a version never changes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from treadle.base.errors import NotFound
from treadle.base.ids import GraphId, WorkspaceId
from treadle.features.graphs.document import AgentFile, GraphPart
from treadle.features.graphs.importer import SUB_AGENT_BLOCKS
from treadle.features.graphs.service import Graphs, InvalidAgent
from treadle.features.graphs.validation import has_errors, validate
from treadle.kernel.plan import Plan
from treadle.sdk.registry import Registry

_KEPT = 500


@dataclass(frozen=True, slots=True)
class Runnable:
    """A version of a graph that may run."""

    part: GraphPart
    plan: Plan


@dataclass(frozen=True, slots=True)
class Current:
    """How an agent is run when nothing else is said."""

    version: int
    settings: Mapping[str, Any]
    """``safe_mode``, ``ask_before_sensitive``, ``timezone``."""


class CurrentSource(Protocol):
    """Knows how agents are run."""

    async def of(self, workspace: WorkspaceId, graph: GraphId) -> Current | None:
        """None when there is no such graph."""
        ...


class RunnableAgents:
    """The agents of an install that may run."""

    def __init__(self, graphs: Graphs, registry: Registry, current: CurrentSource) -> None:
        self._graphs = graphs
        self._registry = registry
        self._current = current
        self._known: dict[tuple[WorkspaceId, GraphId, int], Runnable] = {}

    async def current(self, workspace: WorkspaceId, graph: GraphId) -> Current:
        """How the agent is run when nothing else is said. Raises ``NotFound``."""
        current = await self._current.of(workspace, graph)
        if current is None:
            raise NotFound(f"There is no graph {graph}.", fix="Import the agent first, with its sub-agents.")
        return current

    async def find(self, workspace: WorkspaceId, graph: GraphId, version: int) -> Runnable:
        """A version.

        Raises:
            NotFound: no such graph.
            InvalidAgent: it cannot run here; says everything that is wrong.
        """
        key = (workspace, graph, version)
        known = self._known.get(key)
        return known if known is not None else await self._check(key)

    async def _check(self, key: tuple[WorkspaceId, GraphId, int]) -> Runnable:
        workspace, graph, version = key
        agent = await self._graphs.agent(workspace, graph, version, partial=True)
        problems = validate(agent, self._registry, for_run=True, complete=True)
        if has_errors(problems):
            raise InvalidAgent(problems)
        runnable = Runnable(*await self._graphs.compiled_part(workspace, graph, agent.version))
        if _is_settled(agent):
            if len(self._known) >= _KEPT:
                self._known.clear()
            self._known[key] = runnable
        return runnable

    def bound(self, workspace: WorkspaceId, runnable: Runnable, inputs: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
        """What each starting node is given. Raises ``BadRunInputs``."""
        return self._graphs.bound(workspace, runnable.part, runnable.plan, inputs)


def _is_settled(agent: AgentFile) -> bool:
    """Whether it is the same agent for ever: each of its sub-agents is named with its version."""
    nodes = (node for graph in agent.graphs for node in graph.nodes if node.block_id in SUB_AGENT_BLOCKS)
    return all(isinstance(node.input_default.get("graph_version"), int) for node in nodes)
