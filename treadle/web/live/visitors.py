"""Everybody who is connected for live events: who they are, whether they still may be, and whether they still read."""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Coroutine, Iterable
from typing import Any

from treadle.base.errors import NotFound, Unavailable
from treadle.base.ids import SessionId, UserId, WorkspaceId
from treadle.engine.journal import DATABASE_GONE
from treadle.features.accounts.access import Identity, Permission
from treadle.features.accounts.errors import NotAdmitted
from treadle.features.accounts.service import Accounts
from treadle.features.live.viewer import Viewer
from treadle.web.live.messages import Heartbeat, encoded

MOST = 10_000
"""Connections of one process."""
MOST_OF_ONE = 2_500
"""Of one person."""
MOST_UNKNOWN = 250
"""Of people who have not said yet who they are."""
STALLED_SECONDS = 10.0
"""Who takes nothing for so long, while something waits to be taken, is too slow."""
BEAT_SECONDS = 25.0
"""After such a silence something is sent: proxies cut connections that look dead."""
KNOWN_SECONDS = 5.0
"""How often it is asked whether a token is still good, and its person still a member."""
GOODBYE_SECONDS = 2.0
"""For how long a server that stops waits until everybody has been told."""
_TICK_SECONDS = 1.0
HEARTBEAT = encoded(Heartbeat())
_log = logging.getLogger(__name__)


class End:
    """Why the server ends a connection: the code with which a WebSocket is closed, and a word for people."""

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason


UNKNOWN = End(4401, "The token is missing, not good, or not good any more.")
CANNOT_TELL = End(1013, "Whether the token is good cannot be told at present; try again later.")
NOT_ALLOWED = End(4403, "You may not read this workspace any more.")
TOO_SLOW = End(4408, "Too slow: connect again, and go on after the last number.")
TOO_MUCH = End(4429, "Too many messages or connections.")
GOING_AWAY = End(1001, "The server stops.")
FULL = End(1013, "Too many connections; try again later.")


class HungUp(Exception):
    """The other side has just gone."""


class Visit:
    """One connection. ``viewer`` is what it watches."""

    def __init__(self, viewer: Viewer) -> None:
        self.viewer = viewer
        self.token = ""
        """Kept to ask again whether it is good; never written anywhere."""
        self.identity: Identity | None = None
        """None as long as it is not known."""
        self.workspaces: set[WorkspaceId] = set()
        """Of which something is watched."""
        self.sending_since: float | None = None
        """When what is being sent was begun to be sent; None when nothing is."""
        self.good_until: float | None = None
        """When the token runs out, in seconds since 1970; None for one that does not."""
        self.loop = asyncio.get_running_loop()
        self.sent_at = self.loop.time()
        """When something was sent last."""
        self.ended: asyncio.Future[End] = self.loop.create_future()
        """Done when the server ends the connection, cancelled when the client does."""

    def end(self, why: End) -> None:
        """End the connection."""
        if not self.ended.done():
            self.ended.set_result(why)

    async def until_ended(self, *work: Coroutine[Any, Any, None]) -> list[Exception]:
        """Do the work, all at once, until a part of it is done or the visit ends; what has failed of it."""
        tasks = [self.loop.create_task(each) for each in work]
        try:
            waited: list[asyncio.Future[Any]] = [*tasks, self.ended]
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        return [each for each in results if isinstance(each, Exception) and not isinstance(each, HungUp)]


class Visitors:
    """The connections of one process. One task looks after all of them, and only while there are some."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        accounts.on_session_end(self.end_session)
        self._visits: dict[Visit, None] = {}
        self._of: Counter[UserId] = Counter()
        self._unknown = 0
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._left = asyncio.Event()
        """Somebody has."""

    def __len__(self) -> int:
        return len(self._visits)

    def enter(self, visit: Visit) -> End | None:
        """Somebody connects, of whom nothing is known yet; why they may not."""
        if self._closed:
            return GOING_AWAY
        if len(self._visits) >= MOST or self._unknown >= MOST_UNKNOWN:
            return FULL
        self._visits[visit] = None
        self._unknown += 1
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._look_after(), name="live-visitors")
        return None

    def known(self, visit: Visit, token: str, identity: Identity) -> End | None:
        """It is known now who it is; why they may not go on."""
        if self._of[identity.user] >= MOST_OF_ONE:
            return TOO_MUCH
        visit.token, visit.identity = token, identity
        visit.good_until = self._accounts.good_until(token)
        self._of[identity.user] += 1
        self._unknown -= 1
        return None

    def leave(self, visit: Visit) -> None:
        """Somebody has gone."""
        if visit in self._visits:
            del self._visits[visit]
            self._left.set()
            if visit.identity is None:
                self._unknown -= 1
            else:
                self._of[visit.identity.user] -= 1

    def end_session(self, session: SessionId) -> None:
        """A sign-in has ended: so do its connections, at once."""
        self._end(visit for visit in self._visits if visit.identity and visit.identity.session == session)

    async def close(self) -> None:
        """The server stops: everybody is told so, and gone when this returns, but for those who do not take it."""
        self._closed = True
        for visit in list(self._visits):
            visit.end(GOING_AWAY)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_SECONDS):
                while self._visits:
                    self._left.clear()
                    await self._left.wait()

    @staticmethod
    def _end(visits: Iterable[Visit]) -> None:
        for visit in list(visits):
            visit.end(UNKNOWN)

    async def _look_after(self) -> None:
        clock = asyncio.get_running_loop().time
        asked = clock()
        while self._visits:
            await asyncio.sleep(_TICK_SECONDS)
            self._beat(clock())
            if clock() - asked >= KNOWN_SECONDS:
                asked = clock()
                try:
                    await self._ask()
                except DATABASE_GONE:
                    _log.warning("cannot ask whether tokens are still good: the database does not answer")

    def _beat(self, now: float) -> None:
        for visit in list(self._visits):
            since = visit.sending_since
            if visit.good_until is not None and visit.good_until <= time.time():
                visit.end(UNKNOWN)
            elif visit.viewer.too_slow or (since is not None and now - since > STALLED_SECONDS):
                visit.end(TOO_SLOW)
            elif since is None and visit.identity is not None and now - visit.sent_at > BEAT_SECONDS:
                visit.viewer.offer(HEARTBEAT)

    async def _ask(self) -> None:
        """End the connections of those who may not be here any more. Each token is asked about once."""
        by_token: dict[str, list[Visit]] = {}
        for visit in self._visits:
            if visit.identity is not None:
                by_token.setdefault(visit.token, []).append(visit)
        for token, visits in by_token.items():
            try:
                identity = await self._accounts.identify(token)
            except Unavailable as error:  # it was good a moment ago, and is asked about again
                _log.warning("cannot ask whether a token is still good: %s", error.message)
                continue
            except NotAdmitted:  # the account is gone, and its token was issued elsewhere
                identity = None
            if identity is None:
                self._end(visits)
            else:
                await self._ask_workspaces(identity, visits)

    async def _ask_workspaces(self, identity: Identity, visits: list[Visit]) -> None:
        for workspace in {each for visit in visits for each in visit.workspaces}:
            if not await self.may_read(identity, workspace):
                for visit in visits:
                    if workspace in visit.workspaces:
                        visit.end(NOT_ALLOWED)

    async def may_read(self, identity: Identity, workspace: WorkspaceId) -> bool:
        """Whether somebody may see what a workspace has."""
        try:
            return (await self._accounts.principal(identity, workspace)).may(Permission.READ)
        except NotFound:
            return False
