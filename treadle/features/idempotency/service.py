"""An act and the record of its answer are one transaction: both are there, or neither is."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import asyncpg

from treadle.base.ids import UserId, WorkspaceId

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession
from treadle.features.idempotency.errors import KeyUsedDifferently, StillGoingOn

KEPT = timedelta(hours=24)
"""How long a key is good for at least."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request with a key."""

    key: str
    route: str
    """The operation's name."""
    digest: bytes
    """Of everything that the request says."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What the request was answered, now or the first time."""

    status: int
    body: bytes
    repeated: bool = False


Act = Callable[[], Awaitable[bytes]]
"""Does what is asked for; gives the body of the answer."""


Open = Callable[[WorkspaceId], "AbstractAsyncContextManager[AsyncSession]"]
"""Opens a transaction in a workspace, of which those become a part that an act opens."""


class Idempotency:
    """Does things once. ``transaction`` is of the database in which they are done."""

    def __init__(self, transaction: Open) -> None:
        self._transaction = transaction

    async def answer(
        self, workspace: WorkspaceId, user: UserId, asked: Asked | None, act: Act, *, status: int
    ) -> Answered:
        """Do ``act`` in one transaction with the record of its answer, or give the answer that it had before.

        Without a key (``asked`` is None) it is done, in one transaction too. An act that fails leaves nothing behind,
        so the key can be used again. Keys of different people have nothing to do with each other.

        Raises:
            KeyUsedDifferently: the key stands for another request.
            StillGoingOn: the request is being done elsewhere and did not end within five seconds.
        """
        from treadle.features.idempotency.repository import KeyRepository, Taken  # noqa: PLC0415 (loads SQLAlchemy)

        async with self._transaction(workspace) as session:
            if asked is None:
                return Answered(status, await act())
            keys = KeyRepository(session, workspace, user)
            try:
                before = await keys.claim(asked.key, asked.route, asked.digest)
            except Taken:
                fix = "Send it again in a moment, with the same key: it will be answered once this is done."
                raise StillGoingOn("This request is being done already.", fix=fix) from None
            if before is None:
                body = await act()
                await keys.answer(asked.key, status, body)
                return Answered(status, body)
            if before.digest != asked.digest or before.route != asked.route:
                raise KeyUsedDifferently(
                    f"The Idempotency-Key was used for another request ({before.route}), or for other content.",
                    fix="Make a new key for each thing that you want done, and use it again only to send that again.",
                )
            return Answered(before.status, before.body, repeated=True)


async def forget_keys(pool: asyncpg.Pool, age: timedelta = KEPT) -> int:
    """Remove the keys of all workspaces that are older; returns how many."""
    return int(
        (await pool.execute("DELETE FROM idempotency_keys WHERE created_at < now() - $1::interval", age)).split()[-1]
    )
