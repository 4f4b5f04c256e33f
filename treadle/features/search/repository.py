"""The texts that are searched, as the process that gives them their vectors reads and writes them: of everybody."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from treadle.features.search.embedders import AT_ONCE, Vector
from treadle.features.search.texts import BlockText

UNREACHABLE = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)
"""What is raised when the database does not do what it is told."""
_FORGOTTEN = "90 days"

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


@dataclass(frozen=True, slots=True)
class Waiting:
    """A text that waits for its vector, claimed for a minute or more."""

    owner: UUID | None
    """The workspace of an agent; None for a block."""
    id: str | None
    digest: bytes
    title: str
    body: str


class Texts:
    """The texts of an install. ``pool`` is of the engine's role, which sees every workspace's."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def know(self, model: str, blocks: Mapping[bytes, BlockText]) -> None:
        """Enter this install's blocks, and let what another model has made be made anew."""
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

    async def claim(self, model: str) -> list[Waiting]:
        """Some of what is due, blocks first; nobody else gets the same for a while."""
        rows: Sequence[asyncpg.Record] = await self._pool.fetch(_CLAIM_BLOCKS, model)
        rows = rows or await self._pool.fetch(_CLAIM_GRAPHS)
        return [Waiting(row["owner"], row["id"], row["digest"], row["title"], row["body"]) for row in rows]

    async def keep(self, text: Waiting, model: str, vector: Vector) -> None:
        """Write a vector; a text that was changed meanwhile keeps waiting."""
        if text.owner is None:
            await self._pool.execute(
                "UPDATE block_texts SET embedding = $3::text::vector WHERE digest = $1 AND model = $2",
                *(text.digest, model, as_text(vector)),
            )
        else:
            await self._pool.execute(
                "UPDATE graph_texts SET embedding = $4::text::vector, model = $5, tries = 0"
                " WHERE workspace_id = $1 AND graph_id = $2 AND digest = $3",
                *(text.owner, text.id, text.digest, as_text(vector), model),
            )


def as_text(vector: Vector) -> str:
    """A vector as pgvector reads it."""
    return f"[{','.join(map(repr, vector))}]"
