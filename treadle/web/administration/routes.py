"""Routes for people and invitations of the whole installation: ``/api/v2/admin``."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Response

from treadle.base.ids import InvitationId, UserId, WorkspaceId
from treadle.features.accounts.directory import Decision, Sought
from treadle.features.accounts.invitations import Wanted
from treadle.web.access import Administers
from treadle.web.administration.answers import deleted_body, person_body, person_detail
from treadle.web.administration.bodies import DeletedWorkspaceList, PersonDetail, PersonList, PersonRequest
from treadle.web.bodies import FOUND, OPEN, Done, PlainText, ThePage, pagination
from treadle.web.idempotency import ONCE, OnceInAccounts
from treadle.web.invitations.answers import invitation_body
from treadle.web.invitations.bodies import InvitationList, InviteToInstallRequest, NewInvitationBody
from treadle.web.invitations.making import invited
from treadle.web.site import TheSite

router = APIRouter(prefix="/api/v2/admin", tags=["administration"])


@router.get("/users", operation_id="list_users")
async def list_users(
    site: TheSite,
    who: Administers,
    page: ThePage,
    search: Annotated[PlainText | None, Query(max_length=200, description="Part of an address or a name.")] = None,
    status: Annotated[Literal["active", "disabled"] | None, Query()] = None,
    admin: Annotated[bool | None, Query(description="Administrators only, or nobody of them.")] = None,
) -> PersonList:
    """Everybody who has an account."""
    sought = Sought(search, None if status is None else status == "disabled", admin)
    rows, total = await site.directory.listed(sought, page)
    return PersonList(users=[person_body(each) for each in rows], pagination=pagination(page, total))


@router.get("/users/{user_id}", operation_id="get_user", responses=FOUND)
async def get_user(site: TheSite, who: Administers, user_id: UUID) -> PersonDetail:
    """Somebody, with what they have."""
    return person_detail(*await site.directory.get(UserId(user_id)))


@router.patch("/users/{user_id}", operation_id="change_user", responses=OPEN)
async def change_user(site: TheSite, who: Administers, user_id: UUID, body: PersonRequest) -> PersonDetail:
    """Disable or enable somebody, make them an administrator or none. The last administrator stays one."""
    await site.directory.decide(who, UserId(user_id), Decision(body.disabled, body.admin))
    return person_detail(*await site.directory.get(UserId(user_id)))


@router.post(
    "/invitations", operation_id="invite_to_install", status_code=201, response_model=NewInvitationBody, responses=ONCE
)
async def invite(site: TheSite, who: Administers, body: InviteToInstallRequest, once: OnceInAccounts) -> Response:
    """Let somebody make an account. The link is in the answer, this once; with mail another one is sent to them."""
    return await invited(site, who, Wanted(body.email), once)


@router.get("/invitations", operation_id="list_invitations")
async def list_invitations(site: TheSite, who: Administers, page: ThePage) -> InvitationList:
    """All open invitations, those to workspaces too: each lets somebody in."""
    rows, total = await site.invitations.listed(page)
    return InvitationList(invitations=[invitation_body(each) for each in rows], pagination=pagination(page, total))


@router.delete("/invitations/{invitation_id}", operation_id="revoke_invitation", status_code=204, responses=FOUND)
async def revoke_invitation(site: TheSite, who: Administers, invitation_id: UUID) -> Response:
    """Withdraw an invitation, to whatever it is."""
    await site.invitations.revoke(who, InvitationId(invitation_id), anywhere=True)
    return Response(status_code=204)


@router.get("/deleted-workspaces", operation_id="list_deleted_workspaces")
async def list_deleted_workspaces(site: TheSite, who: Administers, page: ThePage) -> DeletedWorkspaceList:
    """Workspaces that were deleted and are still kept."""
    rows, total = await site.workspaces.deleted(page)
    return DeletedWorkspaceList(workspaces=[deleted_body(each) for each in rows], pagination=pagination(page, total))


@router.post("/deleted-workspaces/{deleted_id}/restore", operation_id="restore_workspace", responses=FOUND)
async def restore_workspace(site: TheSite, who: Administers, deleted_id: UUID) -> Done:
    """Bring a deleted workspace back, with everything and everybody in it."""
    await site.workspaces.restore(who, WorkspaceId(deleted_id))
    return Done()
