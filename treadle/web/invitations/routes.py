"""Routes for invitations: to a workspace, below ``/api/v2/workspaces``, and to oneself, ``/api/v2/invitations``."""

from uuid import UUID

from fastapi import APIRouter, Response

from treadle.base.ids import InvitationId, WorkspaceId
from treadle.features.accounts.access import Principal
from treadle.features.accounts.invitations import Wanted
from treadle.web.access import Manages, SignedIn
from treadle.web.accounts.answers import workspace_body
from treadle.web.accounts.bodies import WorkspaceBody
from treadle.web.bodies import FOUND, OPEN, Done, ThePage, pagination
from treadle.web.idempotency import OnceInAccounts
from treadle.web.invitations.answers import invitation_body, seen
from treadle.web.invitations.bodies import (
    HeldInvitation,
    InvitationList,
    InviteRequest,
    NewInvitationBody,
    SeenInvitation,
)
from treadle.web.invitations.making import invited
from treadle.web.site import Site, TheSite

router = APIRouter(prefix="/api/v2", tags=["invitations"])

PUBLIC = ("/api/v2/invitations/lookup",)
"""Whoever is invited has no token yet: what they hold is the link."""


@router.post(
    "/workspaces/{workspace_id}/invitations",
    operation_id="invite_to_workspace",
    status_code=201,
    response_model=NewInvitationBody,
    responses=OPEN,
)
async def invite(
    site: TheSite, who: Manages, workspace_id: UUID, body: InviteRequest, once: OnceInAccounts
) -> Response:
    """Invite somebody to a workspace. The link is in the answer, this once; with mail another one is sent to them."""
    return await invited(site, who, Wanted(body.email, body.role), once)


@router.get("/workspaces/{workspace_id}/invitations", operation_id="list_workspace_invitations", responses=FOUND)
async def list_invitations(site: TheSite, who: Manages, workspace_id: UUID, page: ThePage) -> InvitationList:
    """The open invitations to a workspace."""
    rows, total = await site.invitations.listed(page, who.workspace)
    return InvitationList(invitations=[invitation_body(each) for each in rows], pagination=pagination(page, total))


@router.delete(
    "/workspaces/{workspace_id}/invitations/{invitation_id}",
    operation_id="revoke_workspace_invitation",
    status_code=204,
    responses=FOUND,
)
async def revoke_invitation(site: TheSite, who: Manages, workspace_id: UUID, invitation_id: UUID) -> Response:
    """Withdraw an invitation: its links are good no more."""
    await site.invitations.revoke(who, InvitationId(invitation_id))
    return Response(status_code=204)


@router.post("/invitations/lookup", operation_id="look_at_invitation", responses=FOUND)
async def look_at_invitation(site: TheSite, body: HeldInvitation) -> SeenInvitation:
    """What whoever holds a link is invited to.

    To accept without an account, sign up with the token as ``data.invitation``; with one, sign in and accept.
    """
    return seen(await site.invitations.look(body.token))


@router.post("/invitations/accept", operation_id="accept_invitation", responses=OPEN)
async def accept_invitation(site: TheSite, who: SignedIn, body: HeldInvitation) -> WorkspaceBody:
    """Become a member of the workspace that a link is for. Doing it again changes nothing."""
    return await _joined(site, who, await site.invitations.accept(who, body.token))


@router.get("/invitations", operation_id="list_my_invitations")
async def my_invitations(site: TheSite, who: SignedIn, page: ThePage) -> InvitationList:
    """The open invitations to workspaces that name one's own address, if that is proven to be one's own."""
    rows, total = await site.invitations.mine(who.user, page)
    return InvitationList(invitations=[invitation_body(each) for each in rows], pagination=pagination(page, total))


@router.post("/invitations/{invitation_id}/accept", operation_id="accept_my_invitation", responses=FOUND)
async def accept_mine(site: TheSite, who: SignedIn, invitation_id: UUID) -> WorkspaceBody:
    """Become a member by an invitation that names one's own address."""
    return await _joined(site, who, await site.invitations.accept_mine(who, InvitationId(invitation_id)))


@router.post("/invitations/{invitation_id}/decline", operation_id="decline_my_invitation", responses=FOUND)
async def decline_mine(site: TheSite, who: SignedIn, invitation_id: UUID) -> Done:
    """Do not want an invitation that names one's own address."""
    await site.invitations.decline(who, InvitationId(invitation_id))
    return Done()


async def _joined(site: Site, who: Principal, workspace: WorkspaceId) -> WorkspaceBody:
    found, role = await site.workspaces.part(who.user, workspace)
    return workspace_body(found, role)
