"""Key-value storage that outlives a run, for the blocks that store and retrieve information."""

from typing import Any

import asyncpg
import msgspec

from treadle.base.ids import WorkspaceId
from treadle.engine.summary import plain_json
from treadle.kernel.records import unmarked


class StoredValues:
    """The stored values of one workspace (``treadle.sdk.context.Storage``)."""

    def __init__(self, pool: asyncpg.Pool, workspace: WorkspaceId) -> None:
        self._pool = pool
        self._workspace = workspace

    async def get(self, key: str) -> Any:
        """The value; None when there is none."""
        found = await self._pool.fetchval(
            "SELECT value FROM stored_values WHERE workspace_id = $1 AND key = $2", self._workspace, key
        )
        return None if found is None else unmarked(msgspec.json.decode(found))

    async def set(self, key: str, value: Any) -> None:
        """Store the value under the key, instead of what was there."""
        await self._pool.execute(
            "INSERT INTO stored_values (workspace_id, key, value) VALUES ($1, $2, $3)"
            " ON CONFLICT (workspace_id, key) DO UPDATE SET value = excluded.value, updated_at = now()",
            self._workspace,
            key,
            msgspec.json.encode(plain_json(value)).decode(),
        )
