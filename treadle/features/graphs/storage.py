"""Opens the graph repository when it is first needed: SQLAlchemy takes half a second to load."""

import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from treadle.base.ids import WorkspaceId
from treadle.base.sessions import WorkspaceDatabase

if TYPE_CHECKING:
    from treadle.features.graphs.repository import GraphRepository


class GraphStorage:
    """The graphs of a database."""

    def __init__(self, database: WorkspaceDatabase) -> None:
        self._database = database

    @contextlib.asynccontextmanager
    async def repository(self, workspace: WorkspaceId) -> "AsyncIterator[GraphRepository]":
        """A repository for one transaction, which is committed when the context ends without an error."""
        from treadle.features.graphs.repository import GraphRepository  # noqa: PLC0415 (see above)

        async with self._database.transaction(workspace) as session:
            yield GraphRepository(session, workspace)
