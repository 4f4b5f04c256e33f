"""People and workspaces as they go over HTTP."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import StringConstraints

from treadle.features.accounts.access import Role
from treadle.web.bodies import Answer, JsonObject, Pagination, Request, Storable

WorkspaceName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100), Storable]


class WorkspaceBody(Answer):
    """A workspace, and what part one has in it."""

    id: UUID
    name: str
    role: Role
    personal: bool
    """Whether it is somebody's own, which cannot be deleted."""
    created_at: datetime


class WorkspaceList(Answer):
    """One's workspaces."""

    workspaces: list[WorkspaceBody]
    pagination: Pagination


class WorkspaceRequest(Request):
    """A new workspace, or another name."""

    name: WorkspaceName


class MemberBody(Answer):
    """Somebody in a workspace."""

    user_id: UUID
    email: str | None
    name: str
    role: Role
    since: datetime


class MemberList(Answer):
    """Those in a workspace, the oldest first."""

    members: list[MemberBody]
    pagination: Pagination


class RoleRequest(Request):
    """Another part."""

    role: Role


class MeBody(Answer):
    """Who is signed in."""

    id: UUID
    email: str | None
    name: str
    admin: bool
    """Whether they administer the installation."""
    profile: JsonObject
    created_at: datetime
    last_sign_in_at: datetime | None
    workspace: WorkspaceBody
    """The one that the request is about: their own unless another is named."""
    workspaces: list[WorkspaceBody]
    """The first hundred of theirs."""
