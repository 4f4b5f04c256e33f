"""HTTP/1.1 connections to pinned addresses, and the pool that keeps them. Policy is in ``treadle.sdk.http``.

The protocol itself is h11's. A pool of our own because the usual ones walk all connections for every request, which
costs more than the request itself once some hundred are open.
"""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import cast

import h11

CONNECT_SECONDS = 10.0
"""How long the last address of a host may take to accept, TLS included."""

FALLBACK_SECONDS = 2.5
"""How long the addresses before it may take: a machine without working IPv6 must not wait long for each connection."""

KEEP_SECONDS = 15.0
"""How long an idle connection is kept."""

KEEP_CONNECTIONS = 256
"""How many idle connections are kept in all."""

_HIGH_WATER = 256 * 1024
_MAX_HEAD = 64 * 1024
_MAX_INTERIM = 16

Headers = list[tuple[bytes, bytes]]


class WireError(Exception):
    """The connection broke, could not be made, or the peer does not speak HTTP/1.1.

    ``unanswered``: nothing of an answer had come; on a connection that was used before, the peer may just have closed.
    """

    def __init__(self, message: str, *, unanswered: bool = False) -> None:
        super().__init__(message)
        self.unanswered = unanswered


class ProxyRefused(WireError):
    """A proxy did not open a way to the host; ``status`` is its answer."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the proxy answered {status}")
        self.status = status


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a connection leads, as the URL says it."""

    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        """As the ``Host`` header has it: the port only when it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == {"http": 80, "https": 443}[self.scheme] else f"{host}:{self.port}"


class _Wire(asyncio.Protocol):
    """Bytes in and out of one socket, with back-pressure both ways."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._ended = False
        self._error: Exception | None = None
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._reading = True
        self._writable = True
        self.received = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # by its class, uvloop's is none

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self.received += len(data)
        if len(self._buffer) > _HIGH_WATER and self._reading and self._transport is not None:
            self._reading = False
            self._transport.pause_reading()
        self._wake_reader()

    def eof_received(self) -> bool:
        self._ended = True
        self._wake_reader()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._ended = True
        self._error = error
        self._wake_reader()
        self._wake_writer()

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self._wake_writer()

    def _wake_reader(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def _wake_writer(self) -> None:
        if self._writer is not None and not self._writer.done():
            self._writer.set_result(None)

    async def read(self) -> bytes:
        """What has come; waits for something; empty at the end."""
        if not self._buffer and not self._ended:
            self._reader = self._loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        data = bytes(self._buffer)
        self._buffer.clear()
        if not self._reading and self._transport is not None and not self._ended:
            self._reading = True
            self._transport.resume_reading()
        if not data and self._error is not None:
            raise WireError("the connection broke")
        return data

    async def write(self, data: bytes) -> None:
        """Send; waits while the peer is slow. A broken connection shows at the next ``read``."""
        if self._transport is None or self._ended:
            return
        self._transport.write(data)
        if not self._writable and not self._ended:
            self._writer = self._loop.create_future()
            try:
                await self._writer
            finally:
                self._writer = None

    async def start_tls(self, context: ssl.SSLContext, name: str) -> None:
        """From now on everything is encrypted. Raises ``OSError`` (``ssl.SSLError``) when the handshake fails."""
        if not self.quiet or self._transport is None:
            raise WireError("the connection cannot be encrypted")
        found = await self._loop.start_tls(self._transport, self, context, server_hostname=name)
        if found is None:
            raise WireError("the connection ended while it was being encrypted")
        self._transport = found

    @property
    def quiet(self) -> bool:
        """Open, and nothing has come unasked."""
        return not self._ended and not self._buffer and self._transport is not None and not self._transport.is_closing()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class Connection:
    """One HTTP/1.1 connection, used for one exchange at a time. A ``single`` one is not kept for another."""

    def __init__(self, origin: Origin, wire: _Wire, *, single: bool = False) -> None:
        self.origin = origin
        self.single = single
        self.used = False
        self.expiry: asyncio.TimerHandle | None = None
        self._wire = wire
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD)

    async def ask(self, method: str, target: str, headers: Headers, body: bytes) -> h11.Response:
        """Send a request and give the head of the answer.

        Raises:
            WireError: the connection broke or the peer does not speak HTTP/1.1.
            h11.LocalProtocolError: the request itself is malformed; nothing was sent.
        """
        before = self._wire.received
        data = self._h11.send(h11.Request(method=method, target=target, headers=headers)) or b""
        if body:
            data += self._h11.send(h11.Data(data=body)) or b""
        data += self._h11.send(h11.EndOfMessage()) or b""
        try:
            await self._wire.write(data)
            for _ in range(_MAX_INTERIM):
                event = await self._next()
                if isinstance(event, h11.Response):
                    return event
                if not isinstance(event, h11.InformationalResponse) or event.status_code == 101:
                    break
        except WireError as error:
            error.unanswered = self._wire.received == before
            raise
        raise WireError("the peer did not answer with a response")

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body of the answer as it was sent (content encodings still on).

        Raises:
            WireError: the body is cut short or malformed.
        """
        while True:
            event = await self._next()
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return
            else:
                raise WireError("the connection ended inside the answer")

    async def tunnel(self, origin: Origin, headers: Headers, context: ssl.SSLContext) -> "Connection":
        """The way to ``origin`` through the proxy that this connection leads to (RFC 9110, 9.3.6), encrypted.

        Raises:
            ProxyRefused: the proxy does not open it.
            WireError, OSError: the connection broke; the handshake with the origin failed.
        """
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        authority = f"{host}:{origin.port}"
        response = await self.ask("CONNECT", authority, [(b"host", authority.encode("ascii")), *headers], b"")
        if not 200 <= response.status_code < 300:
            raise ProxyRefused(response.status_code)
        if self._h11.trailing_data[0]:
            raise WireError("the proxy sent something unasked")
        await self._wire.start_tls(context, origin.host)
        return Connection(origin, self._wire, single=True)

    async def _next(self) -> h11.Event | type[h11.PAUSED]:
        try:
            while (event := self._h11.next_event()) is h11.NEED_DATA:
                self._h11.receive_data(await self._wire.read())
        except h11.RemoteProtocolError:
            # h11's text may quote what the peer sent: a banner of some internal service must not get out.
            raise WireError("the peer does not speak HTTP/1.1, or closed the connection") from None
        return event  # type: ignore[return-value]

    def renew(self) -> bool:
        """Make ready for the next exchange; False when the connection cannot be used again."""
        if (
            self.single
            or self._h11.our_state is not h11.DONE
            or self._h11.their_state is not h11.DONE
            or not self.quiet
        ):
            return False
        self._h11.start_next_cycle()
        self.used = True
        return True

    @property
    def quiet(self) -> bool:
        """Open, and no byte has come that was not asked for."""
        return self._wire.quiet and not self._h11.trailing_data[0]

    def close(self) -> None:
        if self.expiry is not None:
            self.expiry.cancel()
        self._wire.close()


async def connect(origin: Origin, addresses: Sequence[str], tls: Callable[[], ssl.SSLContext]) -> Connection:
    """Connect to the first of the pinned ``addresses`` that accepts. TLS checks the certificate against the host name.

    Raises:
        WireError: none accepts.
    """
    secure = origin.scheme == "https"
    context, name = (tls(), origin.host) if secure else (None, None)
    reason = "cannot connect"
    candidates = addresses[:4]
    for address in candidates:
        try:
            async with asyncio.timeout(CONNECT_SECONDS if address == candidates[-1] else FALLBACK_SECONDS):
                _, wire = await asyncio.get_running_loop().create_connection(
                    _Wire, address, origin.port, ssl=context, server_hostname=name
                )
            return Connection(origin, wire)
        except OSError as error:
            reason = _reason(error)
    raise WireError(reason, unanswered=True)


async def connect_through(
    proxy: Origin, addresses: Sequence[str], headers: Headers, origin: Origin, tls: Callable[[], ssl.SSLContext]
) -> Connection:
    """Connect to ``origin`` through a proxy at its pinned ``addresses``. The proxy sees ``headers`` and ciphertext.

    Raises:
        ProxyRefused: the proxy does not open the way.
        WireError: the proxy does not accept, or the handshake with the origin fails.
    """
    connection = await connect(proxy, addresses, tls)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            return await connection.tunnel(origin, headers, tls())
    except OSError as error:
        connection.close()
        raise WireError(_reason(error), unanswered=True) from None
    except BaseException:
        connection.close()
        raise


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not valid: {error.verify_message}"
    return "the TLS handshake failed" if isinstance(error, ssl.SSLError) else "cannot connect"


class Pool:
    """Idle connections by origin, newest first, and a bound on how many are open."""

    def __init__(self, limit: int) -> None:
        self._idle: dict[Origin, list[Connection]] = {}
        self._count = 0
        self._busy: set[Connection] = set()
        self._slots = asyncio.Semaphore(limit)

    async def acquire(
        self, origin: Origin, make: Callable[[], Awaitable[Connection]], *, fresh: bool = False
    ) -> Connection:
        """An idle connection to ``origin`` unless it must be ``fresh``, or a new one by ``make``.

        Waits while too many are in use.
        """
        await self._slots.acquire()
        connection = None if fresh else self._take(origin)
        if connection is None:
            try:
                connection = await make()
            except BaseException:
                self._slots.release()
                raise
        self._busy.add(connection)
        return connection

    def release(self, connection: Connection) -> None:
        """Give a connection back; it is kept when it can be used again."""
        if connection not in self._busy:
            return
        self._busy.discard(connection)
        self._slots.release()
        if self._count >= KEEP_CONNECTIONS or not connection.renew():
            connection.close()
            return
        self._count += 1
        self._idle.setdefault(connection.origin, []).append(connection)
        connection.expiry = asyncio.get_running_loop().call_later(KEEP_SECONDS, self._drop, connection)

    def discard(self, connection: Connection) -> None:
        """Close a connection that is not to be used again."""
        if connection in self._busy:
            self._busy.discard(connection)
            self._slots.release()
        connection.close()

    def _take(self, origin: Origin) -> Connection | None:
        idle = self._idle.get(origin, [])
        while idle:
            connection = idle[-1]
            self._remove(connection)
            if connection.quiet:
                return connection
            connection.close()
        return None

    def _remove(self, connection: Connection) -> None:
        idle = self._idle[connection.origin]
        idle.remove(connection)
        if not idle:
            del self._idle[connection.origin]
        self._count -= 1
        if connection.expiry is not None:
            connection.expiry.cancel()
            connection.expiry = None

    def _drop(self, connection: Connection) -> None:
        self._remove(connection)
        connection.close()

    def close(self) -> None:
        """Close every connection, busy ones too."""
        for connection in [*self._busy, *(each for idle in self._idle.values() for each in idle)]:
            connection.close()
        self._idle.clear()
        self._count = 0
