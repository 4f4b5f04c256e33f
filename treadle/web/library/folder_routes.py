"""Routes for the folders of the library."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from treadle.base.ids import FolderId, WorkspaceId
from treadle.features.library.folders import Contents
from treadle.web.access import Edits, Reads
from treadle.web.bodies import FOUND, Responses
from treadle.web.idempotency import Once
from treadle.web.library.answers import folder_body, folder_tree
from treadle.web.library.bodies import (
    FolderBody,
    FolderDeleted,
    FolderList,
    FolderTree,
    FolderUpdate,
    MoveFolder,
    NewFolder,
)
from treadle.web.problems import Failure
from treadle.web.site import Site, TheSite

router = APIRouter(prefix="/api/v2/library/folders", tags=["library"])
PLACED: Responses = {
    **FOUND,
    409: {"model": Failure, "description": "The name is taken there, or the folder cannot be at that place."},
}


@router.get("", operation_id="list_folders")
async def list_folders(site: TheSite, who: Reads) -> FolderList:
    """All folders, by name; each says in which one it is."""
    return FolderList(folders=[folder_body(each) for each in await site.folders.all(who.workspace)])


@router.get("/tree", operation_id="get_folder_tree")
async def get_tree(site: TheSite, who: Reads) -> FolderTree:
    """All folders, in each other."""
    return FolderTree(folders=folder_tree(await site.folders.all(who.workspace)))


@router.post("", operation_id="create_folder", status_code=201, response_model=FolderBody, responses=PLACED)
async def create_folder(site: TheSite, who: Edits, body: NewFolder, once: Once) -> Response:
    """Make a folder. Names are unique at each place, and folders are nested ten deep at most."""
    parent = None if body.parent_id is None else FolderId(body.parent_id)

    async def create() -> FolderBody:
        made = await site.folders.create(who.workspace, body.name, parent, icon=body.icon, color=body.color)
        return await _body(site, who.workspace, FolderId(made.id))

    return await once(who, create, status=201)


@router.get("/{folder_id}", operation_id="get_folder", responses=FOUND)
async def get_folder(site: TheSite, who: Reads, folder_id: UUID) -> FolderBody:
    """One folder."""
    return await _body(site, who.workspace, FolderId(folder_id))


@router.patch("/{folder_id}", operation_id="update_folder", responses=PLACED)
async def update_folder(site: TheSite, who: Edits, folder_id: UUID, body: FolderUpdate) -> FolderBody:
    """Change a folder. What is not given stays as it is."""
    await site.folders.update(who.workspace, FolderId(folder_id), **body.model_dump(exclude_none=True))
    return await _body(site, who.workspace, FolderId(folder_id))


@router.post("/{folder_id}/move", operation_id="move_folder", responses=PLACED)
async def move_folder(site: TheSite, who: Edits, folder_id: UUID, body: MoveFolder) -> FolderBody:
    """Put a folder with all that is in it somewhere else, but not into itself."""
    parent = None if body.parent_id is None else FolderId(body.parent_id)
    await site.folders.move(who.workspace, FolderId(folder_id), parent)
    return await _body(site, who.workspace, FolderId(folder_id))


@router.delete("/{folder_id}", operation_id="delete_folder", responses=FOUND)
async def delete_folder(
    site: TheSite,
    who: Edits,
    folder_id: UUID,
    contents: Annotated[
        Contents,
        Query(description="What is in it moves to where the folder is, or is deleted: agents out of the library."),
    ],
) -> FolderDeleted:
    """Delete a folder."""
    emptied = await site.folders.delete(who.workspace, FolderId(folder_id), contents)
    return FolderDeleted(folders=emptied.folders, agents=emptied.agents)


async def _body(site: Site, workspace: WorkspaceId, id: FolderId) -> FolderBody:
    return folder_body(await site.folders.get(workspace, id))
