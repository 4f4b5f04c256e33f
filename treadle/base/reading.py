"""Fast reads for people: plain SQL through the api role, with row-level security under every query.

``WorkspaceDatabase`` opens a transaction for each piece of work, and tells the database in it whose rows it may see:
four round trips around one. Here a connection stays in a workspace until it is needed for another one, so that a read
is one round trip. See docs/decisions/reads-for-people.md.
"""

import contextlib
from collections.abc import AsyncIterator
from typing import Any, cast

import asyncpg

from treadle.base.database import create_pool
from treadle.base.errors import BadInput
from treadle.base.ids import WorkspaceId

_STAY = "SELECT set_config('treadle.workspace_id', $1, false)"
"""Holds for the session, until another one is set."""
_CONNECTIONS = 6
NOWHERE = ""
"""In no workspace: no row of people's tables can be seen."""


class WorkspaceConnection(asyncpg.Connection):
    """A connection of the api role that knows in which workspace it is."""

    __slots__ = ("_entered",)

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._entered: WorkspaceId | str | None = NOWHERE
        """None while it is not known."""

    async def enter(self, workspace: WorkspaceId | str) -> None:
        """See this workspace's rows from now on, and no other's; in ``NOWHERE`` those of none."""
        if self._entered != workspace:
            self._entered = None
            await self.fetchval(_STAY, str(workspace))
            self._entered = workspace


class WorkspaceReader:
    """Queries of the api role, each in one workspace. Connections are opened when they are needed."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    @classmethod
    async def open(cls, dsn: str, *, connections: int = _CONNECTIONS) -> "WorkspaceReader":
        """A reader with that many connections at most; ``dsn`` is that of the api role."""
        return cls(await create_pool(dsn, min_size=0, max_size=connections, connection_class=WorkspaceConnection))

    @contextlib.asynccontextmanager
    async def connection(self, workspace: WorkspaceId) -> AsyncIterator[asyncpg.Connection]:
        """A connection that is in the workspace for as long as the context lasts.

        Raises:
            BadInput: a text holds what PostgreSQL cannot hold.
        """
        async with self._pool.acquire() as connection:
            await cast("WorkspaceConnection", connection).enter(workspace)
            try:
                yield cast("asyncpg.Connection", connection)
            except (asyncpg.CharacterNotInRepertoireError, asyncpg.UntranslatableCharacterError) as error:
                raise BadInput("A text holds a character that cannot be stored.", fix="Leave NUL out.") from error

    async def fetch(self, workspace: WorkspaceId, query: str, *values: Any) -> list[asyncpg.Record]:
        """The rows of a query."""
        async with self.connection(workspace) as connection:
            return list(await connection.fetch(query, *values))

    async def fetchrow(self, workspace: WorkspaceId, query: str, *values: Any) -> asyncpg.Record | None:
        """The first row of a query, if there is one."""
        async with self.connection(workspace) as connection:
            return await connection.fetchrow(query, *values)

    async def fetchval(self, workspace: WorkspaceId, query: str, *values: Any) -> Any:
        """The first value of a query's first row; None when there is none."""
        async with self.connection(workspace) as connection:
            return await connection.fetchval(query, *values)

    async def public(self, query: str, *values: Any) -> asyncpg.Record | None:
        """The first row of a query that is about no workspace: it sees no row of people's tables."""
        async with self._pool.acquire() as connection:
            await cast("WorkspaceConnection", connection).enter(NOWHERE)
            return await connection.fetchrow(query, *values)

    def close(self) -> None:
        """Close the connections."""
        self._pool.terminate()
