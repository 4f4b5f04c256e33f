"""How long the past is kept: monthly partitions of the journal, and large values that nothing refers to any more.

Partitions are made and dropped by the owner of the schema; everything else is done as the engine. A root's partition
follows from its id, which begins with the milliseconds of its creation.
"""

import asyncio
import logging
import re
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import asyncpg

from treadle.base.database import connect
from treadle.base.ids import WorkspaceId, uuid7

MONTHS_AHEAD = 3
GRACE = timedelta(days=1)
"""A large value younger than this is never swept: the record that will refer to it may still be on its way."""

_LOCK = 0x7472_6561_646C_6501
_NAME = re.compile(r"journal_(\d{4})_(\d{2})")
_PARTITIONS = (
    "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'journal'::regclass"
)
_REFERENCE = re.compile(rb'"\$blob": ?\["([0-9a-f]{64})"')
_REFERRING = {
    "executions": ("inputs", "outputs"),
    "inbox": ("payload",),
    "reviews": ("payload", "decision"),
    "snapshots": ("body",),
    "spilled": ("body",),
    "journal": ("body",),
}
"""Everything that may refer to large values: columns by table."""
_FINAL = "status IN ('COMPLETED', 'FAILED', 'TERMINATED')"
_log = logging.getLogger(__name__)


