"""Folders: a tree in each workspace, in which agents are filed."""

import contextlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from treadle.base.errors import NotFound
from treadle.base.ids import FolderId, WorkspaceId, uuid7
from treadle.base.sessions import WorkspaceDatabase
from treadle.features.library.errors import TooManyFolders

if TYPE_CHECKING:
    from treadle.features.library.folder_repository import CountedFolder, FolderRepository
    from treadle.features.library.models import Folder

MOST = 2_000
"""Folders of a workspace."""


class Contents(StrEnum):
    """What becomes of what is in a folder that is deleted."""

    MOVE = "move"
    """It goes to where the folder was."""
    DELETE = "delete"
    """The folders in it are deleted, and the agents in all of them taken out of the library."""


@dataclass(frozen=True, slots=True)
class Emptied:
    """What was in a folder that is deleted."""

    folders: int
    agents: int


class Folders:
    """The folders of an install."""

    def __init__(self, database: WorkspaceDatabase) -> None:
        self._database = database

    async def all(self, workspace: WorkspaceId) -> "list[CountedFolder]":
        """All folders, by name."""
        async with self._repository(workspace) as repository:
            return await repository.all()

    async def get(self, workspace: WorkspaceId, id: FolderId) -> "CountedFolder":
        """One folder. Raises ``NotFound``."""
        found = next((each for each in await self.all(workspace) if each.folder.id == id), None)
        if found is None:
            raise _unknown(id)
        return found

    async def create(
        self, workspace: WorkspaceId, name: str, parent: FolderId | None = None, *, icon: str = "", color: str = ""
    ) -> "Folder":
        """Make a folder.

        Raises:
            NotFound: there is no such parent.
            NameTaken: another one at that place has the name; large and small letters are the same.
            TooDeep, TooManyFolders: there is a limit.
        """
        from treadle.features.library.models import Folder  # noqa: PLC0415 (loads SQLAlchemy)

        async with self._changing(workspace) as repository:
            if parent is not None:
                await _present(repository, parent)
            if await repository.count() >= MOST:
                raise TooManyFolders(MOST)
            folder = Folder(id=uuid7(), workspace_id=workspace, parent_id=parent, name=name, icon=icon, color=color)
            await repository.add(folder)
            return folder

    async def update(self, workspace: WorkspaceId, id: FolderId, **values: Any) -> None:
        """Change ``name``, ``icon`` or ``color``. Raises ``NotFound`` and ``NameTaken``."""
        async with self._changing(workspace) as repository:
            await repository.change(await _present(repository, id), **values)

    async def move(self, workspace: WorkspaceId, id: FolderId, parent: FolderId | None) -> None:
        """Put a folder with all that is in it somewhere else.

        Raises:
            NotFound: there is no such folder, or no such place.
            NameTaken: another one at that place has its name.
            FolderInsideItself: the place is inside it.
            TooDeep: its lowest folder would be.
        """
        async with self._changing(workspace) as repository:
            folder = await _present(repository, id)
            if parent is not None:
                await _present(repository, parent)
            if folder.parent_id != parent:
                await repository.change(folder, parent_id=parent)

    async def delete(self, workspace: WorkspaceId, id: FolderId, contents: Contents) -> Emptied:
        """Delete a folder. Folders that move to where their names are taken get a number. Raises ``NotFound``."""
        async with self._changing(workspace) as repository:
            folder = await _present(repository, id)
            if contents is Contents.DELETE:
                gone = await repository.below(id)
                agents = await repository.empty(gone, None, remove=True)
                await repository.delete(gone)
                return Emptied(len(gone) - 1, agents)
            children = await repository.children(id)
            await _move_up(repository, folder, children)
            agents = await repository.empty([id], _id(folder.parent_id))
            await repository.delete([id])
            return Emptied(len(children), agents)

    @contextlib.asynccontextmanager
    async def _repository(self, workspace: WorkspaceId) -> "AsyncIterator[FolderRepository]":
        from treadle.features.library.folder_repository import FolderRepository  # noqa: PLC0415 (loads SQLAlchemy)

        async with self._database.transaction(workspace) as session:
            yield FolderRepository(session, workspace)

    @contextlib.asynccontextmanager
    async def _changing(self, workspace: WorkspaceId) -> "AsyncIterator[FolderRepository]":
        async with self._repository(workspace) as repository:
            await repository.lock()
            yield repository


async def _move_up(repository: "FolderRepository", folder: "Folder", children: "Iterable[Folder]") -> None:
    """Put what is in a folder to where the folder is; its own name is free then."""
    parent = _id(folder.parent_id)
    taken = {each.name.lower() for each in await repository.children(parent) if each.id != folder.id}
    await repository.change(folder, name=str(folder.id))
    for child in children:
        name = _free_name(child.name, taken)
        taken.add(name.lower())
        await repository.change(child, parent_id=parent, name=name)


async def _present(repository: "FolderRepository", id: FolderId) -> "Folder":
    folder = await repository.get(id)
    if folder is None:
        raise _unknown(id)
    return folder


def _unknown(id: FolderId) -> NotFound:
    return NotFound(f"There is no folder {id}.", fix="List the folders to find its id.")


def _id(value: Any) -> FolderId | None:
    return None if value is None else FolderId(value)


def _free_name(name: str, taken: set[str]) -> str:
    number = 2
    free = name
    while free.lower() in taken:
        free = f"{name[:90]} ({number})"
        number += 1
    return free
