"""The WebSocket ``/ws``. What is said over it is told in ``docs/live-events.md``."""

import asyncio
import logging
from uuid import UUID

import msgspec
from starlette.types import Receive, Scope, Send

from treadle.base.errors import BadInput, Conflict, Forbidden, NotFound, TreadleError, Unavailable
from treadle.base.ids import ExecutionId, GraphId, WorkspaceId
from treadle.engine.journal import DATABASE_GONE
from treadle.features.accounts.access import Permission, Principal
from treadle.features.accounts.service import Accounts
from treadle.features.live.feed import Feed
from treadle.web.edge import Edge
from treadle.web.live.messages import (
    AnySaid,
    Auth,
    Ping,
    Pong,
    Ready,
    Subscribe,
    SubscribeAll,
    Subscribed,
    SubscribedAll,
    Told,
    Unsubscribe,
    UnsubscribeAll,
    Unsubscribed,
    UnsubscribedAll,
    decoded,
    encoded,
)
from treadle.web.live.visitors import CANNOT_TELL, TOO_MUCH, UNKNOWN, End, HungUp, Visit, Visitors
from treadle.web.observing import client_address

PROTOCOL = "treadle.v1"
BEARER = "treadle.bearer."
"""Before the token, as a second subprotocol: the only place where a web page can put one that is not in the address."""
AUTH_SECONDS = 10.0
LARGEST_SAID = 64 * 1024
"""Characters of what a client says at once."""
SAID_PER_SECOND = 20.0
SAID_AT_ONCE = 200
MOST_SUBSCRIPTIONS = 1_000
"""Executions that one connection watches at once."""
_CLOSE_SECONDS = 1.0
_TOO_LARGE = End(1009, "A message is larger than 64 KiB.")
_NOT_TEXT = End(1003, "Messages are JSON, in text frames.")
_FAILED = End(1011, "The server failed; its log says why.")
_log = logging.getLogger(__name__)


class LiveSockets:
    """The ASGI application behind ``/ws``. It needs nothing else of the HTTP interface."""

    def __init__(self, accounts: Accounts, feed: Feed, visitors: Visitors, edge: Edge) -> None:
        self.accounts = accounts
        self.feed = feed
        self.visitors = visitors
        self.edge = edge

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        await Socket(self, scope, receive, send).serve()


