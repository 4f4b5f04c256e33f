"""A new key for the ring: every stored secret is encrypted anew, and old keys go when nothing needs them.

Each step is complete in itself, so a rotation that was interrupted is finished by the next one.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import asyncpg

from treadle.base.crypto import (
    DROP_KEYS,
    HOLD_KEYS,
    BrokenSeal,
    FileKeys,
    KeyMissing,
    KeyRing,
    RingKey,
    SealedTable,
    key_id,
)
from treadle.base.errors import Conflict

_BATCH = 500
_TAKE_TURN = "SELECT pg_try_advisory_lock(7526411283028664698)"
_END_TURN = "SELECT pg_advisory_unlock(7526411283028664698)"
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Rotation:
    """What a rotation has done."""

    key: str
    """The id of the key that encrypts from now on."""
    made: bool = False
    """Whether that key is new; otherwise an earlier rotation was finished, or the keys are given by the setting."""
    resealed: int = 0
    """Secrets that were encrypted anew."""
    dropped: list[str] = field(default_factory=list)
    """Ids of keys that are no longer in the ring. Of keys in the setting: that may be taken out of it."""
    damaged: list[str] = field(default_factory=list)
    """Rows whose secret cannot be decrypted although its key is there, such as ``credentials 01...``."""
    missing: dict[str, int] = field(default_factory=dict)
    """Ids of keys that are not in the ring, and how many secrets need them."""


async def rotate_keys(
    connection: asyncpg.Connection, ring: KeyRing, tables: Sequence[SealedTable], *, batch: int = _BATCH
) -> Rotation:
    """Finish what an earlier rotation has begun; when there was nothing to finish, make a new key and move to it.

    ``connection`` is the engine's. The platform may run meanwhile.

    Raises:
        Conflict: another rotation is under way.
        ConfigurationError: the keys cannot be used.
    """
    if not await connection.fetchval(_TAKE_TURN):
        raise Conflict("Keys are being rotated already.", fix="Wait until that has ended.")
    try:
        done = Rotation(ring.writing_id())
        await _move(connection, ring, tables, done, batch)
        keys = ring.keys
        if isinstance(keys, FileKeys) and not (done.resealed or done.dropped):
            keys.replace([RingKey.new(), *keys.read()])
            done = Rotation(ring.writing_id(), made=True)
            await _move(connection, ring, tables, done, batch)
        return done
    finally:
        await connection.execute(_END_TURN)


async def _move(
    connection: asyncpg.Connection, ring: KeyRing, tables: Sequence[SealedTable], done: Rotation, batch: int
) -> None:
    """Encrypt everything with the ring's first key, and drop the keys that nothing needs any more."""
    old = ring.ids()[1:]
    for table in tables:
        for id in old:
            await _reseal(connection, ring, table, id, done, batch)
    if old:
        async with connection.transaction():
            await connection.execute(DROP_KEYS)
            used = await _used(connection, tables)
            done.dropped = [id for id in old if id not in used]
            if done.dropped and isinstance(ring.keys, FileKeys):
                ring.keys.replace([key for key in ring.keys.read() if key.id not in done.dropped])
    used = await _used(connection, tables)
    done.missing = {id: count for id, count in used.items() if id not in ring.ids()}


async def _used(connection: asyncpg.Connection, tables: Sequence[SealedTable]) -> Counter[str]:
    """How many secrets each key encrypts, by its id."""
    used: Counter[str] = Counter()
    for table in tables:
        for row in await connection.fetch(f"SELECT key_id, count(*) FROM {table.name} GROUP BY key_id"):
            used[row["key_id"]] += row["count"]
    return used


async def _reseal(
    connection: asyncpg.Connection, ring: KeyRing, table: SealedTable, old: str, done: Rotation, batch: int
) -> None:
    ids = ", ".join(table.ids)
    query = f"SELECT {ids}, ciphertext FROM {table.name} WHERE key_id = $1 ORDER BY {ids} OFFSET $2 LIMIT $3 FOR UPDATE"
    damaged = 0
    while True:
        async with connection.transaction():
            await connection.execute(HOLD_KEYS)
            rows = await connection.fetch(query, old, damaged, batch)
            for row in rows:
                if await _reseal_row(connection, ring, table, row):
                    done.resealed += 1
                else:
                    damaged += 1
                    done.damaged.append(" ".join(map(str, (table.name, *row[:-1]))))
        if not rows:
            return


async def _reseal_row(connection: asyncpg.Connection, ring: KeyRing, table: SealedTable, row: asyncpg.Record) -> bool:
    *ids, ciphertext = row.values()
    bound_to = table.binding(*ids)
    try:
        sealed = ring.seal(ring.open(ciphertext, bound_to), bound_to)
    except (BrokenSeal, KeyMissing):  # missing: the ciphertext names another key than its row
        _log.error("a stored secret cannot be decrypted", extra={"row": f"{table.name} {ids}"})
        return False
    which = " AND ".join(f"{name} = ${at}" for at, name in enumerate(table.ids, start=3))
    await connection.execute(
        f"UPDATE {table.name} SET ciphertext = $1, key_id = $2 WHERE {which}", sealed, key_id(sealed), *ids
    )
    return True
