"""Agents are saved as immutable graph versions, found again, and made ready to run."""

import hashlib
import json
import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import ValidationError

from treadle.base.errors import BadInput, Conflict, NotFound
from treadle.base.ids import BlockId, GraphId, NodeId, UserId, WorkspaceId
from treadle.base.paging import Page
from treadle.engine.ports import NoSeals, Seals
from treadle.engine.secrets import sealed, secret_inputs
from treadle.engine.store import Store
from treadle.features.graphs.diff import GraphDiff
from treadle.features.graphs.document import AgentFile, GraphPart, version_of
from treadle.features.graphs.importer import SUB_AGENT_BLOCKS, to_graph
from treadle.features.graphs.listing import GraphQuery
from treadle.features.graphs.schemas import check_given, input_schema, output_schema, run_inputs
from treadle.features.graphs.secret_places import SecretInputs, secret_inputs_of
from treadle.features.graphs.secret_values import (
    holds_masks,
    put_back,
    seal_secrets,
    secret_inputs_by_id,
    with_sealed_constants,
)
from treadle.features.graphs.shown_diff import shown_diff
from treadle.features.graphs.single_block import (
    NODE,
    agent_of,
    block_named,
    runnable_block,
    split_secrets,
    with_child_outputs,
    with_credentials,
)
from treadle.features.graphs.storage import GraphStorage
from treadle.features.graphs.validation import has_errors, validate
from treadle.features.graphs.view import Problem
from treadle.kernel.plan import BlockFacts, Plan, compile_plan
from treadle.sdk.registry import Registry

if TYPE_CHECKING:
    from treadle.features.graphs.models import GraphHead, GraphVersion
    from treadle.features.graphs.repository import GraphRepository

_KEPT = 500
"""Compiled graphs that one process remembers."""
_log = logging.getLogger(__name__)


class InvalidAgent(BadInput):
    """The agent cannot be saved or run; ``problems`` says everything that is wrong with it."""

    code: ClassVar[str] = "invalid_agent"
    status: ClassVar[int] = 422

    def __init__(self, problems: list[Problem]) -> None:
        errors = [each for each in problems if each.severity == "error"]
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        where = f"{errors[0].where}: " if errors[0].where else ""
        super().__init__(f"{where}{errors[0].message}{more}", fix=errors[0].fix)
        self.problems = problems


class GraphChanged(Conflict):
    """Somebody else has saved the graph since."""

    code: ClassVar[str] = "graph_changed"

    def __init__(self, base: int, newest: "GraphVersion") -> None:
        self.newest = newest.version
        super().__init__(
            f"The agent was saved since: your changes are based on version {base}, and there is a version "
            f"{newest.version} of {newest.created_at:%Y-%m-%d %H:%M:%S} UTC.",
            fix=f"Compare the versions {base} and {newest.version}, take over what you want to keep, "
            f"and save on the base of version {newest.version}.",
        )


class GraphInUse(Conflict):
    """Other agents run the graph as a sub-agent. ``users`` holds their names by id."""

    code: ClassVar[str] = "graph_in_use"

    def __init__(self, users: Mapping[str, str]) -> None:
        self.users = dict(users)
        named = ", ".join(name or id for id, name in list(users.items())[:5])
        more = f" and {len(users) - 5} more" if len(users) > 5 else ""
        super().__init__(
            f"The agent is a sub-agent of {named}{more}; those could not run any more.",
            fix="Take it out of them first, or delete it with force.",
        )


@dataclass(frozen=True, slots=True)
class SaveTerms:
    """How an agent is saved."""

    by: UserId | None = None
    note: str = ""
    """What people say of the new version."""
    activate: bool = True
    """Whether the new version is the one that runs when none is named; of a new graph it always is."""
    base: int | None = None
    """The newest version that the saver knows of: when there is a newer one, nothing is saved."""


_FREELY = SaveTerms()
Versions = dict[tuple[str, int], int]
"""Under which version each graph of an agent file was saved, by the id and version that the file says."""


