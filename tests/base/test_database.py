from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
import pytest

from treadle.base.database import DatabaseUrls, create_engine, create_pool, enter_workspace, enter_workspace_sql
from treadle.base.ids import uuid7

NOTES = """
CREATE TABLE notes (workspace_id uuid NOT NULL, body text NOT NULL);
ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_workspace ON notes
    USING (workspace_id = nullif(current_setting('treadle.workspace_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON notes TO treadle_api, treadle_engine;
CREATE TABLE hidden (secret text)
"""


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
async def workspaces(database: DatabaseUrls) -> tuple[UUID, UUID]:
    """Two workspaces with one note each."""
    mine, theirs = uuid7(), uuid7()
    async with connected(database.owner) as owner:
        await owner.execute(NOTES)
    async with connected(database.engine) as engine:
        await engine.copy_records_to_table("notes", records=[(mine, "mine"), (theirs, "theirs")])
    return mine, theirs


async def test_no_role_is_a_superuser_and_only_the_engine_passes_row_level_security(database: DatabaseUrls) -> None:
    rights = "SELECT rolname::text, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication FROM pg_roles "
    found = {}
    for name, dsn in vars(database).items():
        async with connected(dsn) as connection:
            found[name] = tuple(await connection.fetchrow(rights + "WHERE rolname = current_user") or ())
    assert found == {
        "owner": ("treadle_owner", False, False, False, False, False),
        "engine": ("treadle_engine", False, True, False, False, False),
        "api": ("treadle_api", False, False, False, False, False),
        "auth": ("treadle_auth", False, False, False, False, False),
    }


async def test_the_api_sees_and_writes_its_own_workspace_only(
    database: DatabaseUrls, workspaces: tuple[UUID, UUID]
) -> None:
    mine, theirs = workspaces
    async with connected(database.api) as api:
        async with api.transaction():
            await enter_workspace(api, mine)
            assert [row["body"] for row in await api.fetch("SELECT body FROM notes")] == ["mine"]
            assert await api.execute("DELETE FROM notes WHERE body = 'theirs'") == "DELETE 0"
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with api.transaction():
                await enter_workspace(api, mine)
                await api.execute("INSERT INTO notes VALUES ($1, 'planted')", theirs)
        assert await api.fetch("SELECT body FROM notes") == [], "the workspace must end with its transaction"


async def test_the_engine_sees_every_workspace_but_only_what_is_granted(
    database: DatabaseUrls, workspaces: tuple[UUID, UUID]
) -> None:
    async with connected(database.engine) as engine:
        assert await engine.fetchval("SELECT count(*) FROM notes") == len(workspaces)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await engine.fetch("SELECT * FROM hidden")


@pytest.mark.parametrize(
    "statement",
    [
        "SET ROLE treadle_engine",
        "SET ROLE treadle_owner",
        "SET ROLE postgres",
        "CREATE TABLE mine (a int)",
        "ALTER TABLE notes DISABLE ROW LEVEL SECURITY",
        "COPY (SELECT 1) TO PROGRAM 'cat'",
        "SELECT pg_read_file('PG_VERSION')",
        "CREATE EXTENSION hstore",
    ],
)
async def test_the_api_cannot_get_more_rights(
    statement: str, database: DatabaseUrls, workspaces: tuple[UUID, UUID]
) -> None:
    async with connected(database.api) as api:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await api.execute(statement)


async def test_sqlalchemy_enters_a_workspace_the_same_way(
    database: DatabaseUrls, workspaces: tuple[UUID, UUID]
) -> None:
    engine = create_engine(database.api)
    try:
        async with engine.begin() as connection:
            await enter_workspace_sql(connection, workspaces[1])
            found = await connection.exec_driver_sql("SELECT body FROM notes")
            assert found.scalars().all() == ["theirs"]
    finally:
        await engine.dispose()


async def test_a_pool_gives_connections_of_its_role(database: DatabaseUrls) -> None:
    async with await create_pool(database.engine, min_size=1, max_size=2) as pool:
        assert await pool.fetchval("SELECT current_user::text") == "treadle_engine"


async def test_the_extensions_are_there(database: DatabaseUrls) -> None:
    async with connected(database.api) as api:
        assert await api.fetchval("SELECT '[1,2]'::vector <-> '[1,4]'::vector") == 2
        assert await api.fetchval("SELECT similarity('treadle', 'treadles') > 0.5")


def test_addresses_are_not_printed() -> None:
    assert "hunter2" not in repr(DatabaseUrls("postgresql://a:hunter2@b/c", "", "", ""))
