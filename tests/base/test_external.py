import logging
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from tests.conftest import isolated_settings
from treadle.base import external
from treadle.base.config import Settings, load_settings
from treadle.base.database import DatabaseUrls, running_database
from treadle.base.errors import ConfigurationError
from treadle.base.external import role_address
from treadle.base.migrations import migrate
from treadle.base.postgres import EmbeddedPostgres

FULL = "CREATEROLE BYPASSRLS"


class Server:
    """A server as an operator has it: passwords are asked for, and no role of ours is there."""

    def __init__(self, embedded: EmbeddedPostgres) -> None:
        self._embedded = embedded
        self.admin_dsn = embedded.dsn("postgres", "app")

    def url(self, user: str, password: str, database: str = "app") -> str:
        return self._embedded.dsn(f"{user}:{password}", database)

    async def admin(self, statement: str, database: str = "app") -> None:
        connection = await asyncpg.connect(self._embedded.dsn("postgres", database))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    async def make_owner(self, attributes: str) -> str:
        await self.admin(f"CREATE ROLE boss LOGIN PASSWORD 'first-password' {attributes}")
        await self.admin("ALTER DATABASE app OWNER TO boss")
        return self.url("boss", "first-password")


@pytest.fixture
async def server(home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    isolated_settings(home, monkeypatch)
    embedded = EmbeddedPostgres(home, durable=False)
    embedded.start()
    try:
        found = Server(embedded)
        await found.admin("CREATE DATABASE app", "postgres")
        await found.admin("CREATE EXTENSION vector; CREATE EXTENSION pg_trgm")
        (embedded.data / "pg_hba.conf").write_text("local all postgres trust\nlocal all all scram-sha-256\n")
        await found.admin("SELECT pg_reload_conf()")
        yield found
    finally:
        embedded.stop()


def with_url(url: str, **more: str) -> Settings:
    return load_settings(_env_file=None, database_url=url, **more)


async def refused(settings: Settings) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as raised:
        async with running_database(settings):
            pass
    assert "-password" not in raised.value.message + raised.value.fix
    assert raised.value.fix
    return raised.value


async def users(urls: DatabaseUrls) -> list[tuple[str, bool, bool]]:
    found = []
    for dsn in (urls.owner, urls.engine, urls.api, urls.auth):
        connection = await asyncpg.connect(dsn)
        try:
            row = await connection.fetchrow(
                "SELECT rolname::text, rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user"
            )
        finally:
            await connection.close()
        assert row is not None
        found.append((row[0], row[1], row[2]))
    return found


async def test_an_owner_that_may_makes_the_two_other_roles_and_migrates(server: Server) -> None:
    settings = with_url(await server.make_owner(FULL))
    for _ in range(2):
        async with running_database(settings) as urls:
            assert await users(urls) == [
                ("boss", False, True),
                ("treadle_engine", False, True),
                ("treadle_api", False, False),
                ("treadle_auth", False, False),
            ]
            await migrate(urls, settings)


async def test_a_superuser_is_used_only_to_prepare(server: Server) -> None:
    await server.admin("CREATE ROLE root SUPERUSER LOGIN PASSWORD 'first-password'")
    settings = with_url(server.url("root", "first-password"))
    async with running_database(settings) as urls:
        names = [user for user, *_ in await users(urls)]
        assert names == ["treadle_owner", "treadle_engine", "treadle_api", "treadle_auth"]
        assert not any(superuser for _, superuser, _ in await users(urls))
        assert await migrate(urls, settings)


async def test_the_roles_follow_a_changed_password(server: Server) -> None:
    async with running_database(with_url(await server.make_owner(FULL))):
        pass
    await server.admin("ALTER ROLE boss PASSWORD 'second-password'")
    async with running_database(with_url(server.url("boss", "second-password"))) as urls:
        assert len(await users(urls)) == 4


async def test_roles_that_an_administrator_made_are_used(server: Server) -> None:
    boss = await server.make_owner("")
    found = await refused(with_url(boss))
    assert "CREATE ROLE treadle_engine" in found.message
    assert "DATABASE_ENGINE_URL" in found.fix
    await server.admin("CREATE ROLE treadle_engine LOGIN BYPASSRLS PASSWORD 'engine-password'")
    await server.admin("CREATE ROLE treadle_api LOGIN PASSWORD 'api-password'")
    await server.admin("CREATE ROLE treadle_auth LOGIN PASSWORD 'auth-password'")
    engine, api = server.url("treadle_engine", "engine-password"), server.url("treadle_api", "api-password")
    auth = server.url("treadle_auth", "auth-password")
    settings = with_url(boss, database_engine_url=engine, database_api_url=api, database_auth_url=auth)
    async with running_database(settings) as urls:
        assert [user for user, *_ in await users(urls)] == ["boss", "treadle_engine", "treadle_api", "treadle_auth"]
        assert await migrate(urls, settings)


async def test_a_role_with_wrong_rights_or_another_name_is_refused(server: Server) -> None:
    boss = await server.make_owner(FULL)
    await server.admin("CREATE ROLE treadle_engine LOGIN PASSWORD 'engine-password'")
    engine = server.url("treadle_engine", "engine-password")
    found = await refused(with_url(boss, database_engine_url=engine))
    assert "treadle_engine has the wrong rights" in found.message
    assert "BYPASSRLS" in found.fix
    found = await refused(with_url(boss, database_engine_url=boss))
    assert "must name the role treadle_engine" in found.message


async def test_a_wrong_password_is_told(server: Server) -> None:
    await server.make_owner(FULL)
    found = await refused(with_url(server.url("boss", "wrong-password")))
    assert "refuses the user or password of DATABASE_URL" in found.message


async def test_a_missing_database_is_told(server: Server) -> None:
    await server.make_owner(FULL)
    found = await refused(with_url(server.url("boss", "first-password", "nonesuch")))
    assert "no database of the name" in found.message


async def test_a_server_without_pgvector_is_told(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(external, "EXTENSIONS", ("vector", "pg_nonesuch"))
    found = await refused(with_url(await server.make_owner(FULL)))
    assert "has no extension pg_nonesuch" in found.message


async def test_an_extension_that_the_owner_may_not_make_is_told(server: Server) -> None:
    boss = await server.make_owner(FULL)
    await server.admin("DROP EXTENSION vector")
    found = await refused(with_url(boss))
    assert "Run `CREATE EXTENSION IF NOT EXISTS vector`" in found.fix


async def test_an_old_server_is_told(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(external, "OLDEST_SERVER", 990_000)
    found = await refused(with_url(await server.make_owner(FULL)))
    assert "has version 18" in found.message


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://boss:first-password@127.0.0.1:1/app",
        "postgresql://boss:first-password@/app?host=/nonexistent",
    ],
)
async def test_a_server_that_is_not_there_is_told(url: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    isolated_settings(home, monkeypatch)
    assert "DATABASE_URL" in (await refused(with_url(url))).fix


async def test_passwords_reach_neither_the_servers_log_nor_ours(
    server: Server, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    boss = await server.make_owner(FULL)
    await server.admin("ALTER SYSTEM SET log_statement = 'all'")
    await server.admin("SELECT pg_reload_conf()")
    with caplog.at_level(logging.DEBUG):
        async with running_database(with_url(boss)) as urls:
            derived = urls.api.partition("treadle_api:")[2].partition("@")[0]
    log = (home / "logs/postgres.log").read_text()
    assert "CREATE ROLE treadle_api" in log
    assert len(derived) > 20
    assert derived not in log + caplog.text


def test_each_role_has_its_own_password_made_from_the_owners() -> None:
    engine = role_address("postgresql://boss:p%40ss@host:5433/app?sslmode=require", "treadle_engine")
    api = role_address("postgresql://boss:p%40ss@host:5433/app?sslmode=require", "treadle_api")
    assert engine.endswith("@host:5433/app?sslmode=require")
    assert engine.split("@")[0].split(":")[2] != api.split("@")[0].split(":")[2]
    assert role_address("postgresql://boss@host/app", "treadle_api") == "postgresql://treadle_api@host/app"
