"""Routes below ``/api/v2``: who one is, workspaces and their members."""

from uuid import UUID

from fastapi import APIRouter, Response

from treadle.base.ids import UserId
from treadle.base.paging import LARGEST_PAGE, Page
from treadle.features.accounts.access import Role
from treadle.features.accounts.profiles import name_of
from treadle.web.access import Manages, Reads, SignedIn
from treadle.web.accounts.answers import member_body, workspace_body
from treadle.web.accounts.bodies import (
    MeBody,
    MemberBody,
    MemberList,
    RoleRequest,
    WorkspaceBody,
    WorkspaceList,
    WorkspaceRequest,
)
from treadle.web.bodies import FOUND, OPEN, Done, ThePage, pagination
from treadle.web.idempotency import ONCE, OnceInAccounts
from treadle.web.site import TheSite

router = APIRouter(prefix="/api/v2", tags=["accounts"])


@router.get("/me", operation_id="get_me", responses=FOUND)
async def me(site: TheSite, who: SignedIn) -> MeBody:
    """Who is signed in, and their workspaces."""
    user = await site.workspaces.person(who.user)
    parts, _ = await site.workspaces.listed(who.user, Page(1, LARGEST_PAGE))
    return MeBody(
        id=user.id,
        email=user.email,
        name=name_of(user),
        admin=who.admin,
        profile=user.profile,
        created_at=user.created_at,
        last_sign_in_at=user.last_sign_in_at,
        workspace=workspace_body(await site.workspaces.get(who), who.role),
        workspaces=[workspace_body(each.workspace, each.role) for each in parts],
    )


@router.get("/workspaces", operation_id="list_workspaces")
async def list_workspaces(site: TheSite, who: SignedIn, page: ThePage) -> WorkspaceList:
    """One's workspaces, one's own first."""
    parts, total = await site.workspaces.listed(who.user, page)
    shown = [workspace_body(each.workspace, each.role) for each in parts]
    return WorkspaceList(workspaces=shown, pagination=pagination(page, total))


@router.post(
    "/workspaces", operation_id="create_workspace", status_code=201, response_model=WorkspaceBody, responses=ONCE
)
async def create_workspace(site: TheSite, who: SignedIn, body: WorkspaceRequest, once: OnceInAccounts) -> Response:
    """Make a workspace to share with others."""

    async def create() -> WorkspaceBody:
        return workspace_body(await site.workspaces.create(who, body.name), Role.OWNER)

    return await once(who, create, status=201)


@router.get("/workspaces/{workspace_id}", operation_id="get_workspace", responses=FOUND)
async def get_workspace(site: TheSite, who: Reads, workspace_id: UUID) -> WorkspaceBody:
    """One workspace."""
    return workspace_body(await site.workspaces.get(who), who.role)


@router.patch("/workspaces/{workspace_id}", operation_id="rename_workspace", responses=FOUND)
async def rename_workspace(site: TheSite, who: Manages, workspace_id: UUID, body: WorkspaceRequest) -> WorkspaceBody:
    """Give a workspace another name."""
    return workspace_body(await site.workspaces.rename(who, body.name), who.role)


@router.delete("/workspaces/{workspace_id}", operation_id="delete_workspace", responses=OPEN)
async def delete_workspace(site: TheSite, who: Manages, workspace_id: UUID) -> Done:
    """Close a workspace for everybody, and stop what runs in it. One's own cannot be deleted.

    Everything in it is removed after TREADLE_DELETED_WORKSPACE_DAYS; until then an administrator can bring it back.
    """
    await site.workspaces.delete(who)
    return Done()


@router.get("/workspaces/{workspace_id}/members", operation_id="list_members", responses=FOUND)
async def list_members(site: TheSite, who: Reads, workspace_id: UUID, page: ThePage) -> MemberList:
    """Those in a workspace."""
    members, total = await site.workspaces.members(who.workspace, page)
    return MemberList(members=[member_body(each) for each in members], pagination=pagination(page, total))


@router.patch("/workspaces/{workspace_id}/members/{user_id}", operation_id="change_member", responses=OPEN)
async def change_member(
    site: TheSite, who: Manages, workspace_id: UUID, user_id: UUID, body: RoleRequest
) -> MemberBody:
    """Give a member another part. A workspace always has an owner."""
    return member_body(await site.workspaces.change_role(who, UserId(user_id), body.role))


@router.delete("/workspaces/{workspace_id}/members/{user_id}", operation_id="remove_member", responses=OPEN)
async def remove_member(site: TheSite, who: Manages, workspace_id: UUID, user_id: UUID) -> Done:
    """Take somebody out of a workspace."""
    await site.workspaces.remove(who, UserId(user_id))
    return Done()


@router.post("/workspaces/{workspace_id}/leave", operation_id="leave_workspace", responses=OPEN)
async def leave_workspace(site: TheSite, who: SignedIn, workspace_id: UUID) -> Done:
    """Leave a workspace of others."""
    await site.workspaces.remove(who, who.user)
    return Done()
