"""People and acts as administrators see them over HTTP."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from treadle.web.accounts.bodies import WorkspaceBody
from treadle.web.bodies import Answer, JsonObject, Pagination, Request


class PersonBody(Answer):
    """Somebody who has an account."""

    id: UUID
    email: str | None
    email_proven: bool
    """Whether a mail has reached them there, or a provider vouches for it."""
    name: str
    admin: bool
    status: Literal["active", "disabled"]
    disabled_at: datetime | None
    issuers: list[str]
    """By whom they are told to be who they are: ``email``, a provider such as ``github``, or another installation."""
    created_at: datetime
    last_sign_in_at: datetime | None


class PersonDetail(PersonBody):
    """The same, with what they have."""

    workspaces: list[WorkspaceBody]
    """The first hundred, with their part in each."""
    open_sessions: int
    api_keys: int


class PersonList(Answer):
    """People, the newest first."""

    users: list[PersonBody]
    pagination: Pagination


class PersonRequest(Request):
    """What is to change; what is not given stays as it is."""

    disabled: bool | None = None
    """Whoever is disabled is out at once: sessions, keys and open connections end."""
    admin: bool | None = None


class DeletedWorkspaceBody(Answer):
    """A workspace that was deleted and can be brought back."""

    id: UUID
    name: str
    created_at: datetime
    deleted_at: datetime
    kept_until: datetime
    """Then it is removed for good, with everything in it."""


class DeletedWorkspaceList(Answer):
    """Deleted workspaces, the latest first."""

    workspaces: list[DeletedWorkspaceBody]
    pagination: Pagination


class ActorBody(Answer):
    """Who did it."""

    id: UUID
    email: str | None
    name: str


class ActBody(Answer):
    """One act of the audit log."""

    id: UUID
    at: datetime
    action: str
    """A thing and what befell it: ``member.removed``."""
    actor: ActorBody | None
    """None for somebody who could not be told from others."""
    target: str
    """The id of the thing."""
    workspace_id: UUID | None
    """None for what concerns the whole installation."""
    address: str
    """From which network address it was asked for."""
    request_id: str
    details: JsonObject


class ActList(Answer):
    """Acts, the newest first."""

    entries: list[ActBody]
    next: UUID | None
    """Give it as ``before`` to read on; None at the end."""
