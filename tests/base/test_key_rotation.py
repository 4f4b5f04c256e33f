"""A new key takes the place of an old one: complete, safe to interrupt at any statement, and with nothing lost (K4)."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import asyncpg
import pytest

from treadle.base.crypto import FILE, HOLD_KEYS, FileKeys, GivenKeys, KeyRing, RingKey, SealedTable, key_id
from treadle.base.database import DatabaseUrls, connect
from treadle.base.errors import Conflict
from treadle.base.key_rotation import rotate_keys

NOTES = SealedTable("notes", ("owner", "id"))
LETTERS = SealedTable("letters", ("id",))
TABLES = (NOTES, LETTERS)


@pytest.fixture
async def connection(database: DatabaseUrls) -> AsyncIterator[asyncpg.Connection]:
    """The engine's, with two tables of secrets."""
    owner = await connect(database.owner)
    sealed = "ciphertext bytea NOT NULL, key_id text NOT NULL"
    await owner.execute(f"CREATE TABLE notes (owner text, id integer, {sealed}, PRIMARY KEY (owner, id))")
    await owner.execute(f"CREATE TABLE letters (id integer PRIMARY KEY, {sealed})")
    await owner.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON notes, letters TO treadle_engine")
    await owner.close()
    opened = await connect(database.engine)
    yield opened
    await opened.close()


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing(FileKeys(tmp_path / FILE))


async def put(connection: asyncpg.Connection, ring: KeyRing, table: SealedTable, *ids: Any) -> None:
    sealed = ring.seal(f"secret {ids}".encode(), table.binding(*ids))
    marks = ", ".join(f"${at}" for at in range(1, len(ids) + 3))
    await connection.execute(f"INSERT INTO {table.name} VALUES ({marks})", *ids, sealed, key_id(sealed))


async def fill(connection: asyncpg.Connection, ring: KeyRing) -> None:
    await connection.execute("DELETE FROM notes")
    await connection.execute("DELETE FROM letters")
    for at in range(5):
        await put(connection, ring, NOTES, "ann", at)
    await put(connection, ring, LETTERS, 1)


async def assert_all_open(connection: asyncpg.Connection, ring: KeyRing) -> set[str]:
    """Every secret is as it was; the keys that they are under."""
    used = set()
    for table in TABLES:
        for row in await connection.fetch(f"SELECT * FROM {table.name}"):
            *ids, ciphertext, key = row.values()
            assert ring.open(ciphertext, table.binding(*ids)) == f"secret {tuple(ids)}".encode()
            assert key == key_id(ciphertext)
            used.add(key)
    return used


async def test_everything_moves_to_a_new_key_and_the_old_one_goes(
    connection: asyncpg.Connection, ring: KeyRing, tmp_path: Path
) -> None:
    await fill(connection, ring)
    old = ring.writing_id()
    done = await rotate_keys(connection, ring, TABLES, batch=2)
    assert (done.made, done.resealed, done.dropped, done.damaged, done.missing) == (True, 6, [old], [], {})
    fresh = KeyRing(FileKeys(tmp_path / FILE))
    assert fresh.ids() == [done.key] and await assert_all_open(connection, fresh) == {done.key}
    again = await rotate_keys(connection, ring, TABLES, batch=2)
    assert again.made and again.key != done.key and again.dropped == [done.key]


class Cut(Exception):
    """The process dies."""


class Dying:
    """A connection that dies at one of its statements."""

    def __init__(self, connection: asyncpg.Connection, after: int) -> None:
        self._connection = connection
        self._left = after

    def transaction(self) -> Any:
        return self._connection.transaction()

    def __getattr__(self, name: str) -> Any:
        if self._left <= 0:
            raise Cut
        self._left -= 1
        return getattr(self._connection, name)


async def test_a_rotation_that_dies_at_any_statement_is_finished_by_the_next(
    connection: asyncpg.Connection, database: DatabaseUrls, tmp_path: Path
) -> None:
    for cut in itertools.count():
        folder = tmp_path / str(cut)
        folder.mkdir()
        ring = KeyRing(FileKeys(folder / FILE))
        await fill(connection, ring)
        first = ring.writing_id()
        dying = await connect(database.engine)
        try:
            await rotate_keys(cast("asyncpg.Connection", Dying(dying, cut)), ring, TABLES, batch=2)
            break
        except Cut:
            pass
        finally:
            await dying.close()
        survivor = KeyRing(FileKeys(folder / FILE))
        await assert_all_open(connection, survivor)
        began = survivor.ids()
        done = await rotate_keys(connection, survivor, TABLES, batch=2)
        assert survivor.ids() == [done.key] and first not in survivor.ids()
        assert done.made is (len(began) == 1), "a rotation that had begun is finished, not begun again"
        assert await assert_all_open(connection, KeyRing(FileKeys(folder / FILE))) == {done.key}
    assert cut > 10


