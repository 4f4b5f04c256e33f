"""The events of one execution as server-sent events."""

from collections.abc import Iterable, Iterator, MutableMapping
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from treadle.features.accounts.access import Identity
from treadle.features.live.channel import Event
from treadle.features.live.feed import Feed
from treadle.features.live.past import Subject
from treadle.kernel.states import FINAL
from treadle.web.live.visitors import HEARTBEAT, TOO_SLOW, Visit, Visitors
from treadle.web.problems import failure

AGAIN_MS = 1_000
"""How long a client that has lost the connection waits before it connects again."""
PIECE = 32_768
"""Characters after which a piece is sent."""
_LAST: MutableMapping[str, Any] = {"type": "http.response.body", "body": b"", "more_body": False}


class EventStream(Visit, Response):
    """Sends the events after a number until the last one."""

    media_type = "text/event-stream"

    def __init__(
        self, feed: Feed, visitors: Visitors, subject: Subject, after: int, token: str, identity: Identity
    ) -> None:
        # Proxies must hand each event on at once.
        Response.__init__(self, headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        Visit.__init__(self, feed.viewer())
        self.workspaces = {subject.workspace}
        self._visitors = visitors
        self._subject = subject
        self._after = after
        self._who = (token, identity)

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to send, now or ever."""
        return self._subject.status in FINAL and self._after >= self._subject.last_seq

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request."""
        refused = self._visitors.enter(self) or self._visitors.known(self, *self._who)
        try:
            if refused is not None:
                body = failure(503, "too_many_connections", refused.reason, "Try again later.")
                await JSONResponse(body.model_dump(mode="json"), 503)(scope, receive, send)
            else:
                await self._serve(receive, send)
        finally:
            self.viewer.leave()
            self._visitors.leave(self)

    async def _serve(self, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        for failed in await self.until_ended(self._write(send), _gone(receive)):
            raise failed
        # The client connects again, and is told why it may not if that is so.
        if self.ended.done() and self.ended.result() is not TOO_SLOW:
            await send(_LAST)

    async def _write(self, send: Send) -> None:
        await self._send(send, f"retry: {AGAIN_MS}\n\n")
        await self.viewer.subscribe(self._subject, self._after)
        while True:
            events = await self.viewer.take()
            for piece in _pieces(events):
                await self._send(send, piece)
            if not self.viewer.subscriptions and not self.viewer.waiting:
                await send(_LAST)
                return

    async def _send(self, send: Send, text: str) -> None:
        self.sending_since = self.loop.time()
        message: MutableMapping[str, Any] = {"type": "http.response.body", "body": text.encode(), "more_body": True}
        await send(message)
        self.sent_at = self.loop.time()
        self.sending_since = None


def _pieces(events: Iterable[Event]) -> Iterator[str]:
    """Events as they are sent, a few at once: the server counts pieces, not bytes, that a client has not taken."""
    gathered: list[str] = []
    size = 0
    for text in map(_framed, events):
        gathered.append(text)
        size += len(text)
        if size >= PIECE:
            yield "".join(gathered)
            gathered, size = [], 0
    if gathered:
        yield "".join(gathered)


def _framed(event: Event) -> str:
    if event.text is HEARTBEAT:
        return ": \n\n"
    return f"id: {event.seq}\ndata: {event.text}\n\n" if event.seq else f"data: {event.text}\n\n"


async def _gone(receive: Receive) -> None:
    """Returns when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
