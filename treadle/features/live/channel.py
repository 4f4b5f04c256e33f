"""One execution that is watched: what has lately become durable of it, and how far each watcher has come.

Nothing is queued for a watcher. It has a cursor, the number of the last record that it was given, and takes what
follows: from the latest rows, which all watchers share, or, if it is behind those, from the database.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from treadle.base.errors import NotFound, TreadleError
from treadle.base.ids import ExecutionId, NodeId
from treadle.features.live.past import Past, Row, Standing, Subject
from treadle.kernel.records import Record, decode_records

MOST_ROWS = 512
MOST_BYTES = 128 * 1024
"""Of the latest rows that are kept for watchers who have not taken them yet."""
TAKEN_AT_ONCE = 256
"""Events that a watcher takes at most before others have their turn."""


class Event(NamedTuple):
    """What a record tells, in the form in which it is sent."""

    seq: int
    """The number of the record."""
    text: str
    final: bool = False
    """Nothing follows."""


class Telling(Protocol):
    """Puts what happened into the form in which it is sent."""

    def events(
        self, subject: Subject, nodes: Sequence[NodeId], first: int, records: Sequence[Record], outputs: Sequence[Any]
    ) -> list[Event]:
        """Of records, the first of which has the number ``first``. ``outputs`` are the run's, if its end is there."""
        ...

    def said(self, execution: ExecutionId, node: NodeId, firing: int, offset: int, text: str) -> str:
        """Live text of a firing that has said ``offset`` characters before."""
        ...

    def standing(self, standing: Standing) -> str:
        """How a run stands, for lists."""
        ...

    def failure(self, execution: ExecutionId | None, error: TreadleError) -> str:
        """Why something is not told."""
        ...


class Watcher(Protocol):
    """Whose cursor it is."""

    def has_news(self, cursor: "Cursor") -> None:
        """There is more to take."""
        ...

    def offer_if_room(self, text: str) -> None:
        """Something without a number, which may be left out."""
        ...


@dataclass(slots=True)
class Kept:
    """A row, and what it tells once somebody has taken it: put into words once, however many watch."""

    row: Row
    events: list[Event] | None = None


class Channel:
    """What has lately happened in one execution: rows without a gap from ``start`` (not included) to ``head``."""

    def __init__(self, subject: Subject, past: Past, telling: Telling, flush: Callable[[ExecutionId], None]) -> None:
        self.subject = subject
        self.cursors: dict[Cursor, None] = {}
        self.start = -1
        self.head = -1
        """Number of the last record that is known to be durable; -1 as long as nothing is known."""
        self.outputs: Sequence[Any] | None = None
        """What the run gave, once its end is known here."""
        self._past = past
        self._telling = telling
        self._flush = flush
        self._kept: deque[Kept] = deque()
        self._bytes = 0
        self._behind = 0

    def add(self, row: Row) -> None:
        """A row is durable. Rows that are known change nothing; a gap before it is left to the database."""
        if row.last <= self.head:
            return
        if row.seq > self.head + 1 or self.head < 0:
            self._forget(row.seq - 1)
        self._kept.append(Kept(row))
        self._bytes += len(row.body)
        self.head = row.last
        while len(self._kept) > MOST_ROWS or self._bytes > MOST_BYTES:
            oldest = self._kept.popleft().row
            self._bytes -= len(oldest.body)
            self.start = oldest.last
        for cursor in self.cursors:
            self._leave_behind(cursor)

    def known_up_to(self, seq: int) -> None:
        """The database had nothing after this record. What has become durable since is added."""
        if self.head < 0:
            self.start = self.head = seq

    def open(self, cursor: "Cursor") -> None:
        """Somebody watches, from where its cursor stands."""
        self.cursors[cursor] = None
        self._leave_behind(cursor)

    def close(self, cursor: "Cursor") -> None:
        """Somebody watches no more."""
        if cursor in self.cursors:
            del self.cursors[cursor]
            self.caught_up(cursor)

    def caught_up(self, cursor: "Cursor") -> None:
        """The cursor has all there is. What everybody has is not kept."""
        if cursor.behind:
            cursor.behind = False
            self._behind -= 1
        if not self._behind and self._kept:
            self._forget(self.head)

    def after(self, seq: int) -> Kept | None:
        """The kept row in which the record after this one is."""
        return next((kept for kept in self._kept if kept.row.last > seq), None) if seq >= self.start >= 0 else None

    async def page(self, seq: int) -> list[Kept]:
        """The rows after this record from the database."""
        subject = self.subject
        rows = await self._past.rows(subject.workspace, subject.root, subject.id, seq)
        self._flush(subject.id)  # live text goes before what it led to, which may be there already
        return [Kept(row) for row in rows]

    async def told(self, kept: Kept) -> list[Event]:
        """What a row tells."""
        if kept.events is None:
            records = decode_records(kept.row.body)
            nodes = await self._past.nodes(self.subject)
            outputs: Sequence[Any] = ()
            if any(record[0] == "close" for record in records):
                if self.outputs is None:
                    self.outputs = await self._past.outputs(self.subject)
                outputs = self.outputs
            if kept.events is None:
                kept.events = self._telling.events(self.subject, nodes, kept.row.seq, records, outputs)
        return kept.events

    def _forget(self, start: int) -> None:
        self._kept.clear()
        self._bytes = 0
        self.start = start

    def _leave_behind(self, cursor: "Cursor") -> None:
        if not cursor.behind:
            cursor.behind = True
            self._behind += 1
            cursor.watcher.has_news(cursor)


class Cursor:
    """How far one watcher has come in one execution."""

    __slots__ = ("_page", "behind", "channel", "seen", "watcher")

    def __init__(self, channel: Channel, seen: int, watcher: Watcher) -> None:
        self.channel = channel
        self.seen = seen
        """Number of the last record that it was given, or knew before."""
        self.watcher = watcher
        self.behind = False
        """Whether there is more than it has taken."""
        self._page: deque[Kept] = deque()
        """Rows from the database that it has not taken yet."""

    async def take(self) -> list[Event]:
        """The next events; none when it has all there is.

        Raises:
            NotFound: what follows is not there any more: the run was deleted.
        """
        while True:
            kept = self._next()
            if kept is not None:
                events = await self.channel.told(kept)
                first = bisect_right(events, self.seen, key=lambda event: event.seq)
                chosen = events[first : first + TAKEN_AT_ONCE]
                self.seen = chosen[-1].seq if first + TAKEN_AT_ONCE < len(events) else kept.row.last
                if chosen:
                    return chosen
            elif self.seen >= self.channel.head >= 0:
                self.channel.caught_up(self)
                return []
            else:
                await self._turn_page()

    def _next(self) -> Kept | None:
        while self._page and self._page[0].row.last <= self.seen:
            self._page.popleft()
        return self._page[0] if self._page else self.channel.after(self.seen)

    async def _turn_page(self) -> None:
        channel = self.channel
        known = channel.head
        self._page.extend(await channel.page(self.seen))
        if self._page:
            return
        if channel.head < 0:
            channel.known_up_to(self.seen)
        elif self.seen < known:
            raise NotFound(f"The execution {channel.subject.id} was deleted.", fix="List the executions.")
