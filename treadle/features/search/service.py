"""Searching blocks and agents by words and by meaning, and what is worth suggesting."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from treadle.base.ids import BlockId, UserId, WorkspaceId, uuid7
from treadle.base.reading import WorkspaceReader
from treadle.features.search import queries
from treadle.features.search.backlog import Backlog
from treadle.features.search.embedders import Embedder, EmbeddingFailed, Vector
from treadle.features.search.repository import Texts, as_text
from treadle.features.search.texts import block_texts
from treadle.sdk.registry import Registry

WAIT_SECONDS = 3.0
"""How long a search waits for the meaning of what is searched; the model may have to be loaded first."""
RECENT_KEPT = 20
"""Searches that are remembered of each person in a workspace."""
_VECTORS_KEPT = 500
_RUNS_LOOKED_AT = 10_000

_log = logging.getLogger(__name__)


class FoundKind(StrEnum):
    """What can be found."""

    BLOCK = "block"
    AGENT = "agent"


@dataclass(frozen=True, slots=True)
class Found:
    """A block or an agent that fits; the more points, the better."""

    kind: FoundKind
    id: str
    points: float


@dataclass(frozen=True, slots=True)
class Results:
    """Everything that was found, the best first."""

    items: list[Found] = field(default_factory=list)
    by_meaning: bool = False
    """Whether meaning was looked at too: the model answered in time."""


@dataclass(frozen=True, slots=True)
class RecentSearch:
    """What somebody has searched for."""

    id: UUID
    query: str
    searched_at: datetime


class Search:
    """The search of an install."""

    def __init__(
        self,
        reader: WorkspaceReader,
        texts: Texts,
        registry: Registry,
        embedder: Embedder,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        self._reader = reader
        self._embedder = embedder
        self._wait_seconds = wait_seconds
        self._blocks = block_texts(registry)
        self._vectors: OrderedDict[str, asyncio.Task[Vector]] = OrderedDict()
        self.backlog = Backlog(texts, embedder, self._blocks)

    async def find(self, workspace: WorkspaceId, text: str, kinds: Sequence[FoundKind] = tuple(FoundKind)) -> Results:
        """What fits the text: this install's blocks, and the workspace's agents."""
        words, prefix = queries.word_queries(text)
        if not words:
            return Results()
        await self.backlog.know_blocks()
        vector = await self._meaning(text)
        self.backlog.hint()
        asked = (words, prefix, text, vector, self._embedder.model, self._embedder.least)
        items: list[Found] = []
        if FoundKind.BLOCK in kinds:
            mine = (list(self._blocks), self._embedder.model)
            for row in await self._reader.fetch(workspace, queries.BLOCKS, *mine, *asked):
                block = self._blocks[row["key"]].block
                items.append(Found(FoundKind.BLOCK, block.id, float(row["points"])))
        if FoundKind.AGENT in kinds:
            for row in await self._reader.fetch(workspace, queries.GRAPHS, workspace, *asked):
                items.append(Found(FoundKind.AGENT, row["key"], float(row["points"])))
        return Results(sorted(items, key=lambda each: -each.points), vector is not None)

    def expect(self) -> None:
        """A search may come soon: load the model."""
        self._vector_of("hello")

    async def _meaning(self, text: str) -> str | None:
        """The text's vector; None when it is not there in time."""
        try:
            return as_text(await asyncio.wait_for(asyncio.shield(self._vector_of(text)), self._wait_seconds))
        except TimeoutError:
            return None
        except EmbeddingFailed as error:
            self._vectors.pop(text, None)
            _log.warning("%s The search went by words.", error.message)
            return None

    def _vector_of(self, text: str) -> "asyncio.Task[Vector]":
        found = self._vectors.get(text)
        if found is None:
            found = self._vectors[text] = asyncio.create_task(self._embedded(text), name="meaning-of-search")
            found.add_done_callback(_retrieved)
            if len(self._vectors) > _VECTORS_KEPT:
                self._vectors.popitem(last=False)
        return found

    async def _embedded(self, text: str) -> Vector:
        return (await self._embedder.embed([text]))[0]

    # ---- what people have searched for ------------------------------------------------------------------------------

    async def remember(self, workspace: WorkspaceId, user: UserId, query: str, again: UUID | None = None) -> UUID:
        """Remember a search; ``again`` names one that this goes on with, letter by letter."""
        id = again or uuid7()
        async with self._reader.connection(workspace) as connection, connection.transaction():
            kept = await connection.fetchval(
                "INSERT INTO recent_searches (id, workspace_id, user_id, query) VALUES ($1, $2, $3, $4)"
                " ON CONFLICT (id) DO UPDATE SET query = excluded.query, searched_at = now()"
                " WHERE recent_searches.workspace_id = $2 AND recent_searches.user_id = $3 RETURNING id",
                *(id, workspace, user, query),
            )
            if kept is None:  # somebody else's search: this one is another
                id = uuid7()
                await connection.execute(
                    "INSERT INTO recent_searches (id, workspace_id, user_id, query) VALUES ($1, $2, $3, $4)",
                    *(id, workspace, user, query),
                )
            await connection.execute(_FORGET_OLD, workspace, user, RECENT_KEPT)
        return id

    async def recent(self, workspace: WorkspaceId, user: UserId, limit: int = 5) -> list[RecentSearch]:
        """The latest searches of a person, each text once."""
        rows = await self._reader.fetch(
            workspace,
            "SELECT id, query, searched_at FROM (SELECT DISTINCT ON (lower(query)) id, query, searched_at"
            " FROM recent_searches WHERE workspace_id = $1 AND user_id = $2 ORDER BY lower(query), searched_at DESC)"
            " AS each ORDER BY searched_at DESC, id DESC LIMIT $3",
            *(workspace, user, limit),
        )
        return [RecentSearch(row["id"], row["query"], row["searched_at"]) for row in rows]

    async def forget(self, workspace: WorkspaceId, user: UserId) -> None:
        """Forget what a person has searched for."""
        async with self._reader.connection(workspace) as connection:
            await connection.execute(
                "DELETE FROM recent_searches WHERE workspace_id = $1 AND user_id = $2", workspace, user
            )

    # ---- what is used -----------------------------------------------------------------------------------------------

    async def most_used(self, workspace: WorkspaceId, limit: int) -> list[BlockId]:
        """The blocks in the runs of the last 30 days, those in most runs first; without runs, those in most agents."""
        for query in (_IN_RUNS, _IN_AGENTS):
            rows = await self._reader.fetch(workspace, query, workspace, limit)
            if rows:
                return [BlockId(row["block"]) for row in rows]
        return []