def first_id(moment: datetime) -> UUID:
    """The lowest id that can be made at this moment or later."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)


async def ensure_partitions(dsn_owner: str, *, now: datetime | None = None, months: int = MONTHS_AHEAD) -> list[str]:
    """Make the partitions of this month and the next ``months``; the names of those that were missing."""
    connection = await connect(dsn_owner)
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
            known = {row["relname"] for row in await connection.fetch(_PARTITIONS)}
            month, made = _month_of(now or datetime.now(UTC)), []
            for _ in range(months + 1):
                name = f"journal_{month:%Y_%m}"
                if name not in known:
                    await _make(connection, name, first_id(month), first_id(_next(month)))
                    made.append(name)
                month = _next(month)
            return made
    finally:
        await connection.close()


async def drop_expired(dsn_owner: str, keep: timedelta, *, now: datetime | None = None) -> list[str]:
    """Drop the partitions all of whose roots began longer than ``keep`` ago; the names of those dropped.

    The journals of roots that are not over are moved to the default partition first: whatever still runs keeps its
    past. The rows of dropped executions go too, with their reviews, charges, snapshots and inboxes.
    """
    limit = (now or datetime.now(UTC)) - keep
    connection = await connect(dsn_owner)
    try:
        names = sorted(row["relname"] for row in await connection.fetch(_PARTITIONS))
        dropped = []
        for name in names:
            match = _NAME.fullmatch(name)
            month = datetime(int(match[1]), int(match[2]), 1, tzinfo=UTC) if match else None
            if month is not None and _next(month) <= limit:
                await _drop(connection, name, first_id(month), first_id(_next(month)))
                dropped.append(name)
        await _drop_stragglers(connection, first_id(limit))
        return dropped
    finally:
        await connection.close()


async def sweep_blobs(dsn: str, folder: Path, *, grace: timedelta = GRACE) -> int:
    """Remove large values that no record, snapshot or row refers to and that are older than ``grace``; how many.

    The files are listed before the references are read, so that a value which comes into use meanwhile is kept.
    """
    connection = await connect(dsn)
    removed = 0
    try:
        for place in await asyncio.to_thread(_workspaces, folder):
            old = await asyncio.to_thread(_old_files, place, time.time() - grace.total_seconds())
            if old:
                used = await _references(connection, WorkspaceId(UUID(place.name)))
                removed += await asyncio.to_thread(
                    _remove, (path for name, path in old.items() if name not in used), grace
                )
    finally:
        await connection.close()
    return removed


async def drop_snapshots(pool: asyncpg.Pool) -> None:
    """Snapshots of runs that are over are of no more use, nor is what those kept out of memory.

    A worker that had lost its lease may have written some of that after the run was over, and even deleted.
    """
    for table in ("snapshots", "spilled"):
        await pool.execute(f"DELETE FROM {table} s USING executions e WHERE e.id = s.root_id AND e.{_FINAL}")
    gone = "NOT EXISTS (SELECT 1 FROM executions e WHERE e.id = s.root_id)"
    await pool.execute(f"DELETE FROM spilled s WHERE s.root_id < $1 AND {gone}", first_id(datetime.now(UTC) - GRACE))


# --- partitions ---


def _month_of(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _next(month: datetime) -> datetime:
    return _month_of(month + timedelta(days=32))


async def _make(connection: asyncpg.Connection, name: str, first: UUID, end: UUID) -> None:
    """Make a partition, with what the default one already holds of its range."""
    await connection.execute(f"CREATE TABLE {name} (LIKE journal INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
    await connection.execute("LOCK TABLE journal IN ACCESS EXCLUSIVE MODE")
    await connection.execute(
        f"WITH moved AS (DELETE FROM journal_default WHERE root_id >= $1 AND root_id < $2 RETURNING *)"
        f" INSERT INTO {name} SELECT * FROM moved",
        first,
        end,
    )
    await connection.execute(f"ALTER TABLE journal ATTACH PARTITION {name} FOR VALUES FROM ('{first}') TO ('{end}')")


async def _drop(connection: asyncpg.Connection, name: str, first: UUID, end: UUID) -> None:
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        # Whoever writes a journal waits here for a moment; nothing that runs may lose a record.
        await connection.execute("LOCK TABLE journal IN ACCESS EXCLUSIVE MODE")
        await connection.execute(f"ALTER TABLE journal DETACH PARTITION {name}")
        moved = await connection.execute(
            f"INSERT INTO journal SELECT j.* FROM {name} j JOIN executions e ON e.id = j.root_id WHERE NOT e.{_FINAL}"
        )
        await connection.execute(f"DROP TABLE {name}")
        await _forget_executions(connection, first, end)
    _log.info("dropped old journals", extra={"partition": name, "moved": moved})


async def _drop_stragglers(connection: asyncpg.Connection, limit: UUID) -> None:
    """What was moved because it still ran, and is over by now."""
    async with connection.transaction():
        await connection.execute(
            f"DELETE FROM journal_default j USING executions e"
            f" WHERE e.id = j.root_id AND e.{_FINAL} AND j.root_id < $1",
            limit,
        )
        await _forget_executions(connection, UUID(int=0), limit, without_journal=True)
        # What runs cost that people have deleted.
        await connection.execute(
            "DELETE FROM charges c WHERE c.execution_id < $1"
            " AND NOT EXISTS (SELECT 1 FROM executions e WHERE e.id = c.execution_id)",
            limit,
        )


async def _forget_executions(
    connection: asyncpg.Connection, first: UUID, end: UUID, *, without_journal: bool = False
) -> None:
    only = " AND NOT EXISTS (SELECT 1 FROM journal j WHERE j.root_id = e.id)" if without_journal else ""
    gone = f"SELECT e.id FROM executions e WHERE e.parent_id IS NULL AND e.id >= $1 AND e.id < $2 AND e.{_FINAL}{only}"
    roots = [row["id"] for row in await connection.fetch(gone, first, end)]
    for table in ("reviews", "snapshots", "spilled", "inbox"):
        await connection.execute(f"DELETE FROM {table} WHERE root_id = ANY ($1)", roots)
    family = "id = ANY ($1) OR (root_id = ANY ($1) AND parent_id IS NOT NULL)"
    await connection.execute(
        f"DELETE FROM charges WHERE execution_id IN (SELECT id FROM executions WHERE {family})",
        roots,
    )
    await connection.execute(f"DELETE FROM executions WHERE {family}", roots)


# --- large values ---


def _workspaces(folder: Path) -> list[Path]:
    return [place for place in folder.iterdir() if place.is_dir()] if folder.is_dir() else []


def _old_files(place: Path, limit: float) -> dict[str, Path]:
    return {path.name: path for path in place.glob("??/*") if path.stat().st_mtime < limit}


async def _references(connection: asyncpg.Connection, workspace: WorkspaceId) -> set[str]:
    """Every digest that anything of the workspace refers to."""
    used: set[str] = set()
    async with connection.transaction():
        for table, columns in _REFERRING.items():
            for column in columns:
                body = column if column == "body" else f"convert_to({column}::text, 'UTF8')"
                bodies = f"SELECT {body} AS body FROM {table} WHERE workspace_id = $1"
                only = f" AND position('\"$blob\"'::bytea IN {body}) > 0"
                async for row in connection.cursor(bodies + only, workspace, prefetch=20):
                    used.update(digest.decode() for digest in _REFERENCE.findall(row["body"]))
    return used


def _remove(paths: Iterable[Path], grace: timedelta) -> int:
    removed = 0
    limit = time.time() - grace.total_seconds()
    for path in paths:
        # Out of the way first: whoever stores the value now either made the file young before, or writes it anew.
        aside = path.rename(path.with_name(f".{uuid7()}"))
        if aside.stat().st_mtime < limit:
            aside.unlink()
            removed += 1
        else:
            aside.rename(path)
    return removed
