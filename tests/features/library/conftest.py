"""What tests of the library share: a database with two workspaces, their libraries, and runs that end as told."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from tests.features.graphs.samples import CHILD, REGISTRY, agent, node
from treadle.base.database import DatabaseUrls, create_pool
from treadle.base.ids import LOCAL_WORKSPACE, GraphId, LibraryAgentId, UserId, WorkspaceId, uuid7
from treadle.base.reading import WorkspaceReader
from treadle.base.sessions import WorkspaceDatabase
from treadle.engine.bell import PostgresBell
from treadle.engine.blobs import LocalBlobs
from treadle.engine.store import Store
from treadle.features.credentials.keyring import Keyring
from treadle.features.credentials.service import CredentialsSource
from treadle.features.graphs.document import AgentFile
from treadle.features.graphs.service import Graphs, SaveTerms
from treadle.features.graphs.storage import GraphStorage
from treadle.features.library.entries import Entry, EntryQuery
from treadle.features.library.service import Library
from treadle.kernel.states import FINAL, Status

ANN, BEN = UserId(UUID(int=1)), UserId(UUID(int=2))


@dataclass(frozen=True, slots=True)
class Two:
    """A database, and two workspaces in it that must not see each other."""

    urls: DatabaseUrls
    database: WorkspaceDatabase
    mine: WorkspaceId
    theirs: WorkspaceId


@pytest.fixture
async def two(database: DatabaseUrls) -> AsyncIterator[Two]:
    theirs = WorkspaceId(uuid7())
    owner = await asyncpg.connect(database.owner)
    await owner.execute("INSERT INTO workspaces (id, name) VALUES ($1, 'theirs')", theirs)
    await owner.close()
    opened = WorkspaceDatabase(database.api)
    yield Two(database, opened, LOCAL_WORKSPACE, theirs)
    await opened.close()


@dataclass(frozen=True, slots=True)
class Shelf:
    """The library of the first workspace, as Ann sees it unless said otherwise."""

    two: Two
    library: Library
    graphs: Graphs
    engine: asyncpg.Pool
    started: list[UUID]
    """The runs, in the order in which they were started, and so of their ids."""

    async def save(self, graph: str, *, in_workspace: WorkspaceId | None = None, **keys: Any) -> LibraryAgentId:
        """Save an agent with a single node, named as the graph unless said otherwise; its entry."""
        return await self.save_agent(simple(graph, **keys), in_workspace=in_workspace)

    async def save_agent(self, agent: AgentFile, *, in_workspace: WorkspaceId | None = None) -> LibraryAgentId:
        """Save an agent; its entry."""
        workspace = in_workspace or self.two.mine
        row = await self.graphs.save(workspace, agent, SaveTerms(ANN))
        return LibraryAgentId((await self.library.of_graph(workspace, ANN, GraphId(row.id))).id)

    async def get(self, id: LibraryAgentId) -> Entry:
        return await self.library.get(self.two.mine, ANN, id)

    async def names(self, **query: Any) -> list[str]:
        """The names of a list."""
        found, _ = await self.library.page(self.two.mine, ANN, EntryQuery(**query))
        return [each.name for each in found]

    async def run(self, graph: str, status: str, *, id: UUID | None = None, error: str | None = None) -> UUID:
        """A run of a graph that stands so from the beginning."""
        made = id or uuid7()
        while id is None and self.started and made <= self.started[-1]:
            made = uuid7()  # two of one millisecond have no order
        self.started.append(made)
        over = Status(status) in FINAL
        await self.engine.execute(
            "INSERT INTO executions (id, root_id, workspace_id, graph_id, graph_version, plan_digest, status, format,"
            " started_at, ended_at, error) VALUES ($1, $1, $2, $3, 1, '', $4, 1, now(),"
            " CASE WHEN $5 THEN now() END, $6)",
            made,
            self.two.mine,
            graph,
            status,
            over,
            error,
        )
        return made

    async def turn(self, moves: Mapping[UUID, str]) -> None:
        """Runs go on to other states, all in one statement."""
        await self.engine.execute(
            "UPDATE executions e SET status = m.status::execution_status,"
            " ended_at = CASE WHEN m.status IN ('COMPLETED', 'FAILED', 'TERMINATED') THEN now() END"
            " FROM unnest($1::uuid[], $2::text[]) AS m(id, status) WHERE e.id = m.id",
            list(moves),
            list(moves.values()),
        )


@pytest.fixture
async def shelf(two: Two, tmp_path: Path) -> AsyncIterator[Shelf]:
    reader = await WorkspaceReader.open(two.urls.api)
    engine = await create_pool(two.urls.engine, min_size=0, max_size=4)
    store = Store(engine, PostgresBell(engine), LocalBlobs(tmp_path))
    graphs = Graphs(GraphStorage(two.database), store, REGISTRY)
    credentials = CredentialsSource(Keyring([], {}, tmp_path))
    yield Shelf(two, Library(two.database, reader, graphs, REGISTRY, credentials), graphs, engine, [])
    await engine.close()
    reader.close()


def simple(graph: str, *, text: str = "", **keys: Any) -> AgentFile:
    """An agent with one node."""
    return agent([node("a", "text", text=text)], **{"id": graph, "name": graph, **keys})


def parent(name: str, child: str, **keys: Any) -> AgentFile:
    """An agent that runs another, which comes with it."""
    below = {"id": child, "name": child, "nodes": [node("b", "text", text=child)]}
    return agent([node("c", CHILD, graph_id=child, graph_version=1)], sub_graphs=[below], id=name, name=name, **keys)
