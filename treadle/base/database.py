"""The database of an installation: found or started, checked, and opened for one of four roles."""

import asyncio
import contextlib
import logging
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from treadle.base.config import Settings
from treadle.base.errors import ConfigurationError
from treadle.base.roles import API, AUTH, DATABASE, ENGINE, OWNER, SUPERUSER, prepare_embedded

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from treadle.base.postgres import EmbeddedPostgres

Connection = asyncpg.Connection | PoolConnectionProxy
"""A connection of one's own, or one of a pool."""
SET_WORKSPACE = "SELECT set_config('treadle.workspace_id', $1, true)"
"""Row-level security reads this setting; it ends with the transaction."""

_WATCH_SECONDS = 1.0
_RETRY_SECONDS = 15.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, repr=False)
class DatabaseUrls:
    """One ``postgresql://`` address for each role, for asyncpg and libpq. Not printed: they may hold passwords."""

    owner: str
    """Owns the schema: migrations only."""
    engine: str
    """Runs graphs: past row-level security, but only on tables granted to it."""
    api: str
    """Serves people: sees the rows of the workspace that the transaction has set."""
    auth: str
    """Knows who people are: accounts, sessions and keys, which no other role may read."""


@contextlib.asynccontextmanager
async def running_database(settings: Settings) -> AsyncIterator[DatabaseUrls]:
    """The addresses of a database that runs for as long as the context lasts.

    Embedded: starts it, or attaches to the one another process has started, and starts it again should it die.
    With DATABASE_URL: checks it. Raises ConfigurationError in one sentence with the fix.
    """
    if not settings.embedded_database:
        from treadle.base.external import prepare_external  # noqa: PLC0415 (not needed by default)

        yield DatabaseUrls(*await prepare_external(settings))
        return
    server = _embedded(settings)
    await asyncio.to_thread(server.start)
    try:
        await _prepare(server)
        watch = asyncio.create_task(_keep_running(server), name="postgres-watch")
        try:
            yield embedded_urls(server)
        finally:
            watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watch
    finally:
        await asyncio.shield(asyncio.to_thread(server.stop))


def embedded_urls(server: "EmbeddedPostgres", database: str = DATABASE) -> DatabaseUrls:
    """The addresses of one database of an embedded server."""
    return DatabaseUrls(
        owner=server.dsn(OWNER, database),
        engine=server.dsn(ENGINE, database),
        api=server.dsn(API, database),
        auth=server.dsn(AUTH, database),
    )


async def connect(dsn: str, **options: Any) -> asyncpg.Connection:
    """One asyncpg connection, which the caller closes."""
    return await asyncpg.connect(dsn, **options)


async def create_pool(dsn: str, *, min_size: int = 1, max_size: int = 10, **options: Any) -> asyncpg.Pool:
    """A pool of asyncpg connections, which the caller closes. Idle ones are closed after five minutes."""
    return await asyncpg.create_pool(dsn, min_size=min_size, max_size=max_size, reset=_leave_as_is, **options)


async def _leave_as_is(connection: asyncpg.Connection) -> None:
    """Our queries change nothing of a session: a reset after each would double the round trips."""


def create_engine(dsn: str, **options: Any) -> "AsyncEngine":
    """An SQLAlchemy engine over asyncpg; dispose of it with ``await engine.dispose()``.

    Its errors do not hold the values of statements, which may be secrets: errors are logged.
    """
    from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415 (20 MB that not every process needs)

    async def open_connection(*_: object, **__: object) -> asyncpg.Connection:
        return await asyncpg.connect(dsn)

    return create_async_engine("postgresql+asyncpg://", async_creator=open_connection, hide_parameters=True, **options)


async def enter_workspace(connection: Connection, workspace_id: UUID) -> None:
    """Let the rest of this transaction, as the api role, see this workspace's rows only."""
    await connection.execute(SET_WORKSPACE, str(workspace_id))


async def enter_workspace_sql(connection: "AsyncConnection", workspace_id: UUID) -> None:
    """The same for a transaction of SQLAlchemy (for a session: ``await session.connection()``)."""
    await connection.exec_driver_sql(SET_WORKSPACE, (str(workspace_id),))


def _embedded(settings: Settings) -> "EmbeddedPostgres":
    if sys.platform == "win32":
        raise ConfigurationError(
            "The embedded PostgreSQL does not run on Windows itself.",
            fix="Run Treadle in WSL 2 or in a container, or set DATABASE_URL to a PostgreSQL server.",
        )
    from treadle.base.postgres import EmbeddedPostgres  # noqa: PLC0415 (needs Unix)

    return EmbeddedPostgres(settings.home)


async def _prepare(server: "EmbeddedPostgres") -> None:
    try:
        await prepare_embedded(server.dsn(SUPERUSER, "postgres"), server.dsn(SUPERUSER, DATABASE))
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise ConfigurationError(
            f"The embedded PostgreSQL in {server.data} started but could not be prepared: {error}.",
            fix=f"Read {server.log_file}, and start again.",
        ) from error


async def _keep_running(server: "EmbeddedPostgres") -> None:
    """Start the server again when it dies while we live: the system may kill it for want of memory."""
    while True:
        await asyncio.sleep(_WATCH_SECONDS)
        try:
            if await asyncio.to_thread(server.ensure_running):
                _log.error("PostgreSQL had died and was started again; see %s", server.log_file)
        except ConfigurationError as error:
            _log.error("%s %s", error.message, error.fix)
            await asyncio.sleep(_RETRY_SECONDS)
