"""Keys in the database, within the transaction of the act that they stand for."""

from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from treadle.base.ids import UserId, WorkspaceId

_LOCK_NOT_AVAILABLE = "55P03"
_CLAIM = text("SELECT route, digest, status, body FROM idempotency_claim_v1(:workspace, :user, :key, :route, :digest)")
_ANSWER = text(
    "UPDATE idempotency_keys SET status = :status, body = :body"
    " WHERE workspace_id = :workspace AND user_id = :user AND key = :key AND status IS NULL"
)


class Taken(Exception):
    """Another transaction has the key, and has not ended in time."""


class KeyRepository:
    """The keys of one person in one workspace."""

    def __init__(self, session: AsyncSession, workspace: WorkspaceId, user: UserId) -> None:
        self._session = session
        self._whose = {"workspace": workspace, "user": user}

    async def claim(self, key: str, route: str, digest: bytes) -> Row[Any] | None:
        """Take the key: None when it is new, else what it stands for. Raises ``Taken``."""
        values = {**self._whose, "key": key, "route": route, "digest": digest}
        try:
            return (await self._session.execute(_CLAIM, values)).one_or_none()
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
                raise
            raise Taken from error

    async def answer(self, key: str, status: int, body: bytes) -> None:
        """Keep the answer of the act for which the key was taken."""
        await self._session.execute(_ANSWER, {**self._whose, "key": key, "status": status, "body": body})