class Socket(Visit):
    """One WebSocket."""

    def __init__(self, sockets: LiveSockets, scope: Scope, receive: Receive, send: Send) -> None:
        super().__init__(sockets.feed.viewer())
        self._sockets = sockets
        self._scope = scope
        self._receive = receive
        self._send = send
        self._workspace: WorkspaceId | None = None
        self._allowance = float(SAID_AT_ONCE)
        self._heard_at = self.loop.time()

    async def serve(self) -> None:
        """From the handshake until one side has gone."""
        await self._receive()  # websocket.connect
        offered: list[str] = self._scope.get("subprotocols") or []
        token = next((each.removeprefix(BEARER) for each in offered if each.startswith(BEARER)), "")
        protocol = PROTOCOL if PROTOCOL in offered else None
        await self._send({"type": "websocket.accept", "subprotocol": protocol})
        refused = self._sockets.visitors.enter(self)
        try:
            await self._serve(refused, token)
        finally:
            self.viewer.leave()
            self._sockets.feed.lists.leave(self.viewer)
            self._sockets.visitors.leave(self)

    async def _serve(self, refused: End | None, token: str) -> None:
        if refused is not None:
            self.end(refused)
        for failed in await self.until_ended(self._read(token), self._write()):
            _log.error("a live connection failed", exc_info=failed)
            self.end(_FAILED)
        if self.ended.done() and not self.ended.cancelled():
            await self._close(self.ended.result())

    async def _close(self, why: End) -> None:
        """Say why; somebody who reads nothing is not waited for."""
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._send({"type": "websocket.close", "code": why.code, "reason": why.reason})
        except Exception as error:  # noqa: BLE001 (the edge of the process; the connection may be gone already)
            _log.debug("a live connection was gone before it was closed: %s", error)

    # ---- out ----------------------------------------------------------------------------------------------------

    async def _write(self) -> None:
        take, send, clock = self.viewer.take, self._send, self.loop.time
        while True:
            events = await take()
            try:
                for event in events:
                    self.sending_since = clock()
                    await send({"type": "websocket.send", "text": event.text})
            except (OSError, RuntimeError) as error:  # how servers say that nobody is there any more
                raise HungUp from error
            self.sent_at = clock()
            self.sending_since = None

    def _tell(self, message: Told) -> None:
        self.viewer.offer(encoded(message))

    # ---- in -----------------------------------------------------------------------------------------------------

    async def _read(self, token: str) -> None:
        """Hear what the client says, until it goes."""
        if token:
            await self._know(token)
        else:
            try:
                async with asyncio.timeout(AUTH_SECONDS):
                    first = await self._hear()
            except TimeoutError:
                first = None
            if not isinstance(first, Auth):
                self.end(UNKNOWN)
                return
            self._workspace = WorkspaceId(first.workspace_id) if first.workspace_id else None
            await self._know(first.token)
        while not self.ended.done():
            said = await self._hear()
            if said is not None:
                await self._follow(said)

    async def _know(self, token: str) -> None:
        """Find out who it is."""
        try:
            identity = await self._sockets.accounts.identify(token)
        except TreadleError as error:
            self.end(CANNOT_TELL if isinstance(error, Unavailable) else UNKNOWN)
            return
        if identity is None:
            self.end(UNKNOWN)
            return
        verdict = await self._sockets.edge.admit(self._scope, identity, client_address(self._scope))
        if verdict is not None and not verdict.allowed:
            self.end(TOO_MUCH)
            return
        refused = self._sockets.visitors.known(self, token, identity)
        if refused is not None:
            self.end(refused)
        else:
            self._tell(Ready(identity.user))

    async def _hear(self) -> AnySaid | None:
        """The next thing that is said; None when it makes no sense, or when nothing more will come."""
        try:
            message = await self._receive()
        except (OSError, RuntimeError) as error:
            raise HungUp from error
        if message["type"] == "websocket.disconnect":
            self.ended.cancel()
            return None
        text = message.get("text")
        if text is None:
            self.end(_NOT_TEXT)
        elif len(text) > LARGEST_SAID:
            self.end(_TOO_LARGE)
        elif not self._may_say_more():
            self.end(TOO_MUCH)
        else:
            try:
                return decoded(text)
            except msgspec.DecodeError as error:
                self._fail(None, BadInput(f"The message cannot be used: {error}.", fix="See docs/live-events.md."))
        return None

    def _may_say_more(self) -> bool:
        now = self.loop.time()
        self._allowance = min(float(SAID_AT_ONCE), self._allowance + (now - self._heard_at) * SAID_PER_SECOND)
        self._heard_at = now
        self._allowance -= 1
        return self._allowance >= 0

    async def _follow(self, said: AnySaid) -> None:
        """Do what the client asks for."""
        execution = said.execution_id if isinstance(said, Subscribe | Unsubscribe) else None
        try:
            await self._do(said)
        except TreadleError as error:
            self._fail(execution, error)
        except DATABASE_GONE:
            self._fail(execution, Conflict("The database does not answer now.", fix="Try again."))

    async def _do(self, said: AnySaid) -> None:
        match said:
            case Ping():
                self._tell(Pong())
            case Subscribe():
                await self._subscribe(said)
            case Unsubscribe():
                self.viewer.unsubscribe(ExecutionId(said.execution_id))
                self._tell(Unsubscribed(said.execution_id))
            case SubscribeAll():
                who = await self._reader(said.workspace_id)
                graph = None if said.graph_id is None else GraphId(said.graph_id)
                await self._sockets.feed.lists.watch(self.viewer, who.workspace, graph)
                self._tell(SubscribedAll(who.workspace, graph))
            case UnsubscribeAll():
                who = await self._reader(said.workspace_id)
                self._sockets.feed.lists.unwatch(self.viewer, who.workspace)
                self._tell(UnsubscribedAll(who.workspace))
            case Auth():
                raise BadInput("It is known already who you are.", fix="Connect anew to be somebody else.")

    async def _subscribe(self, said: Subscribe) -> None:
        if len(self.viewer.subscriptions) >= MOST_SUBSCRIPTIONS:
            message = f"One connection watches at most {MOST_SUBSCRIPTIONS:,} executions at once."
            raise BadInput(message, fix="Unsubscribe from some, or watch the list with subscribe_all.")
        id = ExecutionId(said.execution_id)
        try:
            who = await self._reader(said.workspace_id)
        except (NotFound, Forbidden) as error:  # no different from an execution that does not exist
            raise NotFound(f"There is no execution {id}.", fix="List the executions to find its id.") from error
        feed = self._sockets.feed
        subject = await feed.past.subject(who.workspace, id)
        self._tell(Subscribed(id, subject.status))
        children: dict[ExecutionId, int] | None = None
        if said.include_children:
            children = {ExecutionId(child): after for child, after in said.after_children.items()}
        await self.viewer.subscribe(subject, said.after, children)

    async def _reader(self, workspace: UUID | None) -> Principal:
        """The client in a workspace that it may read. Raises ``NotFound`` or ``Forbidden``."""
        assert self.identity is not None
        chosen = WorkspaceId(workspace) if workspace else self._workspace
        who = await self._sockets.accounts.principal(self.identity, chosen)
        if not who.may(Permission.READ):
            raise Forbidden("You may not read this workspace.", fix="Ask an owner of the workspace.")
        self.workspaces.add(who.workspace)
        return who

    def _fail(self, execution: UUID | None, error: TreadleError) -> None:
        id = None if execution is None else ExecutionId(execution)
        self.viewer.offer(self._sockets.feed.telling.failure(id, error))
