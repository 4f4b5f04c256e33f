"""The database as features use it: through the api role, inside one workspace, one transaction at a time.

SQLAlchemy takes half a second to load, so it is loaded when the first transaction is opened.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
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


@dataclass(slots=True)
class _Open:
    """A transaction that goes on, and the task that it belongs to."""

    database: "_Database"
    workspace: WorkspaceId
    session: "AsyncSession"
    task: "asyncio.Task[object] | None"
    over: bool = False

    def joins(self, database: "_Database") -> bool:
        """Whether a transaction of the database that is opened now is a part of this one."""
        return not self.over and self.database is database and self.task is asyncio.current_task()


_INNERMOST: ContextVar[_Open | None] = ContextVar("transaction", default=None)


class _Database:
    """Transactions of one role."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._engine: AsyncEngine | None = None

    def is_open(self) -> bool:
        """Whether this task is in a transaction of this database of which others may become a part."""
        around = _INNERMOST.get()
        return around is not None and around.joins(self)

    @contextlib.asynccontextmanager
    async def _begun(self) -> "AsyncIterator[AsyncSession]":
        from sqlalchemy.exc import DBAPIError  # noqa: PLC0415 (see above)
        from sqlalchemy.ext.asyncio import AsyncSession  # noqa: PLC0415

        if self._engine is None:
            self._engine = create_engine(self._dsn, pool_size=_CONNECTIONS, max_overflow=_CONNECTIONS)
        try:
            async with AsyncSession(self._engine, expire_on_commit=False) as session, session.begin():
                yield session
        except DBAPIError as error:
            if isinstance(_cause(error), _UNSTORABLE):
                raise BadInput("A text holds a character that cannot be stored.", fix="Leave NUL out.") from error
            raise

    @contextlib.asynccontextmanager
    async def _outermost(self, workspace: WorkspaceId) -> "AsyncIterator[AsyncSession]":
        async with self._begun() as session:
            await enter_workspace_sql(await session.connection(), workspace)
            with _innermost(_Open(self, workspace, session, asyncio.current_task())):
                yield session

    async def close(self) -> None:
        """Close the connections."""
        if self._engine is not None:
            await self._engine.dispose()


class WorkspaceDatabase(_Database):
    """Transactions of the api role. Row-level security is on: each sees the rows of its own workspace only."""

    @contextlib.asynccontextmanager
    async def transaction(self, workspace: WorkspaceId) -> "AsyncIterator[AsyncSession]":
        """A session in a transaction, which is committed when the context ends without an error.

        Inside another one of the same task it is a part of that: a failure undoes this part, and nothing is committed
        before the outermost ends. So whoever calls several services in a transaction has all of it, or nothing.

        Raises:
            BadInput: a text holds what PostgreSQL cannot hold.
            RuntimeError: the transaction around it is in another workspace.
        """
        around = _INNERMOST.get()
        if around is None or not around.joins(self):
            async with self._outermost(workspace) as session:
                yield session
            return
        if around.workspace != workspace:
            raise RuntimeError(f"a transaction in workspace {around.workspace} cannot go on in {workspace}")
        async with around.session.begin_nested():
            yield around.session


class AccountsDatabase(_Database):
    """Transactions of the auth role: accounts, sessions and members, and nothing of what workspaces hold."""

    @contextlib.asynccontextmanager
    async def transaction(self) -> "AsyncIterator[AsyncSession]":
        """A session in a transaction, which is committed when the context ends without an error.

        Inside of ``shared`` it is a part of that. Otherwise it stands for itself, whatever is around it: what counts
        somebody's tries must not be undone with what they tried.

        Raises:
            BadInput: a text holds what PostgreSQL cannot hold.
        """
        around = _INNERMOST.get()
        if around is not None and around.joins(self):
            async with around.session.begin_nested():
                yield around.session
            return
        async with self._begun() as session:
            yield session

    @contextlib.asynccontextmanager
    async def shared(self, workspace: WorkspaceId) -> "AsyncIterator[AsyncSession]":
        """A transaction of which all others of the same task become a part: they happen together, or not at all.

        It may keep answers of requests in the workspace. Raises as ``transaction``.
        """
        async with self._outermost(workspace) as session:
            yield session


@contextlib.contextmanager
def _innermost(opened: _Open) -> Iterator[None]:
    token = _INNERMOST.set(opened)
    try:
        yield
    finally:
        opened.over = True
        _INNERMOST.reset(token)


def _cause(error: "DBAPIError") -> BaseException | None:
    """What the driver itself has raised."""
    return error.orig.__cause__ if error.orig is not None else None
