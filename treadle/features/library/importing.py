"""Agent files become agents of the library: all of a file, or nothing of it, with a report of what was not taken."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from treadle.base.errors import NotFound
from treadle.base.ids import FolderId, GraphId, LibraryAgentId, UserId, WorkspaceId, uuid7
from treadle.base.sessions import WorkspaceDatabase
from treadle.features.graphs.document import AgentFile
from treadle.features.graphs.importer import ImportReport, import_report, with_new_ids
from treadle.features.graphs.secret_values import lost_secrets, secret_inputs_by_id, without_masks
from treadle.features.graphs.service import Graphs, SaveTerms
from treadle.features.library.service import UNSET, Changes, Library
from treadle.sdk.registry import Registry

_PLACES_NAMED = 10


class Existing(StrEnum):
    """What becomes of a file whose agent is there already: its ids say so."""

    VERSION = "version"
    """It is saved as the next version of that agent; when it is the same, nothing changes."""
    COPY = "copy"
    """It becomes another agent, under ids of its own."""


class Outcome(StrEnum):
    """What has become of a graph of a file."""

    CREATED = "created"
    NEW_VERSION = "new_version"
    UNCHANGED = "unchanged"
    """It was there already."""


@dataclass(frozen=True, slots=True)
class ImportTerms:
    """How a file is imported."""

    by: UserId
    folder: FolderId | None = None
    """Where to put the agent; None leaves it where it is, or in no folder."""
    existing: Existing = Existing.VERSION


@dataclass(frozen=True, slots=True)
class ImportedGraph:
    """One graph of a file."""

    graph_id: str
    name: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Imported:
    """What has become of a file."""

    id: LibraryAgentId
    main: ImportedGraph
    parts: tuple[ImportedGraph, ...]
    """The sub-agents that it holds."""
    report: ImportReport


class Importer:
    """Imports into the libraries of an install."""

    def __init__(self, database: WorkspaceDatabase, library: Library, graphs: Graphs, registry: Registry) -> None:
        self._database = database
        self._library = library
        self._graphs = graphs
        self._registry = registry

    async def import_agent(self, workspace: WorkspaceId, agent: AgentFile, terms: ImportTerms) -> Imported:
        """Save the agent of a file with its sub-agents, and put it into the library.

        Raises:
            InvalidAgent: it cannot be saved; says everything that is wrong.
            NotFound: there is no such folder.
        """
        report = import_report(agent, self._registry)
        agent = without_masks(agent, self._registry)
        async with self._database.transaction(workspace):
            if terms.folder is not None:
                await self._library.keep_folder(workspace, terms.folder)
            before = await self._newest(workspace, {graph.id for graph in agent.graphs})
            if terms.existing is Existing.COPY and before:
                agent, before = with_new_ids(agent, lambda: str(uuid7())), {}
            lost = await self._lost_secrets(workspace, agent, before)
            row = await self._graphs.save(workspace, agent, SaveTerms(terms.by, activate=agent.is_active))
            id = await self._library.add(workspace, GraphId(row.id))
            folder = UNSET if terms.folder is None else terms.folder
            await self._library.update(workspace, terms.by, id, Changes(folder=folder))
            after = await self._newest(workspace, {graph.id for graph in agent.graphs})
            absent = await self._absent(workspace, report.missing_agents)
        names = {graph.id: graph.name for graph in agent.graphs}
        main, *parts = (
            ImportedGraph(each, name, _outcome(before.get(each), after[each])) for each, name in names.items()
        )
        missing = {each: name for each, name in report.missing_agents.items() if each in absent}
        whole = replace(report, missing_agents=missing, notes=(*report.notes, *lost))
        return Imported(id, main, tuple(parts), whole)

    async def _lost_secrets(self, workspace: WorkspaceId, agent: AgentFile, before: Mapping[str, int]) -> list[str]:
        """What the newest versions of the graphs have and no file holds."""
        children = secret_inputs_by_id(agent.graphs)
        places: list[str] = []
        for graph in agent.graphs:
            if graph.id not in before:
                continue
            earlier = await self._graphs.agent(workspace, GraphId(graph.id), before[graph.id], partial=True)
            found = lost_secrets(earlier, graph, self._registry, children)
            places += [f"{node.custom_name or node.id} ({name})" for node, name in found]
        if not places:
            return []
        named = ", ".join(places[:_PLACES_NAMED]) + (" and others" if len(places) > _PLACES_NAMED else "")
        return [f"Files hold no secrets: enter again what the version before has at {named}"]

    async def _newest(self, workspace: WorkspaceId, graphs: Iterable[str]) -> dict[str, int]:
        """The newest versions of those graphs that are there."""
        found: dict[str, int] = {}
        for each in graphs:
            try:
                found[each] = (await self._graphs.head(workspace, GraphId(each))).newest_version
            except NotFound:
                continue
        return found

    async def _absent(self, workspace: WorkspaceId, graphs: Iterable[str]) -> set[str]:
        every = set(graphs)
        return every - (await self._newest(workspace, every)).keys()


def _outcome(before: int | None, after: int) -> Outcome:
    if before is None:
        return Outcome.CREATED
    return Outcome.UNCHANGED if before == after else Outcome.NEW_VERSION
