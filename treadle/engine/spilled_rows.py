"""The table of what waits in front of nodes and is not needed soon."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import asyncpg

from treadle.kernel.records import decode_records

if TYPE_CHECKING:
    from uuid import UUID

    from treadle.engine.run import Kept

SLICE_BYTES = 4 * 1024 * 1024
"""How much is written with one statement, roughly: what it holds is in memory several times meanwhile."""
_INSERT = (
    "INSERT INTO spilled (execution_id, key, root_id, workspace_id, body)"
    " SELECT $1, key, $2, $3, body FROM unnest($4::bigint[], $5::bytea[]) AS made(key, body)"
)
_READ = "SELECT key, body FROM spilled WHERE execution_id = $1 AND key = ANY ($2)"
_FORGET = "DELETE FROM spilled WHERE execution_id = ANY ($1)"


class Owner(Protocol):
    """The root that the rows belong to."""

    @property
    def id(self) -> "UUID": ...
    @property
    def workspace(self) -> "UUID": ...


async def save(connection: asyncpg.Connection, owner: Owner, execution: "UUID", spilled: "Mapping[int, Kept]") -> int:
    """Write rows of one execution, part by part: each is encoded only when its turn comes, and then let go of.

    Returns how many bytes that were.

    Raises:
        TypeError, ValueError, RecursionError: an entry has no form in which it could be written.
    """
    part: dict[int, Kept] = {}
    size = written = 0
    for place, (key, kept) in enumerate(spilled.items(), 1):
        part[key] = kept
        size += len(kept.encoded())
        if size >= SLICE_BYTES or place == len(spilled):
            bodies = [each.encoded() for each in part.values()]
            await connection.execute(_INSERT, execution, owner.id, owner.workspace, list(part), bodies)
            for each in part.values():
                each.unwritten = None
            written += size
            part, size = {}, 0
    return written


async def read(pool: asyncpg.Pool, execution: "UUID", keys: Sequence[int]) -> dict[int, list[Any]]:
    """The entries under those of the keys that are there; large values in them are references."""
    return {row["key"]: entries(row["body"]) for row in await pool.fetch(_READ, execution, keys)}


def entries(body: bytes) -> list[Any]:
    """The entries in a row."""
    return list(decode_records(body))


async def forget(connection: asyncpg.Connection, executions: Sequence["UUID"]) -> None:
    """These executions are over."""
    await connection.execute(_FORGET, executions)
