"""Gives vectors to the texts that wait for one. The database is the queue: what has no embedding waits."""

import asyncio
import logging
from collections.abc import Iterable, Sequence

import asyncpg

from treadle.features.search.embedders import AT_ONCE, Embedder, EmbeddingFailed, Vector
from treadle.features.search.texts import BlockText

FIRST_SECONDS = 60.0
"""After the start: not while people wait for it, and not in a process that is stopped again at once."""
LOOK_SECONDS = 60.0
"""Between looks for what other processes have saved, and for what failed."""
SETTLE_SECONDS = 1.0
"""After a hint, so that a transaction that goes on can end, and a burst of saves is one batch."""
_FORGOTTEN = "90 days"

_log = logging.getLogger(__name__)

_CLAIM = """
UPDATE {table} t SET tries = t.tries + 1, due_at = now() + make_interval(secs => 60 * least(t.tries + 1, 60))
FROM (
    SELECT ctid FROM {table} WHERE embedding IS NULL AND due_at <= now() {more}
    ORDER BY due_at LIMIT {limit} FOR UPDATE SKIP LOCKED
) AS due WHERE t.ctid = due.ctid
RETURNING {key}, t.digest, t.title, t.body
"""
_CLAIM_BLOCKS = _CLAIM.format(
    table="block_texts", key="NULL AS owner, NULL AS id", more="AND model = $1", limit=AT_ONCE
)
_CLAIM_GRAPHS = _CLAIM.format(
    table="graph_texts", key="t.workspace_id AS owner, t.graph_id AS id", more="", limit=AT_ONCE
)


class Backlog:
    """Works off what waits, in one process at a time for each text; a text whose process dies is taken up again."""

    def __init__(self, pool: asyncpg.Pool, embedder: Embedder, blocks: Iterable[tuple[bytes, BlockText]]) -> None:
        self._pool = pool
        self._embedder = embedder
        self._blocks = dict(blocks)
        self._hint = asyncio.Event()
        self._known = False

    def hint(self) -> None:
        """There may be something to do."""
        self._hint.set()

    async def run(self) -> None:
        """Work until cancelled. What fails is logged, and tried again later and later."""
        pause = FIRST_SECONDS
        while True:
            try:
                await asyncio.wait_for(self._hint.wait(), pause)
                await asyncio.sleep(SETTLE_SECONDS)
            except TimeoutError:
                pass
            self._hint.clear()
            pause = LOOK_SECONDS
            try:
                await self.work_off()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                _log.exception("texts that wait for their embeddings could not be read; they are looked at again")

    async def work_off(self) -> int:
        """Give a vector to everything that is due; to how many texts."""
        await self.know_blocks()
        done = 0
        for claim in (_CLAIM_BLOCKS, _CLAIM_GRAPHS):
            while rows := await self._claimed(claim):
                try:
                    vectors = await self._embedder.embed([f"{row['title']}. {row['body']}" for row in rows])
                except EmbeddingFailed as error:
                    _log.warning("%s Searches go by words meanwhile.", error.message)
                    return done
                await self._keep(rows, vectors)
                done += len(rows)
        return done

    async def know_blocks(self) -> None:
        """Enter this install's blocks, and let what another model has made be made anew; once in each process."""
        if self._known:
            return
        model, blocks = self._embedder.model, self._blocks
        await self._pool.execute(
            "INSERT INTO block_texts (digest, model, title, body)"
            " SELECT digest, $1, title, body FROM unnest($2::bytea[], $3::text[], $4::text[]) AS b(digest, title, body)"
            " ON CONFLICT DO NOTHING",
            model,
            list(blocks),
            [each.title for each in blocks.values()],
            [each.body for each in blocks.values()],
        )
        await self._pool.execute(
            "DELETE FROM block_texts WHERE NOT digest = ANY ($1::bytea[]) AND created_at < now() - $2::text::interval",
            list(blocks),
            _FORGOTTEN,
        )
        await self._pool.execute(
            "UPDATE graph_texts SET embedding = NULL, tries = 0, due_at = now()"
            " WHERE embedding IS NOT NULL AND model <> $1",
            model,
        )
        self._known = True

    async def _claimed(self, claim: str) -> Sequence[asyncpg.Record]:
        values = (self._embedder.model,) if claim is _CLAIM_BLOCKS else ()
        return list(await self._pool.fetch(claim, *values))

    async def _keep(self, rows: Sequence[asyncpg.Record], vectors: Sequence[Vector]) -> None:
        """Write the vectors; a text that was changed meanwhile keeps waiting."""
        model = self._embedder.model
        for row, vector in zip(rows, vectors, strict=True):
            if row["owner"] is None:
                await self._pool.execute(
                    "UPDATE block_texts SET embedding = $3::text::vector WHERE digest = $1 AND model = $2",
                    *(row["digest"], model, as_text(vector)),
                )
            else:
                await self._pool.execute(
                    "UPDATE graph_texts SET embedding = $4::text::vector, model = $5, tries = 0"
                    " WHERE workspace_id = $1 AND graph_id = $2 AND digest = $3",
                    *(row["owner"], row["id"], row["digest"], as_text(vector), model),
                )


def as_text(vector: Vector) -> str:
    """A vector as pgvector reads it."""
    return f"[{','.join(map(repr, vector))}]"
