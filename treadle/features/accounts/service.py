"""Who somebody is, and what part they have in a workspace."""

import hmac

from treadle.base.errors import NotFound
from treadle.base.ids import LOCAL_WORKSPACE, OPERATOR, WorkspaceId
from treadle.features.accounts.access import Identity, Principal, Role


class Accounts:
    """The people of an install. ``start_token`` is that of whoever holds the machine itself."""

    def __init__(self, start_token: str) -> None:
        self._start_token = start_token

    async def identify(self, token: str) -> Identity | None:
        """Whose token it is; None when it is nobody's, or no longer good."""
        # Takes as long for a wrong token, however much of it is right.
        if hmac.compare_digest(token.encode(), self._start_token.encode()):
            return Identity(OPERATOR, admin=True)
        return None

    async def principal(self, identity: Identity, workspace: WorkspaceId | None) -> Principal:
        """The person in a workspace, their own unless another is named.

        Raises:
            NotFound: there is no such workspace, or the person is no member.
        """
        if workspace not in (None, LOCAL_WORKSPACE):
            raise NotFound(f"There is no workspace {workspace}.", fix="List your workspaces to find its id.")
        return Principal(identity.user, LOCAL_WORKSPACE, Role.OWNER, identity.admin, identity.session, identity.key)
