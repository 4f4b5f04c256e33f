"""Opens the accounts' repository when it is first needed: SQLAlchemy takes half a second to load."""

import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from treadle.base.sessions import AccountsDatabase

if TYPE_CHECKING:
    from treadle.features.accounts.directory_repository import DirectoryRepository
    from treadle.features.accounts.key_repository import KeyRepository
    from treadle.features.accounts.repository import AccountRepository
    from treadle.features.accounts.workspace_repository import WorkspaceRepository


class AccountStorage:
    """The accounts of a database."""

    def __init__(self, database: AccountsDatabase) -> None:
        self._database = database

    @contextlib.asynccontextmanager
    async def repository(self) -> "AsyncIterator[AccountRepository]":
        """A repository for one transaction, which is committed when the context ends without an error."""
        from treadle.features.accounts.repository import AccountRepository  # noqa: PLC0415 (see above)

        async with self._database.transaction() as session:
            yield AccountRepository(session)

    @contextlib.asynccontextmanager
    async def workspaces(self) -> "AsyncIterator[WorkspaceRepository]":
        """The same for workspaces and their members."""
        from treadle.features.accounts.workspace_repository import WorkspaceRepository  # noqa: PLC0415

        async with self._database.transaction() as session:
            yield WorkspaceRepository(session)

    @contextlib.asynccontextmanager
    async def keys(self) -> "AsyncIterator[KeyRepository]":
        """The same for keys of the external API."""
        from treadle.features.accounts.key_repository import KeyRepository  # noqa: PLC0415

        async with self._database.transaction() as session:
            yield KeyRepository(session)

    @contextlib.asynccontextmanager
    async def directory(self) -> "AsyncIterator[DirectoryRepository]":
        """The same for people as administrators see them."""
        from treadle.features.accounts.directory_repository import DirectoryRepository  # noqa: PLC0415

        async with self._database.transaction() as session:
            yield DirectoryRepository(session)
