"""Deleted workspaces go for good, with everything in them, once nobody can bring them back any more.

What stays is a row that says that there was one, without a name, and the audit log, which nobody can change.
"""

import asyncio
import logging
import shutil
from collections.abc import Iterable
from datetime import timedelta
from graphlib import TopologicalSorter
from pathlib import Path

import asyncpg

from treadle.base.database import connect
from treadle.base.ids import WorkspaceId, uuid7
from treadle.features.files.store import FileStore, LocalFileStore

_LOCK = 0x7472_6561_646C_6502
_BATCH = 500
_KEPT = frozenset({"audit_log"})
_DUE = "SELECT id FROM workspaces WHERE deleted_at <= now() - $1::interval AND purged_at IS NULL"
_OPEN_RUNS = (
    "SELECT id FROM executions WHERE workspace_id = $1 AND parent_id IS NULL"
    " AND status NOT IN ('COMPLETED', 'FAILED', 'TERMINATED')"
)
_TABLES = """
    SELECT c.relname AS name, array_agg(DISTINCT other.relname) FILTER (WHERE other.oid <> c.oid) AS refers_to
    FROM pg_class c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'workspace_id' AND NOT a.attisdropped
    LEFT JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype = 'f'
    LEFT JOIN pg_class other ON other.oid = k.confrelid
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    GROUP BY c.oid, c.relname
"""
_PURGED = "UPDATE workspaces SET purged_at = now(), name = '' WHERE id = $1 AND deleted_at IS NOT NULL"
_RECORD = "INSERT INTO audit_log (id, workspace_id, action, target) VALUES ($1, $2, 'workspace.purged', $3)"
_log = logging.getLogger(__name__)


async def purge_workspaces(dsn_owner: str, home: Path, grace: timedelta) -> int:
    """Remove the workspaces that were deleted longer than ``grace`` ago; how many.

    One in which something still runs is left for the next time. Of several processes one does it.
    """
    connection = await connect(dsn_owner)
    try:
        if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):
            return 0
        due = await connection.fetch(_DUE, grace)
        return sum([await _purged(connection, WorkspaceId(row["id"]), home) for row in due])
    finally:
        await connection.close()


async def _purged(connection: asyncpg.Connection, workspace: WorkspaceId, home: Path) -> bool:
    """Whether everything is gone. Done again, it goes on where it stopped."""
    if not await _remove_runs(connection, workspace):
        return False
    await _remove_files(connection, workspace, LocalFileStore(home / "files"))
    for table in await tables_with_people_data(connection):
        await connection.execute(f"DELETE FROM {table} WHERE workspace_id = $1", workspace)
    await asyncio.to_thread(shutil.rmtree, home / "values" / str(workspace), ignore_errors=True)
    async with connection.transaction():
        await connection.execute(_PURGED, workspace)
        await connection.execute(_RECORD, uuid7(), workspace, str(workspace))
    _log.info("removed a deleted workspace", extra={"workspace": str(workspace)})
    return True


async def _remove_runs(connection: asyncpg.Connection, workspace: WorkspaceId) -> bool:
    """Remove all runs with their records, each in a transaction of its own; False when one is not over."""
    if await connection.fetchval(f"{_OPEN_RUNS} LIMIT 1", workspace) is not None:
        return False
    await connection.execute("SELECT set_config('treadle.workspace_id', $1, false)", str(workspace))
    roots = "SELECT id FROM executions WHERE workspace_id = $1 AND parent_id IS NULL LIMIT $2"
    while rows := await connection.fetch(roots, workspace, _BATCH):
        for row in rows:
            if await connection.fetchval("SELECT executions_delete_v1($1)", row["id"]) == "open":
                return False  # it was started again a moment ago
    return True


async def _remove_files(connection: asyncpg.Connection, workspace: WorkspaceId, files: FileStore) -> None:
    some = "DELETE FROM files WHERE id IN (SELECT id FROM files WHERE workspace_id = $1 LIMIT $2) RETURNING place"
    while rows := await connection.fetch(some, workspace, _BATCH):
        for row in rows:
            await files.remove(row["place"])


async def tables_with_people_data(connection: asyncpg.Connection) -> Iterable[str]:
    """Every table with rows of workspaces, those that refer to others before these; read from the database itself.

    So a table that is added later cannot be forgotten.
    """
    found = {row["name"]: row["refers_to"] or [] for row in await connection.fetch(_TABLES)}
    order: TopologicalSorter[str] = TopologicalSorter(dict.fromkeys(found, ()))
    for name, others in found.items():
        for other in others:
            order.add(other, name)
    return [name for name in order.static_order() if name in found and name not in _KEPT]
