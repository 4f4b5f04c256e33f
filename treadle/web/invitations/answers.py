"""Invitations as answers."""

from typing import TYPE_CHECKING

from treadle.features.accounts.access import Role
from treadle.features.accounts.profiles import name_of
from treadle.web.invitations.bodies import InvitationBody, SeenInvitation

if TYPE_CHECKING:
    from treadle.features.accounts.invitation_repository import InvitationRow


def invitation_body(row: "InvitationRow") -> InvitationBody:
    """An invitation, for those who have made it, or whom it is for."""
    invitation = row.invitation
    return InvitationBody(
        id=invitation.id,
        workspace_id=invitation.workspace_id,
        invited_by=invitation.invited_by,
        created_at=invitation.created_at,
        **seen(row).model_dump(),
    )


def seen(row: "InvitationRow") -> SeenInvitation:
    """What it says to whoever holds its link."""
    role = row.invitation.role
    return SeenInvitation(
        email=row.invitation.email,
        workspace_name=row.workspace.name if row.workspace else None,
        role=Role(role) if role else None,
        inviter_name=name_of(row.inviter),
        expires_at=row.invitation.expires_at,
    )
