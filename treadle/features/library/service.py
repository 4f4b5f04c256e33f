"""Agents of the library: found, filed, set up, pinned to a version, copied."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from treadle.base.errors import NotFound
from treadle.base.ids import FolderId, GraphId, LibraryAgentId, UserId, WorkspaceId, uuid7
from treadle.base.paging import Total
from treadle.base.reading import WorkspaceReader
from treadle.base.sessions import WorkspaceDatabase
from treadle.features.credentials.service import CredentialsSource
from treadle.features.graphs.importer import with_new_ids
from treadle.features.graphs.service import Graphs, SaveTerms
from treadle.features.library.entries import Entries, Entry, EntryQuery, Fetch, Found
from treadle.features.library.lines import Lines, decoded, encoded
from treadle.features.library.needs import NOTHING, are_met, basis_of, needs_of, written_needs
from treadle.sdk.registry import Registry

if TYPE_CHECKING:
    from treadle.features.library.models import LibraryAgent
    from treadle.features.library.repository import LibraryRepository

_KEEP_NEEDS = (
    "UPDATE library_agents SET needs = $4::text::jsonb, needs_of = version || ':' || $5::text"
    " WHERE workspace_id = $1 AND id = $2 AND version = $3 RETURNING id"
)


class Unset:
    """Stands for what is left as it is."""


UNSET = Unset()


@dataclass(frozen=True, slots=True)
class Changes:
    """What is to change of an agent."""

    archived: bool | None = None
    pinned: int | Unset | None = UNSET
    """The version that runs from now on; None: the one that is active."""
    folder: FolderId | Unset | None = UNSET
    settings: Mapping[str, Any] | None = None
    """Settings by name; None takes one away."""
    favorite: bool | None = None


class Library:
    """The libraries of an install."""

    def __init__(
        self,
        database: WorkspaceDatabase,
        reader: WorkspaceReader,
        graphs: Graphs,
        registry: Registry,
        credentials: CredentialsSource,
    ) -> None:
        self._database = database
        self._reader = reader
        self._graphs = graphs
        self._registry = registry
        self._credentials = credentials
        self._basis = ""
        self._lines = Lines()

    # ---- looking ----------------------------------------------------------------------------------------------------

    async def page(self, workspace: WorkspaceId, user: UserId, query: EntryQuery) -> tuple[list[Entry], Total]:
        """That part of the list, and how many there are."""
        lines, total = await self.encoded_page(workspace, user, query)
        return [decoded(line) for line in lines], total

    async def encoded_page(self, workspace: WorkspaceId, user: UserId, query: EntryQuery) -> tuple[list[bytes], Total]:
        """The same, with the JSON of each ``Entry``."""
        entries = await self._entries(workspace, user)
        marks, total = await entries.page(query)
        known = {mark.id: agent for mark in marks if (agent := self._lines.get(mark)) is not None}
        missing = [mark.id for mark in marks if mark.id not in known]
        if missing:
            fresh = await entries.of(missing)
            await self._know_needs(workspace, fresh)
            known.update((each.entry.id, each) for each in fresh)
            if not self._database.is_open():  # what a transaction has done may be undone
                self._lines.keep(fresh)
        agents = [known[mark.id] for mark in marks if mark.id in known]  # one may have gone since
        await self._tell_needs(workspace, agents)
        return [encoded(each) for each in agents], total

    async def get(self, workspace: WorkspaceId, user: UserId, id: LibraryAgentId) -> Entry:
        """One agent. Raises ``NotFound``."""
        found = await (await self._entries(workspace, user)).one(id)
        if found is None:
            raise _unknown(id)
        await self._know_needs(workspace, [found])
        await self._tell_needs(workspace, [found])
        return found.entry

    async def of_graph(self, workspace: WorkspaceId, user: UserId, graph: GraphId) -> Entry:
        """The agent of a graph. Raises ``NotFound``."""
        found = await (await self._entries(workspace, user)).of_graph(graph)
        if found is None:
            raise NotFound(f"There is no agent of the graph {graph} in the library.", fix="Add it first.")
        await self._know_needs(workspace, [found])
        await self._tell_needs(workspace, [found])
        return found.entry

    # ---- changing ---------------------------------------------------------------------------------------------------

    async def add(self, workspace: WorkspaceId, graph: GraphId, version: int | None = None) -> LibraryAgentId:
        """Put a graph into the library, where it may be already; ``version`` pins it. Raises ``NotFound``."""
        async with self._repository(workspace) as repository:
            await self._graphs.head(workspace, graph)
            agent = await repository.of_graph(graph)
            assert agent is not None, "the database makes an entry for every graph"
            await repository.change(agent, removed_at=None, is_part=False)
            if version is not None:
                await self._pin(repository, agent, version)
            return LibraryAgentId(agent.id)

    async def update(self, workspace: WorkspaceId, user: UserId, id: LibraryAgentId, changes: Changes) -> None:
        """Change an agent.

        Raises:
            NotFound: there is no such agent, version or folder.
        """
        async with self._repository(workspace) as repository:
            if not isinstance(changes.folder, Unset):
                await _use_folder(repository, changes.folder)
            agent = await _present(repository, id)
            if not isinstance(changes.folder, Unset):
                await repository.change(agent, folder_id=changes.folder)
            if changes.archived is not None:
                await repository.change(agent, is_archived=changes.archived)
            if changes.favorite is not None:
                await repository.like(user, id, likes=changes.favorite)
            if not isinstance(changes.pinned, Unset):
                await self._pin(repository, agent, changes.pinned)
            if changes.settings:
                merged = {**agent.settings, **changes.settings}
                settings = {name: value for name, value in merged.items() if value is not None}
                await repository.change(agent, is_touched=True, settings=settings)

    async def like(self, workspace: WorkspaceId, user: UserId, id: LibraryAgentId, *, likes: bool) -> None:
        """Say whether somebody likes an agent. Raises ``NotFound``."""
        async with self._repository(workspace) as repository:
            await _present(repository, id)
            await repository.like(user, id, likes=likes)

    async def move(self, workspace: WorkspaceId, ids: Collection[LibraryAgentId], folder: FolderId | None) -> None:
        """Put agents into a folder, or out of all. Raises ``NotFound``: then none is moved."""
        async with self._repository(workspace) as repository:
            await _use_folder(repository, folder)
            missing = set(ids) - await repository.file(ids, folder)
            if missing:
                raise _unknown(min(missing))

    async def keep_folder(self, workspace: WorkspaceId, folder: FolderId) -> None:
        """Let the folder be there until the transaction ends in which this is called. Raises ``NotFound``."""
        async with self._repository(workspace) as repository:
            await _use_folder(repository, folder)

    async def remove(self, workspace: WorkspaceId, id: LibraryAgentId) -> None:
        """Take an agent out of the library; its graph and its runs stay. Raises ``NotFound``."""
        async with self._repository(workspace) as repository:
            await repository.remove(await _present(repository, id))

    async def fork(self, workspace: WorkspaceId, user: UserId, id: LibraryAgentId) -> LibraryAgentId:
        """Copy an agent with its sub-agents under new ids; the copy names its origin, and lies beside it.

        Raises:
            NotFound: there is no such agent.
            InvalidAgent: by now it could not be saved as it is.
        """
        async with self._repository(workspace) as repository:
            await repository.hold_folders()
            origin = await _present(repository, id)
            agent = await self._graphs.agent(workspace, GraphId(origin.graph_id), origin.version, partial=True)
            copy = with_new_ids(agent, lambda: str(uuid7()))
            for graph, before in zip(copy.graphs, agent.graphs, strict=True):
                graph.forked_from_id, graph.forked_from_version = before.id, before.version
            copy.name = f"{copy.name[:480]} (copy)"
            row = await self._graphs.save(workspace, copy, SaveTerms(user))
            made = await repository.of_graph(row.id)
            assert made is not None, "the database makes an entry for every graph"
            await repository.change(made, folder_id=origin.folder_id, settings=origin.settings)
            return LibraryAgentId(made.id)

    async def _pin(self, repository: "LibraryRepository", agent: "LibraryAgent", version: int | None) -> None:
        """Let this version run from now on, whatever is active. Raises ``NotFound``."""
        workspace, graph = WorkspaceId(agent.workspace_id), GraphId(agent.graph_id)
        row = await self._graphs.get(workspace, graph, version)
        description = str(row.document.get("description") or "")
        await repository.change(agent, is_touched=True, pinned_version=version, name=row.name, description=description)

    # ---- inside -----------------------------------------------------------------------------------------------------

    async def _entries(self, workspace: WorkspaceId, user: UserId) -> Entries:
        if not self._basis:
            self._basis = await asyncio.to_thread(basis_of, self._registry)
        return Entries(self._fetch(workspace), workspace, user, self._basis)

    def _fetch(self, workspace: WorkspaceId) -> Fetch:
        """How rows are read: by the transaction that goes on, if there is one, because it sees what was done in it."""

        async def fetch(query: str, *values: Any) -> Any:
            if not self._database.is_open():
                return await self._reader.fetch(workspace, query, *values)
            async with self._repository(workspace) as repository:
                return await repository.fetch(query, *values)

        return fetch

    async def _know_needs(self, workspace: WorkspaceId, agents: Iterable[Found]) -> None:
        for each in agents:
            if each.needs is None:
                each.needs = await self._look_up_needs(workspace, each.entry)

    async def _tell_needs(self, workspace: WorkspaceId, agents: Iterable[Found]) -> None:
        """Say of each agent whether credentials are missing."""
        needy = [each for each in agents if each.needs != NOTHING]
        if not needy:
            return
        offers = await self._credentials.offers(workspace)
        missing: dict[str, bool] = {}
        for each in needy:
            needs = str(each.needs)
            if needs not in missing:
                missing[needs] = not are_met(needs, offers)
            if each.entry.needs_credentials != missing[needs]:
                each.entry.needs_credentials, each.line = missing[needs], b""

    async def _look_up_needs(self, workspace: WorkspaceId, entry: Entry) -> str:
        """What the agent needs, read from itself and kept."""
        agent = await self._graphs.agent(workspace, GraphId(entry.graph_id), entry.graph_version, partial=True)
        needs = written_needs(await asyncio.to_thread(needs_of, agent, self._registry))
        kept = (workspace, entry.id, entry.graph_version, needs, self._basis)
        await self._fetch(workspace)(_KEEP_NEEDS, *kept)
        return needs

    @contextlib.asynccontextmanager
    async def _repository(self, workspace: WorkspaceId) -> "AsyncIterator[LibraryRepository]":
        from treadle.features.library.repository import LibraryRepository  # noqa: PLC0415 (loads SQLAlchemy)

        async with self._database.transaction(workspace) as session:
            yield LibraryRepository(session, workspace)


async def _present(repository: "LibraryRepository", id: LibraryAgentId) -> "LibraryAgent":
    agent = await repository.get(id)
    if agent is None:
        raise _unknown(id)
    return agent


async def _use_folder(repository: "LibraryRepository", folder: FolderId | None) -> None:
    """Keep the folder there until the transaction ends. Raises ``NotFound``."""
    await repository.hold_folders()
    if folder is not None and not await repository.has_folder(folder):
        raise NotFound(f"There is no folder {folder}.", fix="List the folders to find its id.")


def _unknown(id: object) -> NotFound:
    return NotFound(f"There is no agent {id} in the library.", fix="List the agents to find its id.")
