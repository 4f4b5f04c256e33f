"""Somebody who watches over one connection: what it has subscribed to, and what waits to be sent to it."""

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING

from treadle.base.errors import BadInput, NotFound
from treadle.base.ids import ExecutionId
from treadle.engine.journal import DATABASE_GONE
from treadle.features.live.channel import Cursor, Event
from treadle.features.live.past import Subject

if TYPE_CHECKING:
    from treadle.features.live.feed import Feed

MOST_WAITING = 1_000
MOST_WAITING_BYTES = 1_000_000
"""Of what has no number, and so is queued: replies, and how runs stand. Who takes less than that is too slow."""
MOST_CHILDREN = 10_000
"""Sub-agents that one subscription follows."""
_PAUSE_SECONDS = 0.5
"""Before the database is asked again when it does not answer."""


class Viewer:
    """What one connection watches. ``take`` gives what is to be sent, as fast as it is taken."""

    def __init__(self, feed: "Feed") -> None:
        self.subscriptions: dict[ExecutionId, Subscription] = {}
        self.too_slow = False
        """It has left more untaken than is kept for it."""
        self._feed = feed
        self._waiting: deque[str] = deque()
        self._bytes = 0
        self._news: dict[Cursor, Subscription] = {}
        self._left_out: set[Subscription] = set()
        self._wake = asyncio.Event()

    async def subscribe(
        self, subject: Subject, after: int, children: Mapping[ExecutionId, int] | None = None
    ) -> "Subscription":
        """Watch an execution from a number on; with ``children`` its sub-agents too, each from its own number.

        Watching it again begins anew.
        """
        self.unsubscribe(subject.id)
        subscription = Subscription(self, subject, children)
        self.subscriptions[subject.id] = subscription
        try:
            await self._feed.watch(subscription, after)
        except BaseException:
            self.unsubscribe(subject.id)
            raise
        if subscription.is_over:
            self.unsubscribe(subject.id)
        return subscription

    def unsubscribe(self, id: ExecutionId) -> bool:
        """Watch an execution no more; whether it was watched."""
        subscription = self.subscriptions.pop(id, None)
        if subscription is not None:
            self._feed.unwatch(subscription)
            for cursor in [each for each, owner in self._news.items() if owner is subscription]:
                del self._news[cursor]
        return subscription is not None

    def leave(self) -> None:
        """Watch nothing more."""
        for id in list(self.subscriptions):
            self.unsubscribe(id)

    def offer(self, text: str) -> None:
        """Something without a number to send; who does not take such things is too slow."""
        if len(self._waiting) >= MOST_WAITING or self._bytes + len(text) > MOST_WAITING_BYTES:
            self.too_slow = True
            return
        self._waiting.append(text)
        self._bytes += len(text)
        self._wake.set()

    def offer_if_room(self, text: str) -> None:
        """Something that may be left out when its receiver is slow."""
        if self.waiting < MOST_WAITING // 2 and self._bytes < MOST_WAITING_BYTES // 2:
            self.offer(text)

    @property
    def waiting(self) -> int:
        """How much without a number has not been taken."""
        return len(self._waiting)

    async def take(self) -> list[Event]:
        """Wait for something to send. What has no number has the number 0."""
        while True:
            events = await self._take_news() if self._news and not self._waiting else []
            if self._waiting:  # first, also if it came while the events were read: live text is older than they are
                events = [*(Event(0, text) for text in self._waiting), *events]
                self._waiting.clear()
                self._bytes = 0
            if events:
                return events
            if not self._news:
                self._wake.clear()
                await self._wake.wait()

    async def _take_news(self) -> list[Event]:
        """The next events of the subscription whose turn it is."""
        cursor, subscription = next(iter(self._news.items()))
        try:
            events = await cursor.take()
        except DATABASE_GONE:
            await asyncio.sleep(_PAUSE_SECONDS)
            return []
        except NotFound as error:
            if self.subscriptions.get(subscription.subject.id) is subscription:
                self.unsubscribe(subscription.subject.id)
                self.offer(self._feed.telling.failure(subscription.subject.id, error))
            return []
        if self._news.pop(cursor, None) is None:
            return []  # it was unsubscribed meanwhile
        if events and events[-1].final:
            await self._finish(subscription, cursor)
        elif cursor.behind:
            self._news[cursor] = subscription
        return events

    async def _finish(self, subscription: "Subscription", cursor: Cursor) -> None:
        """One of its executions is over; with the last of them the subscription is."""
        self._feed.drop(subscription, cursor)
        if cursor.channel.subject.id == subscription.subject.id:
            await self._feed.find_children(subscription)
        if subscription.is_over and self.subscriptions.get(subscription.subject.id) is subscription:
            self.unsubscribe(subscription.subject.id)

    def leaves_out(self, subscription: "Subscription") -> None:
        """There are more sub-agents than a subscription follows; said once."""
        if subscription not in self._left_out:
            self._left_out.add(subscription)
            message = f"More than {MOST_CHILDREN:,} sub-agents: the others are not followed."
            error = BadInput(message, fix="Subscribe to those that you want to see one by one.")
            self.offer(self._feed.telling.failure(subscription.subject.id, error))

    def has_news(self, subscription: "Subscription", cursor: Cursor) -> None:
        """There is more for one of its cursors."""
        self._news[cursor] = subscription
        self._wake.set()


class Subscription:
    """One execution that a viewer watches, with or without its sub-agents. Implements ``Watcher``."""

    def __init__(self, viewer: Viewer, subject: Subject, children: Mapping[ExecutionId, int] | None) -> None:
        self.viewer = viewer
        self.subject = subject
        self.cursors: dict[ExecutionId, Cursor] = {}
        """Of what is not over, or has not been given to its end."""
        self.family: set[ExecutionId] | None = None if children is None else {subject.id}
        """The execution and its descendants as far as they are known; None when only it is watched."""
        self._after = dict(children or {})

    @property
    def is_over(self) -> bool:
        """Whether everything that will ever happen has been given."""
        return not self.cursors

    def takes_up(self, child: Subject) -> bool:
        """Whether a sub-agent is to be watched from now on; false if it is no descendant, or is watched already."""
        if self.family is None or child.parent not in self.family or child.id in self.family:
            return False
        if len(self.family) > MOST_CHILDREN:
            self.viewer.leaves_out(self)
            return False
        self.family.add(child.id)
        return True

    def after(self, child: ExecutionId) -> int:
        """The last number of a sub-agent that the viewer knows."""
        return self._after.pop(child, 0)

    def has_news(self, cursor: Cursor) -> None:
        """There is more for one of its cursors."""
        self.viewer.has_news(self, cursor)

    def offer_if_room(self, text: str) -> None:
        """Something without a number."""
        self.viewer.offer_if_room(text)