async def test_a_key_stays_while_a_transaction_may_still_write_with_it(
    connection: asyncpg.Connection, database: DatabaseUrls, ring: KeyRing
) -> None:
    await fill(connection, ring)
    old = ring.writing_id()
    writer, watcher = await connect(database.engine), await connect(database.engine)
    transaction = writer.transaction()
    await transaction.start()
    await writer.execute(HOLD_KEYS)
    late = ring.seal(b"secret (9,)", LETTERS.binding(9))
    rotating = asyncio.create_task(rotate_keys(connection, ring, TABLES))
    while not await watcher.fetchval("SELECT true FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"):
        assert not rotating.done()
    await writer.execute("INSERT INTO letters VALUES (9, $1, $2)", late, old)
    await transaction.commit()
    done = await rotating
    assert (done.dropped, ring.ids()) == ([], [done.key, old])
    finished = await rotate_keys(connection, ring, TABLES)
    assert (finished.made, finished.resealed, finished.dropped) == (False, 1, [old])
    assert await assert_all_open(connection, ring) == {done.key}
    await writer.close()
    await watcher.close()


async def test_a_damaged_secret_is_named_kept_and_in_nobodys_way(connection: asyncpg.Connection, ring: KeyRing) -> None:
    await fill(connection, ring)
    old = ring.writing_id()
    await connection.execute("UPDATE notes SET ciphertext = ciphertext || 'x' WHERE id = 2")
    await connection.execute("UPDATE notes n SET ciphertext = o.ciphertext FROM notes o WHERE n.id = 3 AND o.id = 4")
    done = await rotate_keys(connection, ring, TABLES, batch=2)
    assert (done.resealed, done.damaged) == (4, ["notes ann 2", "notes ann 3"])
    assert ring.ids() == [done.key, old], "the key is kept: the row may be put right"
    again = await rotate_keys(connection, ring, TABLES, batch=2)
    assert again.made and again.damaged == done.damaged and again.dropped == [done.key]
    await connection.execute("DELETE FROM notes WHERE id IN (2, 3)")
    assert (await rotate_keys(connection, ring, TABLES)).dropped == [old]
    assert await assert_all_open(connection, ring) == {again.key}


async def test_secrets_of_a_missing_key_are_counted_and_left(connection: asyncpg.Connection, ring: KeyRing) -> None:
    await fill(connection, ring)
    missing = KeyRing(GivenKeys([RingKey.new()]))
    await put(connection, missing, LETTERS, 7)
    done = await rotate_keys(connection, ring, TABLES)
    assert (done.resealed, done.missing) == (6, {missing.writing_id(): 1})
    left = await connection.fetchval("SELECT ciphertext FROM letters WHERE id = 7")
    assert missing.open(left, LETTERS.binding(7)) == b"secret (7,)"


async def test_with_keys_of_the_setting_everything_moves_to_the_first(connection: asyncpg.Connection) -> None:
    old, new = RingKey.new(), RingKey.new()
    await fill(connection, KeyRing(GivenKeys([old])))
    done = await rotate_keys(connection, KeyRing(GivenKeys([new, old])), TABLES)
    assert (done.key, done.made, done.resealed, done.dropped) == (new.id, False, 6, [old.id])
    assert await assert_all_open(connection, KeyRing(GivenKeys([new]))) == {new.id}


async def test_one_rotation_at_a_time(connection: asyncpg.Connection, database: DatabaseUrls, ring: KeyRing) -> None:
    await connection.execute("SELECT pg_advisory_lock(7526411283028664698)")
    second = await connect(database.engine)
    with pytest.raises(Conflict, match="already"):
        await rotate_keys(second, ring, TABLES)
    await connection.execute("SELECT pg_advisory_unlock_all()")
    assert (await rotate_keys(second, ring, TABLES)).made
    await second.close()
