"""The database as features use it: through the api role, inside one workspace, one transaction at a time.

SQLAlchemy takes half a second to load, so it is loaded when the first transaction is opened.
"""

import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from treadle.base.database import create_engine, enter_workspace_sql
from treadle.base.ids import WorkspaceId

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

_CONNECTIONS = 8


class WorkspaceDatabase:
    """Transactions of the api role. Row-level security is on: each sees the rows of its own workspace only."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._engine: AsyncEngine | None = None

    @contextlib.asynccontextmanager
    async def transaction(self, workspace: WorkspaceId) -> "AsyncIterator[AsyncSession]":
        """A session in a transaction, which is committed when the context ends without an error."""
        from sqlalchemy.ext.asyncio import AsyncSession  # noqa: PLC0415 (see above)

        if self._engine is None:
            self._engine = create_engine(self._dsn, pool_size=_CONNECTIONS, max_overflow=_CONNECTIONS)
        async with AsyncSession(self._engine, expire_on_commit=False) as session, session.begin():
            await enter_workspace_sql(await session.connection(), workspace)
            yield session

    async def close(self) -> None:
        """Close the connections."""
        if self._engine is not None:
            await self._engine.dispose()
