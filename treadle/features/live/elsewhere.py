"""Between the processes of an install: which runs are watched somewhere, and that there is more of them.

Over LISTEN/NOTIFY, coalesced: never inside the journal's transaction, and nothing at all when nobody watches. A message
is only a bell: what was lost is found by looking now and then. Live text alone travels in the messages themselves,
because it is kept nowhere.
"""

import asyncio
import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol
from uuid import UUID, uuid4

import asyncpg
import msgspec

from treadle.base.ids import ExecutionId, NodeId, WorkspaceId
from treadle.base.notifications import Notifications
from treadle.engine.journal import DATABASE_GONE

CHANNEL = "treadle_live"
WANTED_SECONDS = 30.0
"""For how long a process counts as watching after it has said so."""
RENEW_SECONDS = 10.0
_QUIET_SECONDS = 0.01
_PAUSE_SECONDS = 0.5
"""Before the database is tried again."""
_IDS = 150
"""Ids in one message: PostgreSQL takes 8,000 bytes."""
_PAIRS = 75
_CHARACTERS = 1_000
"""Of live text in one message, with every character at its longest."""
_MOST_SAID = 1_000
_log = logging.getLogger(__name__)


class Hearer(Protocol):
    """Who is told what other processes say."""

    def wants(self) -> Iterable[UUID]:
        """Roots, executions and workspaces that are watched here and run elsewhere."""
        ...

    def more(self, root: ExecutionId, execution: ExecutionId) -> None:
        """There is more in the journal of an execution."""
        ...

    def listed(self, workspace: WorkspaceId, root: ExecutionId) -> None:
        """A run stands otherwise than before."""
        ...

    def said(self, execution: ExecutionId, node: NodeId, firing: int, offset: int, text: str) -> None:
        """Live text."""
        ...

    def missed(self) -> None:
        """Messages may have been lost."""
        ...


class Elsewhere:
    """The line to the other processes on the same database. ``pool`` is what it is said through."""

    def __init__(self, dsn: str, pool: asyncpg.Pool) -> None:
        self.wanted: dict[UUID, float] = {}
        """What other processes watch, and until when (on the loop's clock)."""
        self._pool = pool
        self._ears = Notifications(dsn, CHANNEL, self._heard, self._missed)
        self._me = uuid4().hex[:12]
        self._hearer: Hearer
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._renewal = 0.0
        self._asks = False
        self._wants: dict[UUID, None] = {}
        self._more: dict[tuple[UUID, UUID], None] = {}
        self._listed: dict[tuple[UUID, UUID], None] = {}
        self._said: list[list[Any]] = []

    def attach(self, hearer: Hearer) -> None:
        """Tell this one what others say; called once, before ``start``."""
        self._hearer = hearer

    def start(self) -> None:
        """Begin to listen. Starting again changes nothing."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="live-elsewhere")

    async def close(self) -> None:
        """Listen no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._ears.close()

    # ---- to say -------------------------------------------------------------------------------------------------

    def want(self, ids: Iterable[UUID]) -> None:
        """These are watched here from now on, and run elsewhere."""
        self.start()
        self._wants.update(dict.fromkeys(ids))
        self._wake.set()

    def ring(self, root: UUID, execution: UUID) -> None:
        """There is more in the journal of an execution that others watch."""
        self._pend(self._more, (root, execution))

    def ring_list(self, workspace: UUID, root: UUID) -> None:
        """A run stands otherwise than before in a list that others watch."""
        self._pend(self._listed, (workspace, root))

    def say(self, execution: ExecutionId, node: NodeId, firing: int, offset: int, text: str) -> None:
        """Live text of an execution that others watch."""
        for start in range(0, len(text), _CHARACTERS):
            if len(self._said) < _MOST_SAID:
                part = text[start : start + _CHARACTERS].encode("utf-8", "replace").decode()
                self._said.append([execution, node, firing, offset + start, part])
        self._wake.set()

    def _pend(self, pending: dict[tuple[UUID, UUID], None], pair: tuple[UUID, UUID]) -> None:
        pending[pair] = None
        self._wake.set()

    # ---- the line -----------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        await self._listen()
        await self._missed()
        while True:
            try:
                await self._send(self._messages())
            except DATABASE_GONE:
                _log.warning("other processes cannot be told of live events: the database does not answer")
                await asyncio.sleep(_PAUSE_SECONDS)
            await asyncio.sleep(_QUIET_SECONDS)
            await self._until_there_is_more()

    async def _listen(self) -> None:
        while True:
            try:
                await self._ears.start()
                return
            except DATABASE_GONE:
                _log.warning("live events of other processes cannot be heard: the database does not answer")
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _missed(self) -> None:
        """Nothing was heard until now: ask who watches, say what is watched, look at it."""
        self._asks = True
        self._wants.update(dict.fromkeys(self._hearer.wants()))
        self._hearer.missed()
        self._wake.set()

    async def _until_there_is_more(self) -> None:
        clock = asyncio.get_running_loop().time
        while not self._wake.is_set():
            try:
                async with asyncio.timeout_at(self._renewal):
                    await self._wake.wait()
            except TimeoutError:
                self._renew(clock())
        if clock() >= self._renewal:
            self._renew(clock())
        self._wake.clear()

    def _renew(self, now: float) -> None:
        self._renewal = now + RENEW_SECONDS
        self.wanted = {id: until for id, until in self.wanted.items() if until > now}
        self._wants.update(dict.fromkeys(self._hearer.wants()))
        if self._wants:
            self._wake.set()

    def _messages(self) -> list[list[Any]]:
        """What is to be said; nothing of it is said again."""
        messages: list[list[Any]] = [[self._me, "who"]] if self._asks else []
        self._asks = False
        for kind, pending, size in (
            ("want", self._wants, _IDS),
            ("more", self._more, _PAIRS),
            ("listed", self._listed, _PAIRS),
        ):
            messages.extend([self._me, kind, *part] for part in _parts(list(pending), size))
            pending.clear()
        messages.extend([self._me, "said", *each] for each in self._said)
        self._said.clear()
        return messages

    async def _send(self, messages: list[list[Any]]) -> None:
        if messages:
            texts = [msgspec.json.encode(each).decode() for each in messages]
            await self._pool.execute("SELECT pg_notify($1, text) FROM unnest($2::text[]) AS text", CHANNEL, texts)

    def _heard(self, text: str) -> None:
        sender, kind, *content = msgspec.json.decode(text)
        if sender == self._me:
            return
        if kind == "who":
            self._wants.update(dict.fromkeys(self._hearer.wants()))
            self._wake.set()
        elif kind == "want":
            until = asyncio.get_running_loop().time() + WANTED_SECONDS
            self.wanted.update((UUID(id), until) for id in content)
        elif kind == "more":
            for root, execution in content:
                self._hearer.more(ExecutionId(UUID(root)), ExecutionId(UUID(execution)))
        elif kind == "listed":
            for workspace, root in content:
                self._hearer.listed(WorkspaceId(UUID(workspace)), ExecutionId(UUID(root)))
        elif kind == "said":
            execution, node, firing, offset, said = content
            self._hearer.said(ExecutionId(UUID(execution)), NodeId(node), firing, offset, said)


def _parts(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
