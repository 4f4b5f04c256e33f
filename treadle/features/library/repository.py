"""Agents of the library in the database. The rows themselves are made and kept up by the database."""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from treadle.base.ids import FolderId, LibraryAgentId, UserId, WorkspaceId
from treadle.features.library.models import Favorite, Folder, LibraryAgent

_HOLD = text("SELECT library_folders_hold(:workspace)")


class LibraryRepository:
    """The library of one workspace, within one transaction."""

    def __init__(self, session: AsyncSession, workspace: WorkspaceId) -> None:
        self._session = session
        self._workspace = workspace

    async def fetch(self, query: str, *values: Any) -> Sequence[Sequence[Any]]:
        """Rows of a plain query: it sees what this transaction has done."""
        connection = await self._session.connection()
        return (await connection.exec_driver_sql(query, values)).all()

    async def get(self, id: LibraryAgentId) -> LibraryAgent | None:
        """An agent that is in the library; nobody else changes it before the transaction ends."""
        present = (LibraryAgent.removed_at.is_(None), LibraryAgent.graph_deleted_at.is_(None))
        return await self._one(LibraryAgent.id == id, *present)

    async def of_graph(self, graph: str) -> LibraryAgent | None:
        """The agent of a graph, also one that was taken out of the library."""
        return await self._one(LibraryAgent.graph_id == graph)

    async def change(self, agent: LibraryAgent, *, is_touched: bool = False, **values: Any) -> None:
        """Change an agent; ``is_touched`` makes it one of those that were changed last."""
        if is_touched:
            values["updated_at"] = func.now()
        for name, value in values.items():
            setattr(agent, name, value)
        await self._session.flush()
        await self._session.refresh(agent)

    async def remove(self, agent: LibraryAgent) -> None:
        """Take it out of the library."""
        await self.change(agent, removed_at=func.now(), folder_id=None)

    async def like(self, user: UserId, id: LibraryAgentId, *, likes: bool) -> None:
        """Say whether somebody likes an agent; saying it again changes nothing."""
        whose = {"workspace_id": self._workspace, "user_id": user, "agent_id": id}
        if likes:
            await self._session.execute(insert(Favorite).values(**whose).on_conflict_do_nothing())
        else:
            mine = (Favorite.workspace_id == self._workspace, Favorite.user_id == user, Favorite.agent_id == id)
            await self._session.execute(delete(Favorite).where(*mine))

    async def hold_folders(self) -> None:
        """Let nobody change the tree of folders before the transaction ends; taken before any row is."""
        await self._session.execute(_HOLD, {"workspace": self._workspace})

    async def has_folder(self, id: FolderId) -> bool:
        """Whether there is that folder."""
        query = select(Folder.id).where(Folder.workspace_id == self._workspace, Folder.id == id)
        return await self._session.scalar(query) is not None

    async def file(self, ids: Collection[LibraryAgentId], folder: FolderId | None) -> set[UUID]:
        """Put these agents into a folder; which of them there are."""
        here = (self._own, LibraryAgent.id.in_(ids), LibraryAgent.removed_at.is_(None))
        moved = update(LibraryAgent).where(*here, LibraryAgent.graph_deleted_at.is_(None)).values(folder_id=folder)
        return set(await self._session.scalars(moved.returning(LibraryAgent.id)))

    async def _one(self, *conditions: ColumnElement[bool]) -> LibraryAgent | None:
        query = select(LibraryAgent).where(self._own, *conditions)
        found = await self._session.scalars(
            query.with_for_update(key_share=True).execution_options(populate_existing=True)
        )
        return found.one_or_none()

    @property
    def _own(self) -> ColumnElement[bool]:
        return LibraryAgent.workspace_id == self._workspace