class Graphs:
    """The graphs of an install. Also the engine's source of sub-agents (``treadle.engine.ports.Agents``).

    Where a version may be left out, the active one is meant. A deleted graph is not found, whatever version is named.
    """

    def __init__(self, storage: GraphStorage, store: Store, registry: Registry, seals: Seals | None = None) -> None:
        self._storage = storage
        self._store = store
        self._registry = registry
        self._seals = seals or NoSeals()
        self._compiled: dict[tuple[WorkspaceId, GraphId, int], tuple[GraphPart, Plan]] = {}

    # ---- saving -----------------------------------------------------------------------------------------------------

    async def save(self, workspace: WorkspaceId, agent: AgentFile, terms: SaveTerms = _FREELY) -> "GraphVersion":
        """Save an agent and its sub-agents; a graph that has not changed keeps its version.

        Secrets are encrypted. One that is given as ``***`` (``shown``) stays what it is in the version that the file
        says it is, else in the newest.

        Raises:
            InvalidAgent: it cannot be saved as it is.
            GraphChanged: see ``SaveTerms.base``.
        """
        async with self._storage.repository(workspace) as repository:
            await repository.lock(graph.id for graph in agent.graphs)
            return await self._save(repository, workspace, agent, terms)

    async def replace(
        self, workspace: WorkspaceId, graph: GraphId, agent: AgentFile, terms: SaveTerms = _FREELY
    ) -> "GraphVersion":
        """Save an agent as the next version of a graph that is there. Raises as ``save``, and ``NotFound``."""
        edited = agent.model_copy(update={"id": graph})
        async with self._storage.repository(workspace) as repository:
            await repository.lock(each.id for each in edited.graphs)
            await _present(repository, graph)
            return await self._save(repository, workspace, edited, terms)

    async def _save(
        self, repository: "GraphRepository", workspace: WorkspaceId, agent: AgentFile, terms: SaveTerms
    ) -> "GraphVersion":
        secret_inputs = await _secret_inputs(repository, agent.graphs)
        agent = await self._with_earlier_secrets(repository, agent, secret_inputs)
        problems = validate(agent, self._registry, for_run=False)
        if has_errors(problems):
            raise InvalidAgent(problems)
        saved: Versions = {}
        for graph in _children_first(agent):
            main = graph is agent
            pinned = _with_versions(graph, agent, saved)
            self._mark_static_links(pinned)
            seal_secrets(pinned, self._registry, secret_inputs, self._seals, workspace)
            row = await self._save_graph(repository, pinned, terms if main else replace(terms, base=None), main=main)
            saved[graph.id, graph.version] = row.version
        return row

    async def _with_earlier_secrets(
        self, repository: "GraphRepository", agent: AgentFile, secret_inputs: SecretInputs
    ) -> AgentFile:
        """The agent, or a copy in which secrets that were shown as ``***`` are put back."""
        if not any(holds_masks(graph) for graph in agent.graphs):
            return agent
        copy = agent.model_copy(deep=True)
        for graph in copy.graphs:
            row = await repository.version(graph.id, graph.version) or await repository.newest(graph.id)
            put_back(graph, _part(row) if row else None, self._registry, secret_inputs)
        return copy

    async def _save_graph(
        self, repository: "GraphRepository", graph: GraphPart, terms: SaveTerms, *, main: bool
    ) -> "GraphVersion":
        document, digest = _content(graph)
        head = await repository.head(graph.id, deleted=True)
        newest = await repository.newest(graph.id)
        # A sub-agent that is pinned to an older version comes back with its agent: that is no change of it.
        known = newest if main else await repository.with_digest(graph.id, digest)
        if known is not None and known.digest == digest:
            if head is not None and head.deleted_at is not None:
                await repository.revive(head)
            return known
        if newest is not None and terms.base is not None and terms.base != newest.version:
            raise GraphChanged(terms.base, newest)
        row = await repository.add(
            id=graph.id,
            version=newest.version + 1 if newest else max(1, graph.version),
            name=graph.name,
            document=document,
            blocks=self._block_versions(graph),
            children=sorted({child for child, _ in _children(graph)}),
            digest=digest,
            by=terms.by,
            note=terms.note if main else "",
        )
        await repository.point(row, activate=terms.activate)
        return row

    async def seal_earlier(self, workspace: WorkspaceId, versions: Collection[tuple[str, int]]) -> int:
        """Encrypt what stands in the open in versions that an early release saved; in how many there was something.

        They stay the versions that they are, and runs go on with the plans that they follow.
        """
        changed: list[tuple[GraphPart, GraphPart]] = []
        async with self._storage.repository(workspace) as repository:
            await repository.lock(id for id, _ in versions)
            for id, version in versions:
                row = await repository.version(id, version)
                if row is not None and not row.sealed:
                    changed += await self._seal_row(repository, workspace, row)
            if changed:  # before this is committed: nobody looks for plans of versions that are done
                await self._store.change_plans(workspace, partial(with_sealed_constants, changed=changed))
        return len(changed)

    async def _seal_row(
        self, repository: "GraphRepository", workspace: WorkspaceId, row: "GraphVersion"
    ) -> list[tuple[GraphPart, GraphPart]]:
        """What it was and what it is now, if it has changed. One that cannot be read any more is left alone."""
        try:
            before, after = _part(row), _part(row)
        except ValidationError:
            _log.warning("a saved agent cannot be read", extra={"graph": row.id, "version": row.version})
            return []
        seal_secrets(after, self._registry, await _secret_inputs(repository, [before]), self._seals, workspace)
        row.sealed = True
        if after == before:
            return []
        row.document, row.digest = _content(after)
        return [(before, after)]

    def _mark_static_links(self, graph: GraphPart) -> None:
        """Say of each link whether its values stay: that follows from its source's block, whatever a file says."""
        blocks = {node.id: self._registry.get(BlockId(node.block_id)) for node in graph.nodes}
        for link in graph.links:
            source = blocks.get(link.source_id)
            link.is_static = source is not None and source.static_output

    def _block_versions(self, graph: GraphPart) -> dict[str, int]:
        blocks = (self._registry.get(BlockId(node.block_id)) for node in graph.nodes)
        return {block.id: block.version for block in blocks if block is not None}

    async def activate(self, workspace: WorkspaceId, graph: GraphId, version: int) -> "GraphHead":
        """Let this version run when none is named. Raises ``NotFound``."""
        async with self._storage.repository(workspace) as repository:
            await repository.lock([graph])
            head, row = await _opened(repository, graph, version)
            if head.active_version != row.version:
                await repository.activate(head, row.version)
            return head

    async def describe(
        self, workspace: WorkspaceId, graph: GraphId, version: int, note: str
    ) -> "tuple[GraphHead, GraphVersion]":
        """Say something else of a version. Raises ``NotFound``."""
        async with self._storage.repository(workspace) as repository:
            head, row = await _opened(repository, graph, version)
            row.note = note
            return head, row

    async def delete(self, workspace: WorkspaceId, graph: GraphId, *, force: bool = False) -> None:
        """Hide a graph with all its versions; its runs stay readable, and saving it again brings it back.

        Raises:
            NotFound: there is none.
            GraphInUse: other agents run it, and ``force`` does not say that they may break.
        """
        async with self._storage.repository(workspace) as repository:
            await repository.lock([graph])
            head = await _present(repository, graph)
            users = [] if force else await repository.users_of(graph)
            if users:
                raise GraphInUse({each.id: each.name for each in users})
            await repository.delete(head)
        for key in [key for key in self._compiled if key[:2] == (workspace, graph)]:
            del self._compiled[key]

    # ---- reading ----------------------------------------------------------------------------------------------------

    async def opened(
        self, workspace: WorkspaceId, graph: GraphId, version: int | None = None
    ) -> "tuple[GraphHead, GraphVersion]":
        """A graph and one of its versions. Raises ``NotFound``."""
        async with self._storage.repository(workspace) as repository:
            return await _opened(repository, graph, version)

    async def get(self, workspace: WorkspaceId, graph: GraphId, version: int | None = None) -> "GraphVersion":
        """A version of a graph. Raises ``NotFound``."""
        return (await self.opened(workspace, graph, version))[1]

    async def head(self, workspace: WorkspaceId, graph: GraphId) -> "GraphHead":
        """A graph as a whole. Raises ``NotFound``."""
        async with self._storage.repository(workspace) as repository:
            return await _present(repository, graph)

    async def page(self, workspace: WorkspaceId, query: GraphQuery) -> "tuple[list[GraphHead], int]":
        """That part of the list of graphs, and how many there are in all."""
        async with self._storage.repository(workspace) as repository:
            return await repository.page(query)

    async def heads(self, workspace: WorkspaceId, graphs: Collection[str]) -> "dict[str, GraphHead]":
        """Those of these graphs that are there, by id."""
        async with self._storage.repository(workspace) as repository:
            return {head.id: head for head in await repository.heads(graphs)}

    async def names(self, workspace: WorkspaceId, graphs: Collection[str]) -> dict[str, str]:
        """The names of these graphs by id, those of deleted ones and of blocks that ran by themselves too."""
        blocks = {id: block.title for id in graphs if (block := block_named(id, self._registry)) is not None}
        async with self._storage.repository(workspace) as repository:
            return {**blocks, **await repository.names(graphs)}

    async def named(self, workspace: WorkspaceId, name: str) -> list[str]:
        """The ids of the graphs with exactly that name."""
        async with self._storage.repository(workspace) as repository:
            return await repository.named(name)

    async def versions(
        self, workspace: WorkspaceId, graph: GraphId, page: Page
    ) -> "tuple[GraphHead, list[GraphVersion], int]":
        """A graph, a part of its versions (the newest first), and how many there are. Raises ``NotFound``."""
        async with self._storage.repository(workspace) as repository:
            head = await _present(repository, graph)
            return head, *(await repository.versions(graph, page))

    async def difference(
        self, workspace: WorkspaceId, graph: GraphId, before: int | None, after: int | None
    ) -> tuple[int, int, GraphDiff]:
        """The difference of two versions without secrets, and their numbers. Raises ``NotFound``."""
        first = await self.agent(workspace, graph, before, partial=True)
        second = await self.agent(workspace, graph, after, partial=True)
        return first.version, second.version, shown_diff(first, second, self._registry)

    async def agent(
        self, workspace: WorkspaceId, graph: GraphId, version: int | None = None, *, partial: bool = False
    ) -> AgentFile:
        """A graph with all its sub-agents, as one document.

        Raises:
            NotFound: there is no such graph, or, unless ``partial``, a sub-agent of it is not there.
        """
        async with self._storage.repository(workspace) as repository:
            _, row = await _opened(repository, graph, version)
            main = AgentFile.model_validate(_document(row))
            below = await _below(repository, [main], {main.id}, partial=partial)
        return main.model_copy(update={"sub_graphs": below})

    async def completed(self, workspace: WorkspaceId, agent: AgentFile) -> AgentFile:
        """The agent as saving would see it, and of the sub-agents that it does not hold those that are there."""
        async with self._storage.repository(workspace) as repository:
            whole = await self._with_earlier_secrets(repository, agent, await _secret_inputs(repository, agent.graphs))
            below = await _below(repository, agent.graphs, set(agent.by_id()), partial=True)
        notes = agent.notes
        return whole.model_copy(update={"sub_graphs": [*whole.sub_graphs, *below]}).with_notes(notes)

    async def naming_credentials(self, workspace: WorkspaceId, id: str) -> list[tuple[str, str]]:
        """(id, name) of the graphs whose newest or active version names the credentials of that id."""
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
        return plan, self.bound(workspace, part, plan, inputs)

    def bound(
        self, workspace: WorkspaceId, part: GraphPart, plan: Plan, inputs: Mapping[str, Any]
    ) -> dict[int, dict[str, Any]]:
        """What each starting node of a compiled graph is given. Raises ``BadRunInputs``."""
        bound = run_inputs(part, self._registry, inputs)
        by_index = {plan.index(NodeId(node)): values for node, values in bound.items()}
        for index in secret_inputs(plan):
            if index in by_index:
                by_index[index] = {pin: self.sealed(workspace, value) for pin, value in by_index[index].items()}
        return by_index

    async def compiled_part(
        self, workspace: WorkspaceId, graph: GraphId, version: int | None
    ) -> tuple[GraphPart, Plan]:
        """A version as it was saved, and its stored plan. Raises ``NotFound``."""
        return await self._compile(workspace, graph, version)

    async def prepare_block(
        self, workspace: WorkspaceId, id: BlockId, inputs: Mapping[str, Any], credentials: Mapping[str, Any]
    ) -> tuple[Plan, dict[int, dict[str, Any]]]:
        """The plan of a block that is run by itself, and what its node is given.

        Raises:
            NotFound: no such block.
            BlockSwitchedOff: it may not run here.
            BadRunInputs: the block does not have such an input.
            InvalidAgent: an input is missing, or of a wrong type.
        """
        block = runnable_block(id, self._registry)
        agent = agent_of(block, with_credentials(block, inputs, credentials), self._registry)
        if id in SUB_AGENT_BLOCKS:
            agent = with_child_outputs(await self.completed(workspace, agent), self._registry)
        problems = validate(agent, self._registry, for_run=True, complete=True)
        if has_errors(problems):
            raise InvalidAgent(problems)
        seal_secrets(agent, self._registry, secret_inputs_by_id(agent.graphs), self._seals, workspace)
        node = agent.nodes[0]
        node.input_default, given = split_secrets(node.input_default)
        plan = compile_plan(to_graph(agent), self._facts)
        return plan, {plan.index(NODE): given}

    def sealed(self, workspace: WorkspaceId, value: Any) -> Any:
        """The value with its texts encrypted, as secrets are kept."""
        return sealed(value, self._seals, workspace)

    async def checked_inputs(
        self, workspace: WorkspaceId, graph: GraphId, version: int | None, inputs: Mapping[str, Any]
    ) -> set[str]:
        """See whether a run could be given these inputs, maybe with others; gives the names of secret ones.

        Raises:
            NotFound: no such graph.
            BadRunInputs: it has no such input, or a value is of a wrong type.
        """
        part = _part(await self.get(workspace, graph, version))
        check_given(part, self._registry, inputs)
        return secret_inputs_of(part)

    async def schemas(
        self, workspace: WorkspaceId, graph: GraphId, version: int | None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Input and output JSON Schema of a graph."""
        part, _ = await self._compile(workspace, graph, version)
        return input_schema(part, self._registry), output_schema(part, self._registry)

    async def compiled(self, workspace: WorkspaceId, graph: GraphId, version: int | None = None) -> Plan:
        """The stored plan of a version. Raises ``NotFound``."""
        return (await self._compile(workspace, graph, version))[1]

    async def _compile(self, workspace: WorkspaceId, graph: GraphId, version: int | None) -> tuple[GraphPart, Plan]:
        if version is None:
            version = (await self.head(workspace, graph)).active_version
        known = self._compiled.get((workspace, graph, version))
        if known is None:
            part = _part(await self.get(workspace, graph, version))
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


async def _present(repository: "GraphRepository", graph: GraphId) -> "GraphHead":
    head = await repository.head(graph)
    if head is None:
        raise NotFound(f"There is no graph {graph}.", fix="Import the agent first, with its sub-agents.")
    return head


async def _opened(
    repository: "GraphRepository", graph: GraphId, version: int | None
) -> "tuple[GraphHead, GraphVersion]":
    head = await _present(repository, graph)
    row = await repository.version(graph, head.active_version if version is None else version)
    if row is None:
        raise NotFound(
            f"There is no graph {graph}, version {version}.", fix=f"Its newest version is {head.newest_version}."
        )
    return head, row


async def _secret_inputs(repository: "GraphRepository", graphs: Collection[GraphPart]) -> dict[str, set[str]]:
    """Which inputs of these graphs are secret, and of those that they run and that are not among them."""
    others = await _below(repository, graphs, {graph.id for graph in graphs}, partial=True)
    return secret_inputs_by_id([*graphs, *others])


async def _below(
    repository: "GraphRepository", graphs: Iterable[GraphPart], present: set[str], *, partial: bool
) -> list[GraphPart]:
    """The stored sub-agents of these graphs, and theirs; not those that are ``present`` already, in any version.

    Raises:
        NotFound: one is not there; with ``partial`` it is left out.
    """
    found: dict[tuple[str, int], GraphPart] = {}
    asked: set[tuple[str, int | None]] = set()
    open_parts = list(graphs)
    while open_parts:
        for key in _children(open_parts.pop()):
            if key in asked or key[0] in present:
                continue
            asked.add(key)
            try:
                _, row = await _opened(repository, GraphId(key[0]), key[1])
            except NotFound:
                if partial:
                    continue
                raise
            if (row.id, row.version) not in found:
                found[row.id, row.version] = _part(row)
                open_parts.append(found[row.id, row.version])
    return list(found.values())


def _document(row: "GraphVersion") -> dict[str, Any]:
    return {**row.document, "version": row.version}


def _content(graph: GraphPart) -> tuple[dict[str, Any], bytes]:
    """What is kept of a graph, and its digest."""
    document = {**graph.model_dump(mode="json", exclude={"version", "sub_graphs"}), "is_active": True}
    return document, hashlib.sha256(json.dumps(document, sort_keys=True).encode()).digest()


def _part(row: "GraphVersion") -> GraphPart:
    return GraphPart.model_validate(_document(row))


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
    known = agent.by_id()
    ordered: dict[tuple[str, int], GraphPart] = {}

    def add(graph: GraphPart) -> None:
        for child, version in _children(graph):
            if child in known and child not in (graph.id, agent.id):
                below = version_of(known[child], version)
                if (below.id, below.version) not in ordered:
                    add(below)
        ordered.setdefault((graph.id, graph.version), graph)

    for graph in agent.sub_graphs:
        add(graph)
    ordered.pop((agent.id, agent.version), None)
    return [*ordered.values(), agent]


def _with_versions(graph: GraphPart, agent: AgentFile, saved: Versions) -> GraphPart:
    """A copy whose sub-agent nodes name the versions under which the sub-agents were saved.

    A node that names no version runs the active one, and goes on to.
    """
    copy = graph.model_copy(deep=True)
    known = agent.by_id()
    for node in copy.nodes:
        child, version = node.input_default.get("graph_id"), node.input_default.get("graph_version")
        if node.block_id in SUB_AGENT_BLOCKS and isinstance(child, str) and child in known and version is not None:
            below = version_of(known[child], version)
            node.input_default["graph_version"] = saved.get((below.id, below.version), version)
    return copy
