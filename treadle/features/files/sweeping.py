"""Files whose time is over go, and what uploads left behind that never came to an end."""

import asyncpg

from treadle.features.files.store import FileStore

_BATCH = 500
_EXPIRED = (
    "DELETE FROM files WHERE id IN (SELECT id FROM files WHERE expires_at < now()"
    " OR (status = 'ARRIVING' AND created_at < now() - interval '1 day') LIMIT $1) RETURNING place"
)


async def sweep_files(pool: asyncpg.Pool, store: FileStore) -> int:
    """Remove them, in all workspaces, as the engine; how many."""
    removed = 0
    while rows := await pool.fetch(_EXPIRED, _BATCH):
        for row in rows:
            await store.remove(row["place"])
        removed += len(rows)
    return removed
