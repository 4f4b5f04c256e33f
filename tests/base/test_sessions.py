"""Transactions of features: all or nothing, joined inside each other, and never shared by accident."""

import asyncio
import contextlib
import traceback
from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from treadle.base.database import DatabaseUrls
from treadle.base.errors import BadInput
from treadle.base.ids import LOCAL_WORKSPACE, WorkspaceId, uuid7
from treadle.base.sessions import AccountsDatabase, WorkspaceDatabase

MINE, THEIRS = WorkspaceId(uuid7()), WorkspaceId(uuid7())
_ADD = text("INSERT INTO stored_values (workspace_id, key, value) VALUES (:workspace, :key, '1')")


async def test_a_transaction_is_committed_or_nothing_is(database: DatabaseUrls) -> None:
    sessions = WorkspaceDatabase(database.api)
    try:
        async with sessions.transaction(LOCAL_WORKSPACE) as session:
            await session.execute(_ADD, {"workspace": LOCAL_WORKSPACE, "key": "kept"})
        with pytest.raises(RuntimeError):
            async with sessions.transaction(LOCAL_WORKSPACE) as session:
                await session.execute(_ADD, {"workspace": LOCAL_WORKSPACE, "key": "lost"})
                raise RuntimeError
        async with sessions.transaction(LOCAL_WORKSPACE) as session:
            assert list(await session.scalars(text("SELECT key FROM stored_values"))) == ["kept"]
        async with sessions.transaction(WorkspaceId(uuid4())) as session:
            assert list(await session.scalars(text("SELECT key FROM stored_values"))) == []
    finally:
        await sessions.close()


async def test_a_row_for_another_workspace_is_refused_by_the_database(database: DatabaseUrls) -> None:
    sessions = WorkspaceDatabase(database.api)
    try:
        with pytest.raises(Exception, match="row-level security"):
            async with sessions.transaction(WorkspaceId(uuid4())) as session:
                await session.execute(_ADD, {"workspace": LOCAL_WORKSPACE, "key": "smuggled"})
    finally:
        await sessions.close()
    connection = await asyncpg.connect(database.engine)
    try:
        assert await connection.fetchval("SELECT count(*) FROM stored_values") == 0
    finally:
        await connection.close()


async def test_k1_an_error_does_not_hold_the_values_of_its_statement(database: DatabaseUrls) -> None:
    sessions = WorkspaceDatabase(database.api)
    secret = uuid4().hex
    try:
        with pytest.raises(DBAPIError) as raised:
            async with sessions.transaction(LOCAL_WORKSPACE) as session:
                await session.execute(text("SELECT 1 / (length(:value) - 32)"), {"value": secret})
        logged = "".join(traceback.format_exception(raised.value))
        assert "division by zero" in logged
        assert secret not in logged
    finally:
        await sessions.close()


async def test_a_text_that_cannot_be_stored_is_bad_input(database: DatabaseUrls) -> None:
    sessions = WorkspaceDatabase(database.api)
    try:
        with pytest.raises(BadInput):
            async with sessions.transaction(LOCAL_WORKSPACE) as session:
                await session.execute(_ADD, {"workspace": LOCAL_WORKSPACE, "key": "a\0b"})
    finally:
        await sessions.close()


@pytest.fixture
async def notes(database: DatabaseUrls) -> AsyncIterator[WorkspaceDatabase]:
    """A database with a table of notes."""
    owner = await asyncpg.connect(database.owner)
    await owner.execute("CREATE TABLE notes (body text); GRANT SELECT, INSERT ON notes TO treadle_api")
    await owner.close()
    opened = WorkspaceDatabase(database.api)
    yield opened
    await opened.close()


async def _add(notes: WorkspaceDatabase, body: str, *, fails: bool = False) -> None:
    async with notes.transaction(MINE) as session:
        await session.execute(text("INSERT INTO notes VALUES (:body)"), {"body": body})
        if fails:
            raise ValueError(body)


async def _bodies(notes: WorkspaceDatabase) -> list[str]:
    async with notes.transaction(MINE) as session:
        return list(await session.scalars(text("SELECT body FROM notes ORDER BY body")))


async def test_what_is_done_inside_another_transaction_is_done_with_it_or_not_at_all(notes: WorkspaceDatabase) -> None:
    with contextlib.suppress(ZeroDivisionError):
        async with notes.transaction(MINE):
            await _add(notes, "a")
            assert await _bodies(notes) == ["a"]
            raise ZeroDivisionError
    assert await _bodies(notes) == []
    async with notes.transaction(MINE):
        await _add(notes, "b")
        await _add(notes, "c")
    assert await _bodies(notes) == ["b", "c"]


async def test_a_failure_inside_undoes_its_own_part_only(notes: WorkspaceDatabase) -> None:
    async with notes.transaction(MINE):
        await _add(notes, "kept")
        with pytest.raises(ValueError, match="undone"):
            await _add(notes, "undone", fails=True)
        await _add(notes, "kept too")
    assert await _bodies(notes) == ["kept", "kept too"]


async def test_another_task_has_a_transaction_of_its_own(notes: WorkspaceDatabase) -> None:
    with contextlib.suppress(ZeroDivisionError):
        async with notes.transaction(MINE):
            await _add(notes, "undone")
            assert await asyncio.create_task(_bodies(notes)) == []
            await asyncio.create_task(_add(notes, "by a task"))
            raise ZeroDivisionError
    assert await _bodies(notes) == ["by a task"]


async def test_a_task_that_outlives_the_transaction_does_not_use_it(notes: WorkspaceDatabase) -> None:
    over = asyncio.Event()

    async def later() -> list[str]:
        await over.wait()
        return await _bodies(notes)

    async with notes.transaction(MINE):
        task = asyncio.create_task(later())
        await _add(notes, "a")
    over.set()
    assert await task == ["a"]


async def test_one_transaction_is_in_one_workspace(notes: WorkspaceDatabase) -> None:
    async with notes.transaction(MINE):
        with pytest.raises(RuntimeError, match=str(THEIRS)):
            async with notes.transaction(THEIRS):
                pass
    async with notes.transaction(THEIRS) as session:
        assert await session.scalar(text("SELECT current_setting('treadle.workspace_id')")) == str(THEIRS)


async def test_two_databases_do_not_share_transactions(notes: WorkspaceDatabase, database: DatabaseUrls) -> None:
    other = WorkspaceDatabase(database.api)
    try:
        async with notes.transaction(MINE):
            await _add(notes, "a")
            assert await _bodies(other) == []
    finally:
        await other.close()


_COUNT = text("INSERT INTO throttles VALUES (:key, 1, now())")


async def test_accounts_join_what_is_shared_and_stand_for_themselves_otherwise(database: DatabaseUrls) -> None:
    accounts = AccountsDatabase(database.auth)

    async def count(key: str) -> None:
        async with accounts.transaction() as session:
            await session.execute(_COUNT, {"key": key.encode()})

    try:
        with pytest.raises(RuntimeError):
            async with accounts.shared(LOCAL_WORKSPACE):
                await count("lost")
                await asyncio.create_task(count("of another task"))
                raise RuntimeError
        with pytest.raises(RuntimeError):
            async with accounts.transaction():
                await count("kept")
                raise RuntimeError
        async with accounts.shared(LOCAL_WORKSPACE):
            await count("shared")
        async with accounts.transaction() as session:
            found = await session.scalars(text("SELECT convert_from(key, 'UTF8') FROM throttles"))
            assert set(found) == {"of another task", "kept", "shared"}
    finally:
        await accounts.close()