_FORGET_OLD = """
DELETE FROM recent_searches WHERE workspace_id = $1 AND user_id = $2 AND id NOT IN (
    SELECT id FROM recent_searches WHERE workspace_id = $1 AND user_id = $2
    ORDER BY searched_at DESC, id DESC LIMIT $3)
"""

_IN_RUNS = f"""
WITH runs AS (
    SELECT graph_id, graph_version, count(*) AS times FROM (
        SELECT graph_id, graph_version, created_at FROM executions
        WHERE workspace_id = $1 AND parent_id IS NULL ORDER BY id DESC LIMIT {_RUNS_LOOKED_AT}
    ) AS latest WHERE created_at > now() - interval '30 days' GROUP BY graph_id, graph_version
)
SELECT block, sum(times) AS times FROM (
    SELECT used.block, times FROM runs
    JOIN graphs g ON g.workspace_id = $1 AND g.id = runs.graph_id AND g.version = runs.graph_version
    CROSS JOIN LATERAL jsonb_object_keys(g.blocks) AS used(block)
    UNION ALL SELECT substr(graph_id, 7), times FROM runs WHERE graph_id LIKE 'block:%'
) AS each GROUP BY block ORDER BY times DESC, block LIMIT $2
"""

_IN_AGENTS = """
SELECT used.block, count(*) AS times FROM graph_heads h
JOIN graphs g ON g.workspace_id = $1 AND g.id = h.id AND g.version = h.newest_version
CROSS JOIN LATERAL jsonb_object_keys(g.blocks) AS used(block)
WHERE h.workspace_id = $1 AND h.deleted_at IS NULL GROUP BY used.block ORDER BY times DESC, used.block LIMIT $2
"""


def _retrieved(task: "asyncio.Task[Vector]") -> None:
    """Nobody may have waited for it: a failure is told to whoever asks next."""
    if not task.cancelled():
        task.exception()
