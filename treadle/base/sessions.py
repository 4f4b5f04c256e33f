"""The database as features use it: through the api role, inside one workspace, one transaction at a time.

SQLAlchemy takes half a second to load, so it is loaded when the first transaction is opened.
"""

import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import asyncpg

from treadle.base.database import create_engine, enter_workspace_sql
from treadle.base.errors import BadInput
from treadle.base.ids import WorkspaceId

if TYPE_CHECKING:
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

_CONNECTIONS = 8
_UNSTORABLE = (asyncpg.CharacterNotInRepertoireError, asyncpg.UntranslatableCharacterError)


class WorkspaceDatabase:
    """Transactions of the api role. Row-level security is on: each sees the rows of its own workspace only."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._engine: AsyncEngine | None = None

    @contextlib.asynccontextmanager
    async def transaction(self, workspace: WorkspaceId) -> "AsyncIterator[AsyncSession]":
        """A session in a transaction, which is committed when the context ends without an error.

        Raises ``BadInput`` for texts that PostgreSQL cannot hold.
        """
        from sqlalchemy.exc import DBAPIError  # noqa: PLC0415 (see above)
        from sqlalchemy.ext.asyncio import AsyncSession  # noqa: PLC0415

        if self._engine is None:
            self._engine = create_engine(self._dsn, pool_size=_CONNECTIONS, max_overflow=_CONNECTIONS)
        try:
            async with AsyncSession(self._engine, expire_on_commit=False) as session, session.begin():
                await enter_workspace_sql(await session.connection(), workspace)
                yield session
        except DBAPIError as error:
            if isinstance(_cause(error), _UNSTORABLE):
                raise BadInput("A text holds a character that cannot be stored.", fix="Leave NUL out.") from error
            raise

    async def close(self) -> None:
        """Close the connections."""
        if self._engine is not None:
            await self._engine.dispose()


def _cause(error: "DBAPIError") -> BaseException | None:
    """What the driver itself has raised."""
    return error.orig.__cause__ if error.orig is not None else None
