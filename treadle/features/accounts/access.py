"""What a person may do in a workspace: the one table of roles and permissions."""

from dataclasses import dataclass
from enum import StrEnum

from treadle.base.ids import ApiKeyId, SessionId, UserId, WorkspaceId


class Role(StrEnum):
    """A member's part in a workspace."""

    OWNER = "owner"
    EDITOR = "editor"
    RUNNER = "runner"
    VIEWER = "viewer"


class Permission(StrEnum):
    """What a route asks for."""

    READ = "read"
    """See what the workspace has: agents, runs, files."""
    RUN = "run"
    """Start, stop and repeat runs; decide on reviews."""
    EDIT = "edit"
    """Change and delete agents, folders, presets, files, runs and credentials."""
    MANAGE = "manage"
    """Members, keys and the workspace itself."""
    SELF = "self"
    """One's own account: everybody who is signed in, in any workspace."""
    ADMIN = "admin"
    """The installation: its administrators, whatever their part in the workspace."""


PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.VIEWER: frozenset({Permission.READ}),
    Role.RUNNER: frozenset({Permission.READ, Permission.RUN}),
    Role.EDITOR: frozenset({Permission.READ, Permission.RUN, Permission.EDIT}),
    Role.OWNER: frozenset({Permission.READ, Permission.RUN, Permission.EDIT, Permission.MANAGE}),
}


class Scope(StrEnum):
    """What a key of the external API may be used for; beside that, the person's part in the workspace counts."""

    IDENTITY = "IDENTITY"
    EXECUTE_GRAPH = "EXECUTE_GRAPH"
    READ_GRAPH = "READ_GRAPH"
    EXECUTE_BLOCK = "EXECUTE_BLOCK"
    READ_BLOCK = "READ_BLOCK"
    READ_STORE = "READ_STORE"
    USE_TOOLS = "USE_TOOLS"
    MANAGE_INTEGRATIONS = "MANAGE_INTEGRATIONS"
    READ_INTEGRATIONS = "READ_INTEGRATIONS"
    DELETE_INTEGRATIONS = "DELETE_INTEGRATIONS"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who sends a request, proved by a token. Which workspace it is about is not said by that."""

    user: UserId
    admin: bool = False
    session: SessionId | None = None
    """The sign-in that the token belongs to; None for the start-up token and for keys."""
    key: ApiKeyId | None = None
    """The key of the external API that was used instead of a sign-in."""
    workspace: WorkspaceId | None = None
    """The only workspace that the key is for."""
    scopes: frozenset[Scope] = frozenset()
    """What the key may be used for; a sign-in may be used for everything."""

    def allows(self, scope: Scope) -> bool:
        """Whether what proved the identity may be used for this."""
        return self.key is None or scope in self.scopes


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody in a workspace: whom everything that a request does is done for."""

    user: UserId
    workspace: WorkspaceId
    role: Role
    admin: bool = False
    session: SessionId | None = None
    key: ApiKeyId | None = None

    def may(self, permission: Permission) -> bool:
        """Whether the role, or being an administrator, gives the permission."""
        if permission is Permission.ADMIN:
            return self.admin
        return permission is Permission.SELF or permission in PERMISSIONS[self.role]
