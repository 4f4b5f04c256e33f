"""Opens the graph repository when it is first needed: SQLAlchemy takes half a second to load."""

import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from treadle.base.database import create_engine
from treadle.base.ids import WorkspaceId

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from treadle.features.graphs.repository import GraphRepository


class GraphStorage:
    """The graphs of a database, through the api role: row-level security is on."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._engine: AsyncEngine | None = None

    @contextlib.asynccontextmanager
    async def repository(self, workspace: WorkspaceId) -> "AsyncIterator[GraphRepository]":
        """A repository for one transaction, which is committed when the context ends without an error."""
        from treadle.features.graphs.repository import graph_repository  # noqa: PLC0415 (see above)

        if self._engine is None:
            self._engine = create_engine(self._dsn, pool_size=4)
        async with graph_repository(self._engine, workspace) as opened:
            yield opened

    async def close(self) -> None:
        """Close the connections."""
        if self._engine is not None:
            await self._engine.dispose()
