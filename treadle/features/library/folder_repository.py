"""Folders in the database, where a trigger sees to it that they stay a tree."""

import contextlib
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple, cast
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from treadle.base.ids import FolderId, WorkspaceId
from treadle.features.library.errors import FolderInsideItself, NameTaken, TooDeep
from treadle.features.library.models import Folder, LibraryAgent

DEEPEST = 10
"""Levels of folders; the database says the same."""
_LOCK = text("SELECT library_folders_lock(:workspace)")
_BELOW = text(
    "WITH RECURSIVE below AS ("
    " SELECT id FROM library_folders WHERE workspace_id = :workspace AND id = :id"
    " UNION ALL SELECT f.id FROM below JOIN library_folders f"
    " ON f.workspace_id = :workspace AND f.parent_id = below.id"
    ") SELECT id FROM below"
)


class CountedFolder(NamedTuple):
    """A folder and how many agents are in it, those in folders inside it not counted."""

    folder: Folder
    agents: int


class FolderRepository:
    """Folders of one workspace, within one transaction."""

    def __init__(self, session: AsyncSession, workspace: WorkspaceId) -> None:
        self._session = session
        self._workspace = workspace

    async def lock(self) -> None:
        """Let nobody else change the tree before the transaction ends; taken before any row is."""
        await self._session.execute(_LOCK, {"workspace": self._workspace})

    async def get(self, id: FolderId) -> Folder | None:
        """That folder, if there is one."""
        return await self._session.scalar(select(Folder).where(self._own, Folder.id == id))

    async def all(self) -> list[CountedFolder]:
        """All folders, by name."""
        agents = func.count().label("agents")
        counts = select(LibraryAgent.folder_id, agents).where(*self._filed()).group_by(LibraryAgent.folder_id)
        counted = counts.subquery()
        query = (
            select(Folder, func.coalesce(counted.c.agents, 0))
            .outerjoin(counted, counted.c.folder_id == Folder.id)
            .where(self._own)
            .order_by(func.lower(Folder.name), Folder.id)
        )
        return [CountedFolder(*row) for row in await self._session.execute(query)]

    async def count(self) -> int:
        """How many there are."""
        return await self._session.scalar(select(func.count()).select_from(Folder).where(self._own)) or 0

    async def add(self, folder: Folder) -> None:
        """Add a folder. Raises ``NameTaken`` or ``TooDeep``."""
        self._session.add(folder)
        with _told(folder.name):
            await self._session.flush()

    async def change(self, folder: Folder, **values: Any) -> None:
        """Change a folder. Raises ``NameTaken``, ``TooDeep`` or ``FolderInsideItself``."""
        for name, value in values.items():
            setattr(folder, name, value)
        folder.updated_at = cast("Any", func.now())
        with _told(folder.name):
            await self._session.flush()
        await self._session.refresh(folder)

    async def children(self, id: FolderId | None) -> list[Folder]:
        """The folders directly inside one, or those that are in none."""
        return list(await self._session.scalars(select(Folder).where(self._own, Folder.parent_id == id)))

    async def below(self, id: FolderId) -> list[UUID]:
        """The folder and all inside it."""
        return list(await self._session.scalars(_BELOW, {"workspace": self._workspace, "id": id}))

    async def empty(self, folders: Collection[UUID], target: FolderId | None, *, remove: bool = False) -> int:
        """Put the agents of these folders into another, or out of the library; how many people had seen there."""
        here = (LibraryAgent.workspace_id == self._workspace, LibraryAgent.folder_id.in_(folders))
        count = await self._session.scalar(select(func.count()).where(*self._filed(), *here)) or 0
        moved = update(LibraryAgent).where(*here).values(folder_id=target)
        if remove:
            moved = moved.values(removed_at=func.coalesce(LibraryAgent.removed_at, func.now()))
        await self._session.execute(moved)
        return count

    async def delete(self, folders: Collection[UUID]) -> None:
        """Delete folders in which nothing is but each other."""
        await self._session.execute(delete(Folder).where(self._own, Folder.id.in_(folders)))

    def _filed(self) -> tuple[ColumnElement[bool], ...]:
        return (
            LibraryAgent.workspace_id == self._workspace,
            LibraryAgent.folder_id.is_not(None),
            LibraryAgent.removed_at.is_(None),
            LibraryAgent.graph_deleted_at.is_(None),
        )

    @property
    def _own(self) -> ColumnElement[bool]:
        return Folder.workspace_id == self._workspace


@contextlib.contextmanager
def _told(name: str) -> Iterator[None]:
    """What the database refuses, in words."""
    try:
        yield
    except IntegrityError as error:
        cause = error.orig.__cause__ if error.orig is not None else None
        match getattr(cause, "constraint_name", ""):
            case "library_folders_named":
                raise NameTaken(name) from error
            case "library_folders_no_cycle":
                raise FolderInsideItself from error
            case "library_folders_depth":
                raise TooDeep(DEEPEST) from error
        raise
