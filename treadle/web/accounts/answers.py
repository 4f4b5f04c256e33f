"""People and workspaces as answers."""

from typing import TYPE_CHECKING

from treadle.features.accounts.access import Role
from treadle.features.accounts.profiles import name_of
from treadle.web.accounts.bodies import MemberBody, WorkspaceBody

if TYPE_CHECKING:
    from treadle.features.accounts.models import Workspace
    from treadle.features.accounts.workspace_repository import MemberRow


def workspace_body(row: "Workspace", role: Role) -> WorkspaceBody:
    """A workspace with the part that somebody has in it."""
    return WorkspaceBody(
        id=row.id, name=row.name, role=role, personal=row.personal_of is not None, created_at=row.created_at
    )


def member_body(row: "MemberRow") -> MemberBody:
    """A member."""
    return MemberBody(user_id=row.user.id, email=row.user.email, name=name_of(row.user), role=row.role, since=row.since)
