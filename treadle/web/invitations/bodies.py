"""Invitations as they go over HTTP."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from treadle.features.accounts.access import Role
from treadle.web.bodies import Answer, Pagination, PlainText, Request

Email = Annotated[PlainText, Field(min_length=3, max_length=320)]
Token = Annotated[PlainText, Field(min_length=1, max_length=200)]
"""What stands behind ``token=`` in the link of an invitation."""


class InviteRequest(Request):
    """Whom to invite to a workspace."""

    email: Email
    role: Role


class InviteToInstallRequest(Request):
    """Who may have an account."""

    email: Email


class HeldInvitation(Request):
    """The link that somebody holds."""

    token: Token


class InvitationBody(Answer):
    """An open invitation."""

    id: UUID
    email: str
    workspace_id: UUID | None
    """None: to have an account here, and no more."""
    workspace_name: str | None
    role: Role | None
    """The part in the workspace."""
    invited_by: UUID
    inviter_name: str
    created_at: datetime
    expires_at: datetime


class NewInvitationBody(InvitationBody):
    """An invitation that was just made."""

    link: str
    """To hand over to whoever is invited. Only its hash is kept: nobody can see it again."""
    mailed: bool
    """Whether a link of its own is on its way by mail."""


class InvitationList(Answer):
    """Open invitations, newest first."""

    invitations: list[InvitationBody]
    pagination: Pagination


class SeenInvitation(Answer):
    """What whoever holds a link is invited to."""

    email: str
    """The address that was invited."""
    workspace_name: str | None
    role: Role | None
    inviter_name: str
    expires_at: datetime
