"""Links to what a run has given, for whoever has them: not to be guessed, and to be taken back at any time."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime

from treadle.base.errors import Conflict, NotFound
from treadle.base.ids import ExecutionId, UserId, WorkspaceId
from treadle.base.reading import WorkspaceReader

_BYTES = 24
"""Of chance in a link: 192 bits."""
_LONGEST = 100
_SHARE = (
    "INSERT INTO execution_shares (execution_id, workspace_id, token_digest, created_by)"
    " SELECT e.id, e.workspace_id, $3, $4 FROM executions e"
    " WHERE e.id = $1 AND e.workspace_id = $2 AND e.parent_id IS NULL"
    " ON CONFLICT (execution_id) DO UPDATE SET token_digest = excluded.token_digest,"
    " created_by = excluded.created_by, created_at = now() RETURNING created_at"
)


@dataclass(frozen=True, slots=True)
class Share:
    """A new link. The token is shown once: only its hash is kept."""

    token: str
    created_at: datetime


class Shares:
    """The links of one install. A run has one at most: a new one ends the one before."""

    def __init__(self, reader: WorkspaceReader) -> None:
        self._reader = reader

    async def make(self, workspace: WorkspaceId, id: ExecutionId, by: UserId) -> Share:
        """Share a run.

        Raises:
            NotFound: no such run.
            Conflict: it is a sub-agent's.
        """
        token = secrets.token_urlsafe(_BYTES)
        created = await self._reader.fetchval(workspace, _SHARE, id, workspace, _digest(token), by)
        if created is not None:
            return Share(token, created)
        if await self._reader.fetchval(
            workspace, "SELECT true FROM executions WHERE id = $1 AND workspace_id = $2", id, workspace
        ):
            raise Conflict("It belongs to the run that started it.", fix="Share that one.")
        raise NotFound(f"There is no execution {id}.", fix="List the executions to find its id.")

    async def end(self, workspace: WorkspaceId, id: ExecutionId) -> None:
        """Let the link lead nowhere. Ending it twice is ending it once."""
        query = "DELETE FROM execution_shares WHERE execution_id = $1 AND workspace_id = $2"
        await self._reader.fetch(workspace, query, id, workspace)

    async def since(self, workspace: WorkspaceId, id: ExecutionId) -> datetime | None:
        """When the link that now leads to the run was made; None when none does."""
        query = "SELECT created_at FROM execution_shares WHERE execution_id = $1 AND workspace_id = $2"
        found: datetime | None = await self._reader.fetchval(workspace, query, id, workspace)
        return found

    async def shared(self, token: str) -> tuple[WorkspaceId, ExecutionId]:
        """The run to which a link leads. Raises ``NotFound``."""
        found = None
        if len(token) <= _LONGEST:
            found = await self._reader.public("SELECT * FROM execution_shared_v1($1)", _digest(token))
        if found is None:
            raise NotFound("This link leads nowhere.", fix="Ask whoever gave it to you for a new one.")
        return WorkspaceId(found["workspace_id"]), ExecutionId(found["execution_id"])


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "backslashreplace")).digest()
