"""What the database itself sees to: who may touch accounts, and what must always hold."""

import asyncpg
import pytest

from tests.features.accounts.conftest import Process, run
from treadle.base.database import DatabaseUrls
from treadle.base.ids import LOCAL_WORKSPACE, uuid7

SECRET_TABLES = ("users", "passwords", "identities", "sessions", "refresh_tokens", "one_time_tokens", "throttles")
RIGHTS = "SELECT bool_or(has_table_privilege(current_user, $1::text, each)) FROM unnest($2::text[]) AS each"
ALL = ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"]


@pytest.mark.parametrize("table", [*SECRET_TABLES, "invitations", "signing_keys"])
async def test_only_the_role_for_it_touches_accounts(database: DatabaseUrls, table: str) -> None:
    assert await run(database.auth, RIGHTS, table, ALL)
    assert not await run(database.api, RIGHTS, table, ALL)
    assert not await run(database.engine, RIGHTS, table, ALL)


async def test_the_engine_moves_encrypted_keys_and_reads_nothing_else_of_them(database: DatabaseUrls) -> None:
    await run(database.engine, "SELECT count(key_id) FROM signing_keys")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await run(database.engine, "SELECT public_key FROM signing_keys")


@pytest.mark.parametrize("table", ["graphs", "executions", "journal", "stored_values", "data_keys"])
async def test_the_role_for_accounts_sees_nothing_that_people_made(database: DatabaseUrls, table: str) -> None:
    assert not await run(database.auth, RIGHTS, table, ALL)


async def test_the_role_for_accounts_sees_answers_of_the_workspace_that_it_has_set_only(
    database: DatabaseUrls,
) -> None:
    add = "INSERT INTO idempotency_keys (workspace_id, user_id, key, route, digest) VALUES ($1, $2, 'k', 'r', 'd')"
    await run(database.owner, add, LOCAL_WORKSPACE, uuid7())
    connection = await asyncpg.connect(database.auth)
    try:
        assert await connection.fetchval("SELECT count(*) FROM idempotency_keys") == 0
        for seen, number in ((uuid7(), 0), (LOCAL_WORKSPACE, 1)):
            await connection.execute("SELECT set_config('treadle.workspace_id', $1, false)", str(seen))
            assert await connection.fetchval("SELECT count(*) FROM idempotency_keys") == number
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(add, uuid7(), uuid7())
    finally:
        await connection.close()


async def test_serving_people_shows_the_members_of_one_workspace_only(process: Process) -> None:
    await process.someone()
    assert await run(process.urls.auth, "SELECT count(*) FROM members") == 1
    assert await run(process.urls.api, "SELECT count(*) FROM members") == 0
    workspace = await run(process.urls.auth, "SELECT workspace_id FROM members")
    connection = await asyncpg.connect(process.urls.api)
    try:
        for seen, number in ((LOCAL_WORKSPACE, 0), (workspace, 1)):
            await connection.execute("SELECT set_config('treadle.workspace_id', $1, false)", str(seen))
            assert await connection.fetchval("SELECT count(*) FROM members") == number
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("DELETE FROM members")
    finally:
        await connection.close()


@pytest.mark.parametrize(
    "statement", ["UPDATE audit_log SET action = 'x'", "DELETE FROM audit_log", "TRUNCATE audit_log"]
)
async def test_the_audit_log_is_only_added_to(process: Process, statement: str) -> None:
    await process.someone()
    before = await run(process.urls.owner, "SELECT count(*) FROM audit_log")
    for dsn in (process.urls.auth, process.urls.api, process.urls.engine, process.urls.owner):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await run(dsn, statement)
    assert await run(process.urls.owner, "SELECT count(*) FROM audit_log") == before > 0


async def test_a_workspace_writes_into_its_own_part_of_the_audit_log_only(database: DatabaseUrls) -> None:
    add = "INSERT INTO audit_log (id, workspace_id, action) VALUES ($1, $2, 'x')"
    connection = await asyncpg.connect(database.api)
    try:
        await connection.execute("SELECT set_config('treadle.workspace_id', $1, false)", str(LOCAL_WORKSPACE))
        await connection.execute(add, uuid7(), LOCAL_WORKSPACE)
        for other in (None, uuid7()):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(add, uuid7(), other)
    finally:
        await connection.close()


async def test_the_last_administrator_stays_one(process: Process) -> None:
    first = (await process.someone(admin=True)).person.user.id
    for change in ("admin = false", "disabled_at = now()"):
        with pytest.raises(asyncpg.CheckViolationError):
            await run(process.urls.auth, f"UPDATE users SET {change} WHERE id = $1", first)
    await process.someone(admin=True)
    await run(process.urls.auth, "UPDATE users SET admin = false WHERE id = $1", first)
    with pytest.raises(asyncpg.CheckViolationError):
        await run(process.urls.auth, "UPDATE users SET disabled_at = now()")


async def test_a_session_has_one_refresh_token_that_is_good(process: Process) -> None:
    who = await process.someone()
    with pytest.raises(asyncpg.UniqueViolationError):
        await run(process.urls.auth, "INSERT INTO refresh_tokens (hash, session_id) VALUES ('x', $1)", who.session)


async def test_a_token_is_nowhere_in_the_database(process: Process) -> None:
    who = await process.someone()
    for table in (*SECRET_TABLES, "audit_log"):
        text = await run(process.urls.owner, f"SELECT string_agg(t::text, ' ') FROM {table} t") or ""
        assert who.refresh_token not in text and who.access_token not in text


@pytest.mark.parametrize("burst", [1, 3])
async def test_a_bucket_gives_out_what_it_holds_and_fills_again(database: DatabaseUrls, burst: int) -> None:
    take = "SELECT throttles_take_v1('k', $1, 0.001)"
    assert [await run(database.auth, take, float(burst)) for _ in range(burst)] == [0.0] * burst
    wait = await run(database.auth, take, float(burst))
    assert 900 < wait <= 1000
    await run(database.auth, "UPDATE throttles SET updated_at = updated_at - interval '1000 seconds'")
    assert [await run(database.auth, take, float(burst)) > 0 for _ in range(2)] == [False, True]
