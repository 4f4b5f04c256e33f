"""Transactions of the api role."""

from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import text

from treadle.base.database import DatabaseUrls
from treadle.base.errors import BadInput
from treadle.base.ids import LOCAL_WORKSPACE, WorkspaceId
from treadle.base.sessions import WorkspaceDatabase

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


async def test_a_text_that_cannot_be_stored_is_bad_input(database: DatabaseUrls) -> None:
    sessions = WorkspaceDatabase(database.api)
    try:
        with pytest.raises(BadInput):
            async with sessions.transaction(LOCAL_WORKSPACE) as session:
                await session.execute(_ADD, {"workspace": LOCAL_WORKSPACE, "key": "a\0b"})
    finally:
        await sessions.close()
